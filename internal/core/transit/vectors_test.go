package transit_test

import (
	"encoding/hex"
	"encoding/json"
	"math/big"
	"testing"

	"countersign/internal/core/transit"
)

// vaultBackup is a backup that Vault 1.11 made, and vaultText what the same Vault
// encrypted with that key: "test". Both are published, in a test of somebody's
// client.
const (
	vaultBackup = "eyJwb2xpY3kiOnsibmFtZSI6InRlc3Qta2V5Iiwia2V5cyI6eyIxIjp7ImtleSI6InEyRU9ra0JhaTFpYkNtSE1RR3RocGQ4TEJodWs1Z3ZWZVRoRzY0ZW84YkE9IiwiaG1hY19rZXkiOiJrQk9maTlkNjl2L1QvbjYvMGg1WU9hUlRUVUZtejE4Q3ZCMFg0UlJiQ2hJPSIsInRpbWUiOiIyMDIzLTAyLTEzVDE1OjQyOjQ2Ljk3NDU4OTM2MVoiLCJlY194IjpudWxsLCJlY195IjpudWxsLCJlY19kIjpudWxsLCJyc2Ffa2V5IjpudWxsLCJwdWJsaWNfa2V5IjoiIiwiY29udmVyZ2VudF92ZXJzaW9uIjowLCJjcmVhdGlvbl90aW1lIjoxNjc2MzAyOTY2fX0sImRlcml2ZWQiOmZhbHNlLCJrZGYiOjAsImNvbnZlcmdlbnRfZW5jcnlwdGlvbiI6ZmFsc2UsImV4cG9ydGFibGUiOnRydWUsIm1pbl9kZWNyeXB0aW9uX3ZlcnNpb24iOjEsIm1pbl9lbmNyeXB0aW9uX3ZlcnNpb24iOjAsImxhdGVzdF92ZXJzaW9uIjoxLCJhcmNoaXZlX3ZlcnNpb24iOjEsImFyY2hpdmVfbWluX3ZlcnNpb24iOjAsIm1pbl9hdmFpbGFibGVfdmVyc2lvbiI6MCwiZGVsZXRpb25fYWxsb3dlZCI6ZmFsc2UsImNvbnZlcmdlbnRfdmVyc2lvbiI6MCwidHlwZSI6MCwiYmFja3VwX2luZm8iOnsidGltZSI6IjIwMjMtMDItMTNUMTU6NTA6MjcuNzYwODE0ODcyWiIsInZlcnNpb24iOjF9LCJyZXN0b3JlX2luZm8iOm51bGwsImFsbG93X3BsYWludGV4dF9iYWNrdXAiOnRydWUsInZlcnNpb25fdGVtcGxhdGUiOiIiLCJzdG9yYWdlX3ByZWZpeCI6IiIsImF1dG9fcm90YXRlX3BlcmlvZCI6MCwiSW1wb3J0ZWQiOmZhbHNlLCJBbGxvd0ltcG9ydGVkS2V5Um90YXRpb24iOmZhbHNlfSwiYXJjaGl2ZWRfa2V5cyI6eyJrZXlzIjpbeyJrZXkiOm51bGwsImhtYWNfa2V5IjpudWxsLCJ0aW1lIjoiMDAwMS0wMS0wMVQwMDowMDowMFoiLCJlY194IjpudWxsLCJlY195IjpudWxsLCJlY19kIjpudWxsLCJyc2Ffa2V5IjpudWxsLCJwdWJsaWNfa2V5IjoiIiwiY29udmVyZ2VudF92ZXJzaW9uIjowLCJjcmVhdGlvbl90aW1lIjowfSx7ImtleSI6InEyRU9ra0JhaTFpYkNtSE1RR3RocGQ4TEJodWs1Z3ZWZVRoRzY0ZW84YkE9IiwiaG1hY19rZXkiOiJrQk9maTlkNjl2L1QvbjYvMGg1WU9hUlRUVUZtejE4Q3ZCMFg0UlJiQ2hJPSIsInRpbWUiOiIyMDIzLTAyLTEzVDE1OjQyOjQ2Ljk3NDU4OTM2MVoiLCJlY194IjpudWxsLCJlY195IjpudWxsLCJlY19kIjpudWxsLCJyc2Ffa2V5IjpudWxsLCJwdWJsaWNfa2V5IjoiIiwiY29udmVyZ2VudF92ZXJzaW9uIjowLCJjcmVhdGlvbl90aW1lIjoxNjc2MzAyOTY2fV19fQo="
	vaultText   = "vault:v1:QPRzx8HS54xZB2v/7KpBnIojMOulGuudYz12Z2x08rg="
)

