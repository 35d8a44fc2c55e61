package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// Names of figures of the Vault front.
const (
	vaultHot     = "Vault KV v2 read, token, one hot secret"
	vaultSpread  = "Vault KV v2 read, token, 10000 secrets"
	vaultPut     = "Vault KV v2 write, token, 10000 secrets"
	vaultLogin   = "Vault AppRole login"
	vaultEncrypt = "Vault transit encrypt, 1 KiB"
	pacedVault   = "Vault KV v2 read, token, 10000 secrets, at half of capacity"
)

// vaultPolicy is what the token of the loads may, in the Vault dialect.
const vaultPolicy = `path "bench/data/*" { capabilities = ["create", "read", "update"] }
path "transit/encrypt/*" { capabilities = ["update"] }`

// vault measures the Vault front beside the bare server.
func (b *bench) vault(ctx context.Context) (err error) {
	bareAddr, err := freeAddr()
	if err != nil {
		return err
	}
	bare, err := b.cores.spawn(b.self, "child", "bare", bareAddr)
	if err != nil {
		return err
	}
	defer bare.stop()
	bare.addr = bareAddr
	p, err := b.serve()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	for server, first := range map[*process][]byte{bare: plain(bareAddr), p: b.hot} {
		if _, err := server.answers(ctx, time.Now(), first); err != nil {
			return err
		}
	}
	v := vaultClient{addr: b.addr, token: b.requests.token}
	login, err := v.prepare(ctx)
	if err != nil {
		return err
	}
	reads := make([][]byte, spread)
	for i := range reads {
		reads[i] = v.raw("GET", vaultPath(i), "")
	}
	encrypt := v.raw("POST", "transit/encrypt/bench", fmt.Sprintf(`{"plaintext":%q}`, strings.Repeat("AAAA", 1024/3+1)))
	all := load{name: vaultSpread, p: p, next: each(reads)}
	if _, err := all.take(16, 2*time.Second); err != nil {
		return err
	}
	base := &load{name: bareGet, p: bare, next: same(plain(bareAddr))}
	if err := b.beside(base, []*load{
		{name: vaultHot, p: p, next: same(reads[spread/2])},
		{name: vaultSpread, p: p, next: among(reads)},
	}); err != nil {
		return err
	}
	if err := b.paced([]pacedLoad{
		{pacedBare, bareGet, bare, same(plain(bareAddr))},
		{pacedVault, vaultSpread, p, among(reads)},
	}); err != nil {
		return err
	}
	// What writes comes last: it puts pages elsewhere, which reads then find anew.
	return b.beside(base, []*load{
		{name: vaultEncrypt, p: p, next: same(encrypt)},
		{name: vaultLogin, p: p, next: same(login)},
		{name: vaultPut, p: p, next: v.writes()},
	})
}

// beside measures loads with each number of connections, in turns that begin with the
// bare server's.
func (b *bench) beside(bare *load, loads []*load) error {
	for _, conns := range connections {
		all := append([]*load{bare}, loads...)
		for _, l := range all {
			l.runs = nil
		}
		if err := b.turns(conns, all); err != nil {
			return err
		}
		if b.report.find(bare.name, conns) == (Figure{}) { // when only this part is measured
			b.report.Figures = append(b.report.Figures, middle(bare.runs))
		}
		for _, l := range loads {
			b.report.Figures = append(b.report.Figures, middle(l.runs))
		}
	}
	return nil
}

// vaultPath is where a secret is below the mount that prepare makes.
func vaultPath(secret int) string {
	return "bench/data/" + strings.TrimPrefix(secretName(secret), "/bench/")
}

// vaultClient speaks the Vault protocol.
type vaultClient struct{ addr, token string }

// prepare makes a mount over the secrets, a transit key, and a role; the client
// then has a token of that role. It returns the request of a login.
func (v *vaultClient) prepare(ctx context.Context) (login []byte, err error) {
	for _, step := range [][2]string{
		{"sys/mounts/bench", `{"type":"kv-v2","options":{"prefix":"/bench/"}}`},
		{"sys/mounts/transit", `{"type":"transit"}`},
		{"transit/keys/bench", `{}`},
		{"sys/auth/approle", `{"type":"approle"}`},
		{"auth/approle/role/bench", `{"token_policies":["bench"],"token_ttl":"1h"}`},
	} {
		if _, err := v.call(ctx, "POST", step[0], step[1]); err != nil {
			return nil, err
		}
	}
	if _, err := v.call(ctx, "POST", "sys/policies/acl/bench", fmt.Sprintf(`{"policy":%q}`, vaultPolicy)); err != nil {
		return nil, err
	}
	role, err := v.call(ctx, "GET", "auth/approle/role/bench/role-id", "")
	if err != nil {
		return nil, err
	}
	secret, err := v.call(ctx, "POST", "auth/approle/role/bench/secret-id", "{}")
	if err != nil {
		return nil, err
	}
	body := fmt.Sprintf(`{"role_id":%q,"secret_id":%q}`, role.Data["role_id"], secret.Data["secret_id"])
	login = v.raw("POST", "auth/approle/login", body)
	in, err := v.call(ctx, "POST", "auth/approle/login", body)
	if err != nil {
		return nil, err
	}
	v.token = in.Auth.Token
	return login, nil
}

// vaultAnswer is what the steps need of an answer.
type vaultAnswer struct {
	Data map[string]any `json:"data"`
	Auth struct {
		Token string `json:"client_token"`
	} `json:"auth"`
}

func (v *vaultClient) call(ctx context.Context, method, path, body string) (out vaultAnswer, err error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+v.addr+"/v1/"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return out, err
	}
	r.Header.Set("X-Vault-Token", v.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return out, err
	}
	if resp.StatusCode/100 != 2 {
		return out, fmt.Errorf("%s %s: %s %s", method, path, resp.Status, text)
	}
	if len(text) == 0 {
		return out, nil
	}
	return out, json.Unmarshal(text, &out)
}

// raw is a request as Vault's command line sends it.
func (v *vaultClient) raw(method, path, body string) []byte {
	head := method + " /v1/" + path + " HTTP/1.1\r\nHost: " + v.addr + "\r\nUser-Agent: Go-http-client/1.1\r\nX-Vault-Request: true\r\nX-Vault-Token: " + v.token +
		"\r\nAccept-Encoding: gzip\r\n"
	if body != "" {
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return []byte(head + "\r\n" + body)
}

// writes is a source of new versions of any of the secrets.
func (v *vaultClient) writes() source {
	return func(rng *rand.Rand) []byte {
		return v.raw("POST", vaultPath(rng.IntN(spread)), `{"data":`+secretValue(rng.IntN(1<<30))+`}`)
	}
}
