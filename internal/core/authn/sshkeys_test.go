package authn_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/kv"
)

const sshPublic = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHySgB33t8lM2v4Bi1Cqs8H3TgRYL8LFkavdL6zcFckH"

// sshLine is the n-th of many public keys.
func sshLine(t testing.TB, n int) string {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0], seed[1] = byte(n), 1
	pub, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub)))
}

// registered are the keys that package change is told of.
func (f *fixture) registered(n string) (lines []string) {
	f.t.Helper()
	f.must(f.DB.View(f.ctx, func(r kv.Reader) (err error) {
		lines, err = f.Authn.SSHKeys(r, coretest.Home, n)
		return err
	}))
	return lines
}

func TestSSHKeys(t *testing.T) {
	f := start(t, coretest.Config{})
	f.User(t, "bob", "")
	f.User(t, "carol", "")
	if got := f.registered("bob"); len(got) != 0 {
		t.Errorf("before any: %q", got)
	}
	k, err := f.Authn.AddSSHKey(f.ctx, f.Admin, "bob", sshPublic+"  bob@laptop\n", "laptop")
	f.must(err)
	if k.Key != sshPublic || k.Fingerprint != "SHA256:yPX2qxIjOSkJZcdtmxSBF9yUXEXhcBGZkp2jYEsSUco" || k.Type != "ssh-ed25519" ||
		k.Label != "laptop" || k.Created.IsZero() || k.Status != change.Applied {
		t.Errorf("registered %+v", k)
	}
	if got := f.registered("bob"); !slices.Equal(got, []string{sshPublic}) {
		t.Errorf("registered %q", got)
	}
	t.Run("refused", func(t *testing.T) {
		for name, tt := range map[string]struct{ owner, line, label, want string }{
			"twice":       {"bob", sshPublic + " again", "", "exists"},
			"of-another":  {"carol", sshPublic, "", "exists"},
			"nobody":      {"dave", sshLine(t, 1), "", "not-found"},
			"bad-name":    {"", sshLine(t, 1), "", "invalid@Name"},
			"no-key":      {"bob", "", "", "invalid@public_key"},
			"private":     {"bob", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "", "invalid@public_key"},
			"two":         {"bob", sshLine(t, 1) + "\n" + sshLine(t, 2), "", "invalid@public_key"},
			"options":     {"bob", "no-pty " + sshLine(t, 1), "", "invalid@public_key"},
			"cut":         {"bob", sshPublic[:60], "", "invalid@public_key"},
			"long-label":  {"bob", sshLine(t, 1), strings.Repeat("l", 65), "invalid/too-long"},
			"line-feed":   {"bob", sshLine(t, 1), "a\x00b", "invalid@Label"},
			"small-order": {"bob", smallOrder(t), "", "invalid@public_key"},
		} {
			t.Run(name, func(t *testing.T) {
				f.unchanged(func() {
					_, err := f.Authn.AddSSHKey(f.ctx, f.Admin, tt.owner, tt.line, tt.label)
					f.expect(err, tt.want)
				})
			})
		}
	})
	for i := 1; i < authn.MaxSSHKeys; i++ {
		_, err := f.Authn.AddSSHKey(f.ctx, f.Admin, "bob", sshLine(t, i), "")
		f.must(err)
	}
	_, err = f.Authn.AddSSHKey(f.ctx, f.Admin, "bob", sshLine(t, 100), "")
	f.expect(err, "limit")
	all, err := f.Authn.ListSSHKeys(f.ctx, f.Admin, "bob")
	f.must(err)
	if len(all) != authn.MaxSSHKeys || all[0].Label != "laptop" || all[3].Key != sshLine(t, 3) {
		t.Errorf("listed %+v", all)
	}
	f.must(only(f.Authn.RemoveSSHKey(f.ctx, f.Admin, "bob", all[3].Fingerprint)))
	f.expect(only(f.Authn.RemoveSSHKey(f.ctx, f.Admin, "bob", all[3].Fingerprint)), "not-found")
	f.expect(only(f.Authn.RemoveSSHKey(f.ctx, f.Admin, "carol", all[0].Fingerprint)), "not-found")
	f.expect(only(f.Authn.RemoveSSHKey(f.ctx, f.Admin, "dave", all[0].Fingerprint)), "not-found")
	if got := f.registered("bob"); len(got) != authn.MaxSSHKeys-1 || slices.Contains(got, all[3].Key) {
		t.Errorf("after one was removed: %q", got)
	}
	_, err = f.Authn.AddSSHKey(f.ctx, f.Admin, "carol", all[3].Key, "")
	f.must(err) // it is free again
	f.must(only(f.Authn.DeleteUser(f.ctx, f.Admin, "bob")))
	_, err = f.Authn.AddSSHKey(f.ctx, f.Admin, "carol", all[0].Key, "")
	f.must(err)
	if got := f.registered("bob"); len(got) != 0 {
		t.Errorf("of a deleted user: %q", got)
	}
}