func TestWhatVaultEncrypted(t *testing.T) {
	b := start(t)
	bundle, err := transit.ParseBackup(vaultBackup)
	if err != nil {
		t.Fatal(err)
	}
	if bundle.Name() != "test-key" {
		t.Errorf("named %q", bundle.Name())
	}
	out, err := b.Transit.Restore(ctx, b.Admin, transit.RestoreRequest{Key: "mine", Bundle: bundle})
	if err != nil || out.RestoredVersion != 1 || out.Restored.IsZero() || out.Type != transit.AES256 {
		t.Fatalf("restored %+v %v", out, err)
	}
	if got, err := b.openText("mine", vaultText, nil, nil); got != "test" || err != nil {
		t.Errorf("decrypted %q %v", got, err)
	}
	if found := b.refer(); len(found) > 0 {
		t.Errorf("the check of the store: %q", found)
	}
}

// The values were computed apart from this code, from its description: HKDF and
// HMAC of Python's standard library, ciphers of OpenSSL.
func TestDerivedAndConvergent(t *testing.T) {
	b := start(t)
	context := from64(t, "pWZ6t/im3AORd0lVYE0zBdKpX6Bl3/SvFtoVTPWbdkzjG788XmMAnOlxandSdd7S")
	for _, x := range []struct {
		typ     transit.Type
		number  int
		derived string
		alone   string // convergent
		with    string // convergent, with associated data
		vaults  string // the same of Vault, whose nonce is that of the plaintext alone
	}{
		{transit.AES128, 8, "vault:v1:AAECAwQFBgcICQoLoVGi03p4thxDvKNmCXI4R6GwyfIVZfk=",
			"vault:v1:swtnVGPaVOlWXifmsE1KkOBV+MQeaffkTLfq26g+79fxtKA=",
			"vault:v1:XA34aa4USSSm8Z2aOHePzaE5tdHdNupO4m0UKB4ku23KBVY=",
			"vault:v1:swtnVGPaVOlWXifmsE1KkOBV+O/lDtfbXi3i7vRKEfntHEk="},
		{transit.AES256, 0, "vault:v1:AAECAwQFBgcICQoLBkyyhaI1xigXqv9WCWBFC2oSedNYlZA=",
			"vault:v1:R1r4VEuWvAYm3REUoD1MKu0Lowz5EUjb/y2sMHJu0IAthg8=",
			"vault:v1:EgRq1lTUC69eXXrarma8DOh+2Z4/IKYEvmYdgu5he1SZZZ0=",
			"vault:v1:R1r4VEuWvAYm3REUoD1MKu0Lo1y+sHcmbfeZHATZ7JMeyoc="},
		{transit.ChaCha20, 5, "vault:v1:AAECAwQFBgcICQoLWngZkiT+EcOmaaAbxxBjEOBKrUtSmTs=",
			"vault:v1:R1r4VEuWvAYm3REUJy7PGybF1SUomYljSgb+4c69DtRafko=",
			"vault:v1:EgRq1lTUC69eXXra7Mfd8zqA8C07ycvief4F0H/tf05W8vA=",
			"vault:v1:R1r4VEuWvAYm3REUJy7PGybF1eht8DPch555oLAcTxe+NyQ="},
	} {
		t.Run(string(x.typ), func(t *testing.T) {
			size := 32
			if x.typ == transit.AES128 {
				size = 16
			}
			key := make([]byte, size)
			for i := range key {
				key[i] = byte(i)
			}
			entry := map[string]any{"key": key, "hmac_key": make([]byte, 32), "convergent_version": 3}
			n := string(x.typ)
			b.restore(n, map[string]any{"type": x.number, "derived": true, "kdf": 1}, entry)
			b.restore(n+"-same", map[string]any{"type": x.number, "derived": true, "kdf": 1, "convergent_encryption": true, "convergent_version": -1}, entry)

			if got, err := b.openText(n, x.derived, context, nil); got != "zip zap" || err != nil {
				t.Errorf("derived: %q %v", got, err)
			}
			for associated, want := range map[string]string{"": x.alone, "aad": x.with} {
				it := plain("zip zap")
				it.Context, it.Associated = context, []byte(associated)
				sealed, err := b.seal(n+"-same", it)
				if err != nil {
					t.Fatal(err)
				}
				if got := transit.FormatText(sealed.Version, sealed.Data); got != want {
					t.Errorf("convergent with %q: %s, want %s", associated, got, want)
				}
			}
			if got, err := b.openText(n+"-same", x.vaults, context, []byte("aad")); got != "zip zap" || err != nil {
				t.Errorf("convergent, of Vault: %q %v", got, err)
			}
		})
	}
}

