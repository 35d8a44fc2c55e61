package change_test

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/protect"
	"countersign/internal/errs"
	"countersign/internal/proof"
	"countersign/internal/sshsig"
)

// pen is the n-th SSH key of a test, and its public line.
func pen(t *testing.T, n byte) (ssh.Signer, string) {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	s, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed))
	must(t, err)
	return s, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey())))
}

// sign signs what the approval of a change with that digest says.
func sign(t *testing.T, s ssh.Signer, namespace, id string, digest []byte) string {
	t.Helper()
	armored, err := sshsig.Sign(s, namespace, proof.SignedText(id, digest))
	must(t, err)
	return armored
}

func (o *office) vote(who caller.Caller, id, signature string) (change.Decision, error) {
	return o.Changes.Vote(o.t.Context(), who, change.VoteRequest{ID: id, Approve: true, Digest: o.digest(id), Signature: signature})
}

// TestSignedApproval holds which signatures a rule takes that asks for them.
func TestSignedApproval(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	bobs, bobsLine := pen(t, 1)
	carols, carolsLine := pen(t, 2)
	unknown, _ := pen(t, 3)
	old, oldLine := pen(t, 4)
	for _, k := range [][2]string{{"bob", oldLine}, {"bob", bobsLine + " bob@laptop"}, {"carol", carolsLine}} {
		_, err := o.Authn.AddSSHKey(ctx, o.Admin, k[0], k[1], "")
		must(t, err)
	}
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}, Signed: true})
	other := o.patch(o.alice, "other/production", "A", "1")
	w := o.patch(o.alice, "app/production", "A", "1")
	digest := o.digest(w.Change)
	moved := append([]byte{digest[0] ^ 1}, digest[1:]...)
	for name, tt := range map[string]struct{ signature, want string }{
		"none":              {"", "precondition/voter"},
		"nonsense":          {"nonsense", "invalid/"},
		"unregistered-key":  {sign(t, unknown, proof.Namespace, w.Change, digest), "invalid/signature"},
		"of-somebody-else":  {sign(t, carols, proof.Namespace, w.Change, digest), "invalid/signature"},
		"other-digest":      {sign(t, bobs, proof.Namespace, w.Change, moved), "invalid/signature"},
		"digest-of-another": {sign(t, bobs, proof.Namespace, w.Change, o.digest(other.Change)), "invalid/signature"},
		"for-another":       {sign(t, bobs, proof.Namespace, other.Change, o.digest(other.Change)), "invalid/signature"},
		"for-other-id":      {sign(t, bobs, proof.Namespace, other.Change, digest), "invalid/signature"},
		"other-use":         {sign(t, bobs, "git", w.Change, digest), "invalid/signature"},
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := o.vote(o.bob, w.Change, tt.signature); code(err) != tt.want {
				t.Errorf("got %s, %v", d.Record.Status, err)
			}
			r, err := o.Changes.Get(ctx, o.Admin, w.Change)
			must(t, err)
			if len(r.Votes) != 0 || r.Record.Status != change.Pending {
				t.Errorf("a vote that was refused is kept: %+v", r.Votes)
			}
		})
	}
	all, err := o.Authn.ListSSHKeys(ctx, o.Admin, "bob")
	must(t, err)
	must(t, only(o.Authn.RemoveSSHKey(ctx, o.Admin, "bob", all[0].Fingerprint)))
	if _, err := o.vote(o.bob, w.Change, sign(t, old, proof.Namespace, w.Change, digest)); code(err) != "invalid/signature" {
		t.Errorf("a key that was removed: %v", err)
	}
	signature := sign(t, bobs, proof.Namespace, w.Change, digest)
	if d, err := o.vote(o.bob, w.Change, signature); err != nil || d.Record.Status != change.Applied {
		t.Fatalf("got %s, %v", d.Record.Status, err)
	}
	r, err := o.Changes.Get(ctx, o.Admin, w.Change)
	must(t, err)
	if len(r.Votes) != 1 || r.Votes[0].Key != bobsLine || r.Votes[0].Signature != signature {
		t.Errorf("what is kept of the vote: %+v", r.Votes)
	}
	// A rejection needs no signature, and one that does not fit is refused even
	// where no rule asks for it.
	if _, err := o.Changes.Vote(ctx, o.carol, change.VoteRequest{ID: other.Change}); err != nil {
		t.Errorf("a rejection: %v", err)
	}
	o.protects(protect.Rule{Name: "plain", Match: []string{"plain"}})
	p := o.patch(o.alice, "plain", "A", "1")
	if _, err := o.vote(o.carol, p.Change, sign(t, bobs, proof.Namespace, p.Change, o.digest(p.Change))); !errs.Is(err, errs.Invalid) {
		t.Errorf("a signature of somebody else: %v", err)
	}
	if d, err := o.vote(o.carol, p.Change, sign(t, carols, proof.Namespace, p.Change, o.digest(p.Change))); err != nil || d.Record.Status != change.Applied {
		t.Errorf("got %s, %v", d.Record.Status, err)
	}
}