// smallOrder is a key for which anybody can sign.
func smallOrder(t testing.TB) string {
	t.Helper()
	blob := ssh.Marshal(struct{ Type, Key string }{"ssh-ed25519", "\x01" + strings.Repeat("\x00", 31)})
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(blob)
}

func TestSSHKeysAreAuthorized(t *testing.T) {
	f := start(t, coretest.Config{})
	stranger, _ := f.Stranger(t)
	bob, _ := f.User(t, "bob", allow("iam:ListSSHPublicKeys", "*"))
	_, err := f.Authn.ListSSHKeys(f.ctx, bob, "bob")
	f.must(err)
	_, err = f.Authn.ListSSHKeys(f.ctx, stranger, "bob")
	f.expect(err, "not-found")
	f.unchanged(func() {
		_, err := f.Authn.AddSSHKey(f.ctx, bob, "bob", sshPublic, "")
		f.expect(err, "denied/no-match")
		_, err = f.Authn.AddSSHKey(f.ctx, bob, "bob", "nonsense", "") // no word of the key to who may not
		f.expect(err, "denied/no-match")
		f.expect(only(f.Authn.RemoveSSHKey(f.ctx, bob, "bob", "x")), "denied/no-match")
	})
	// The same key in another account is another matter.
	for _, who := range []string{"admin"} {
		_, err := f.Authn.AddSSHKey(f.ctx, f.Admin, who, sshPublic, "")
		f.must(err)
		_, err = f.Authn.AddSSHKey(f.ctx, stranger, who, sshPublic, "")
		f.must(err)
	}
}

// TestLargestPrincipalIsDeletedAfterReview holds that a principal with all that
// it may have fits into one transaction together with its review.
func TestLargestPrincipalIsDeletedAfterReview(t *testing.T) {
	f := start(t, coretest.Config{})
	_, err := f.Authn.CreateGroup(f.ctx, f.Admin, "approvers")
	f.must(err)
	bob, _ := f.User(t, "bob", approver)
	f.must(only(f.Authn.AddToGroup(f.ctx, f.Admin, "approvers", "bob")))
	_, key := f.User(t, "big", allow("secretsmanager:*", "*"))
	for range authn.MaxKeys - 1 {
		key, err = f.Authn.CreateKey(f.ctx, f.Admin, authn.CreateKeyRequest{Owner: "big"})
		f.must(err)
	}
	keys, err := f.Authn.ListKeys(f.ctx, f.Admin, "big")
	f.must(err)
	for _, k := range keys { // each is used, which is a record of its own
		who := f.As(t, key)
		who.KeyID = k.ID
		_, _ = f.Authn.ListUsers(f.ctx, who, "", 0)
	}
	f.must(authn.FlushUsed(f.Authn, f.ctx))
	for i := range authn.MaxGroups {
		g := fmt.Sprint("g", i)
		_, err := f.Authn.CreateGroup(f.ctx, f.Admin, g)
		f.must(err)
		f.must(only(f.Authn.AddToGroup(f.ctx, f.Admin, g, "big")))
	}
	for i := range authn.MaxSSHKeys {
		_, err := f.Authn.AddSSHKey(f.ctx, f.Admin, "big", sshLine(t, i), strings.Repeat("l", 64))
		f.must(err)
	}
	f.protectPeople()
	res, err := f.Authn.DeleteUser(f.ctx, f.Admin, "big")
	f.must(err)
	if res.Status != change.Pending {
		t.Fatalf("got %+v", res)
	}
	_, err = f.decide(bob, res.ID)
	f.must(err)
	for k := range f.Dump(t) {
		if strings.Contains(k, "\x00\x01big\x00\x01") && !strings.Contains(k, "\x00\x01change") {
			t.Errorf("left of a deleted user: %q", k)
		}
	}
}