func TestDerivedEd25519(t *testing.T) {
	b := start(t)
	context := from64(t, "pWZ6t/im3AORd0lVYE0zBdKpX6Bl3/SvFtoVTPWbdkzjG788XmMAnOlxandSdd7S")
	private, err := hex.DecodeString("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" +
		"03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")
	if err != nil {
		t.Fatal(err)
	}
	b.restore("k", map[string]any{"type": 2, "derived": true, "kdf": 1}, map[string]any{"key": private, "hmac_key": make([]byte, 32)})
	out, err := b.Transit.Sign(ctx, b.Admin, transit.SignRequest{Key: "k", Items: []transit.Signed{{Data: []byte("zip zap"), Context: context}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = "vault:v1:TW8Zu37NFUowEgJt7UkqWILOKKs59wT8yqymdfvy9XQ5LpznfzLpmcf50aQB0BNmol5EsKq8EElNqIR+DdaCCg=="
	if got := transit.FormatText(out[0].Version, out[0].Data); got != want {
		t.Errorf("signed %s", got)
	}
	public := from64(t, "PVFjoo9nOgBUSTWkkYewfBot2Z12cTszKwXOErOihMk=")
	if string(out[0].Public) != string(public) {
		t.Errorf("the public key is %x", out[0].Public)
	}
	k, err := b.Transit.Get(ctx, b.Admin, "k", context)
	if err != nil || transit.PublicText(k.Type, k.Versions[0].Public) != "PVFjoo9nOgBUSTWkkYewfBot2Z12cTszKwXOErOihMk=" {
		t.Errorf("shown %+v %v", k, err)
	}
	if k, err = b.Transit.Get(ctx, b.Admin, "k", nil); err != nil || len(k.Versions[0].Public) > 0 {
		t.Errorf("without a context: %+v %v", k, err)
	}
}

// Signatures that OpenSSL made, published in the tests of OpenBao.
func TestECDSAOfOpenSSL(t *testing.T) {
	b := start(t)
	for _, x := range []struct {
		typ             transit.Type
		number          int
		x, y, d, signed string
	}{
		{transit.ECDSAP256, 1, "7336010a6da5935113d26d9ea4bb61b3b8d102c9a8083ed432f9b58fd7e80686", "4040aa31864691a8a9e7e3ec9250e85425b797ad7be34ba8df62bfbad45ebb0e",
			"99e5569be8683a2691dfc560ca9dfa71e887867a3af60635a08a3e3655aba3ef",
			"vault:v1:MEUCIAgnEl9V8P305EBAlz68Nq4jZng5fE8k6MactcnlUw9dAiEAvJVePg3dazW6MaW7lRAVtEz82QJDVmR98tXCl8Pc7DA="},
		{transit.ECDSAP384, 6, "703457a84e48bfcb037cfb509f1870d2aa5b74c109c2f24624ab21444492575229f8711453e5c656dab596b4e26db30e",
			"411c5b7092a893dc8b7af39de3d21d1c26f45b27616baeac4c479ef3c9f21c194b5ac501dee47ba2b2cb243a54256524",
			"3de3e4fd2ecbc490e956f41f5003a1e57a84763cec7b722fa3427cf461a1148ea4d5206023bcce0422289f6633730759",
			"vault:v1:MGUCMHHZLRN/3ehWuWACfSCMLtFtNEAdx6Rkwon2Lx6FWCyXCXqH6A8Pz8er0Qkgvm2ElQIxAO922LmUeYzHmDSfC5is/TjFu3b4Fb+1XtoBXncc2u4t2vSuTAxEv7WMh2D2YDdxeA=="},
		{transit.ECDSAP521, 7, "1913f75fc044fe5d1f871c2629a377462fd819b174a41d3ec7d04ebd5ae35475ff8de544f4e19a9aa6b16a8f67af479be6884e00ca3147dc24d5924d66ac395e04b",
			"4919406b90d8323fdb5c9c4f48259c56ebcea37b40ad1a82bbbfad62a9b9c2dce515772274b84725471c7d0b7c62e10c23296b1a9d2b2586ada67735ff5d9fffc4",
			"1867d0fcd9bac4c5821b70a6b13117499438f8c274579c0aba254fbd85fa98892c3608576197d5534366a9aab0f904155bec46d800d23a57f7f053d91526568b09",
			"vault:v1:MIGIAkIBYhspOgSs/K/NUWtlBN+CfYe1IVFpUbQNSqdjT7s+QKcr6GKmdGLIQAXw0q6K0elBgzi1wgLjxwdscwMeW7tm/QQCQgDzdITGlUEd9Z7DOfLCnDP4X8pGsfO60Tvsh/BN44drZsHLtXYBXLczB/XZfIWAsPMuI5F7ExwVNbmQP0FBVri/QQ=="},
	} {
		t.Run(string(x.typ), func(t *testing.T) {
			num := func(s string) json.RawMessage {
				n, _ := new(big.Int).SetString(s, 16)
				return json.RawMessage(n.String())
			}
			n := string(x.typ)
			b.restore(n, map[string]any{"type": x.number}, map[string]any{"ec_x": num(x.x), "ec_y": num(x.y), "ec_d": num(x.d), "hmac_key": make([]byte, 32)})
			version, sig, err := transit.ParseSignature(x.signed, false)
			if err != nil {
				t.Fatal(err)
			}
			req := transit.SignRequest{Key: n, Batch: true, Items: []transit.Signed{
				{Data: []byte("the quick brown fox"), Version: version, Signature: sig},
				{Data: []byte("the quick brown fix"), Version: version, Signature: sig},
				{Data: []byte("the quick brown fox"), Version: version, Signature: sig[:len(sig)-1]},
			}}
			out, err := b.Transit.Verify(ctx, b.Admin, req)
			if err != nil || !out[0].Valid || out[1].Valid || out[2].Valid {
				t.Errorf("verified %+v %v", out, err)
			}
		})
	}
}

// Codes and sums that OpenSSL made, published in the tests of OpenBao.
func TestCodesOfOpenSSL(t *testing.T) {
	b := start(t)
	key := []byte("01234567890123456789012345678901")
	b.restore("foo", map[string]any{"type": 0}, map[string]any{"key": make([]byte, 32), "hmac_key": key})
	b.restore("dedicated", map[string]any{"type": 10, "key_size": 32}, map[string]any{"key": key, "hmac_key": key})
	for algorithm, want := range map[string]string{
		"":         "vault:v1:UcBvm5VskkukzZHlPgm3p5P/Yr/PV6xpuOGZISya3A4=",
		"sha2-224": "vault:v1:3p+ZWVquYDvu2dSTCa65Y3fgoMfIAc6fNaBbtg==",
		"sha2-384": "vault:v1:jDB9YXdPjpmr29b1JCIEJO93IydlKVfD9mA2EO9OmJtJQg3QAV5tcRRRb7IQGW9p",
		"sha2-512": "vault:v1:PSXLXvkvKF4CpU65e2bK1tGBZQpcpCEM32fq2iUoiTyQQCfBcGJJItQ+60tMwWXAPQrC290AzTrNJucGrr4GFA==",
		"sha3-224": "vault:v1:TGipmKH8LR/BkMolYpDYy0BJCIhTtGPDhV2VkQ==",
		"sha3-256": "vault:v1:+px9V/7QYLfdK808zPESC2T/L33uFf4Blzsn9Jy838o=",
		"sha3-384": "vault:v1:YGoRwN4UdTRYZeOER86jsQOB8piWenzLDzJ2wJQK/Jq59rAsY8lh7SCdqqCyFg70",
		"sha3-512": "vault:v1:GrNA8sU88naMPEQ7UZGj9EJl7YJhl03AFHfxcEURFrtvnobdea9ZlZHePpxAx/oCaC7R2HkrAO+Tu3uXPIl3lg==",
	} {
		for _, n := range []string{"foo", "dedicated"} {
			req := transit.MACRequest{Key: n, Hash: algorithm, Items: []transit.Message{{Data: []byte("the quick brown fox")}}}
			out, err := b.Transit.MAC(ctx, b.Admin, req)
			if err != nil {
				t.Fatal(err)
			}
			if got := transit.FormatText(out[0].Version, out[0].Data); got != want {
				t.Errorf("%s %s: %s", n, algorithm, got)
			}
			req.Items[0].Version, req.Items[0].Code = out[0].Version, out[0].Data
			if ok, err := b.Transit.VerifyMAC(ctx, b.Admin, req); err != nil || !ok[0].Valid {
				t.Errorf("%s %s: %+v %v", n, algorithm, ok, err)
			}
			req.Items[0].Code = append([]byte{}, out[0].Data...)
			req.Items[0].Code[3] ^= 1
			if ok, err := b.Transit.VerifyMAC(ctx, b.Admin, req); err != nil || ok[0].Valid {
				t.Errorf("%s %s: another code: %+v %v", n, algorithm, ok, err)
			}
		}
	}
	for algorithm, want := range map[string]string{
		"":         "9ecb36561341d18eb65484e833efea61edc74b84cf5e6ae1b81c63533e25fc8f",
		"sha2-224": "ea074a96cabc5a61f8298a2c470f019074642631a49e1c5e2f560865",
		"sha2-384": "15af9ec8be783f25c583626e9491dbf129dd6dd620466fdf05b3a1d0bb8381d30f4d3ec29f923ff1e09a0f6b337365a6",
		"sha3-224": "ced91e69d89c837e87cff960bd64fd9b9f92325fb9add8988d33d007",
		"sha3-256": "e4bd866ec3fa52df3b7842aa97b448bc859a7606cefcdad1715847f4b82a6c93",
		"sha3-384": "715cd38cbf8d0bab426b6a084d649760be555dd64b34de6db148a3fbf2cd2aa5d8b03eb6eda73a3e9a8769c00b4c2113",
	} {
		out, err := b.Transit.Hash(ctx, b.Admin, algorithm, []byte("the quick brown fox"))
		if err != nil || hex.EncodeToString(out) != want {
			t.Errorf("hash %s: %x %v", algorithm, out, err)
		}
	}
}
