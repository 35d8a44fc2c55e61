package transit_test

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/protect"
	"countersign/internal/core/transit"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

const approver = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["countersign:R*","countersign:List*"],"Resource":"arn:aws:kms:*:*:key/*"}]}`

// reviewed is a bench where every change of a key waits.
type reviewed struct {
	*bench
	ann caller.Caller
}

func startReviewed(t *testing.T, kinds ...protect.Kind) *reviewed {
	t.Helper()
	b := start(t)
	rule := &protect.Rule{Name: "keys", Match: []string{"transit-key:pay*"}, Kinds: kinds, Approvals: []protect.Approval{{Count: 1}}}
	if _, err := b.Changes.PutRules(ctx, b.Admin, change.RuleChange{Set: rule}, "", change.Options{}); err != nil {
		t.Fatal(err)
	}
	ann, _ := b.User(t, "ann", approver)
	return &reviewed{b, ann}
}

// approve approves of a change that says these lines.
func (b *reviewed) approve(id string, lines ...string) {
	b.t.Helper()
	first, err := b.Changes.Get(ctx, b.ann, id)
	if err != nil {
		b.t.Fatal(err)
	}
	if diff := cmp.Diff(lines, first.Lines); diff != "" || first.CannotBy != "" {
		b.t.Errorf("review: %s (%s)", diff, first.CannotBy)
	}
	again, err := b.Changes.Get(ctx, b.ann, id)
	if err != nil || again.Digest != first.Digest {
		b.t.Errorf("the digest is another a moment later: %v", err)
	}
	digest, _ := hex.DecodeString(first.Digest)
	d, err := b.Changes.Vote(ctx, b.ann, change.VoteRequest{ID: id, Approve: true, Digest: digest})
	if err != nil || d.Record.Status != change.Applied {
		b.t.Fatalf("approved: %+v %v", d, err)
	}
}

// TestReview: where a rule holds, nothing changes until it is approved.
func TestReview(t *testing.T) {
	b := startReviewed(t)
	out, err := b.Transit.Create(ctx, b.Admin, transit.CreateRequest{Key: "pay", Derived: true, Exportable: true, RotateEvery: 48 * time.Hour})
	if err != nil || out.Status != change.Pending || out.Type != transit.AES256 {
		t.Fatalf("proposed %+v %v", out, err)
	}
	if again, err := b.Transit.Create(ctx, b.Admin, transit.CreateRequest{Key: "pay", Derived: true, Exportable: true, RotateEvery: 48 * time.Hour}); err != nil || again.ID != out.ID {
		t.Errorf("the same request: %+v %v", again, err)
	}
	if _, err := b.Transit.Get(ctx, b.Admin, "pay", nil); !errs.Is(err, errs.NotFound) {
		t.Errorf("before its approval: %v", err)
	}
	b.approve(out.ID, "creates transit key pay", "type aes256-gcm96", "derived: each context has a key of its own", "its key material may be exported", "rotates every 48h0m0s")
	it := plain("x")
	it.Context = []byte("c")
	one, err := b.seal("pay", it)
	if err != nil || one.Version != 1 {
		t.Fatalf("approved: %+v %v", one, err)
	}

	for _, step := range []struct {
		name  string
		do    func() (change.Result, error)
		lines []string
	}{
		{"rotate", func() (change.Result, error) {
			out, err := b.Transit.Rotate(ctx, b.Admin, transit.RotateRequest{Key: "pay"})
			return out.Result, err
		}, []string{"rotates transit key pay"}},
		{"config", func() (change.Result, error) {
			out, err := b.Transit.Config(ctx, b.Admin, transit.ConfigRequest{Key: "pay", MinDecryption: ptr(uint64(2)), MinEncryption: ptr(uint64(2)),
				DeletionAllowed: ptr(true), PlaintextBackup: ptr(true), RotateEvery: ptr(time.Duration(0))})
			return out.Result, err
		}, []string{"configures transit key pay", "decrypts and verifies from version 2 on", "encrypts and signs from version 2 on (0: any that decrypts)",
			"deletion allowed: true", "it may be backed up in the clear from now on", "rotates every 0s (0s: never)"}},
		{"trim", func() (change.Result, error) {
			out, err := b.Transit.Trim(ctx, b.Admin, transit.TrimRequest{Key: "pay", MinAvailable: 2})
			return out.Result, err
		}, []string{"destroys the versions of transit key pay below 2: what they encrypted is lost"}},
		{"delete", func() (change.Result, error) {
			return b.Transit.Delete(ctx, b.Admin, transit.DeleteRequest{Key: "pay"})
		}, []string{"deletes transit key pay: what it encrypted is lost"}},
	} {
		before := b.keys()
		res, err := step.do()
		if err != nil || res.Status != change.Pending {
			t.Fatalf("%s: %+v %v", step.name, res, err)
		}
		if diff := cmp.Diff(before, b.keys()); diff != "" {
			t.Errorf("%s changed something at once: %s", step.name, diff)
		}
		b.approve(res.ID, step.lines...)
		if diff := cmp.Diff(before, b.keys()); diff == "" {
			t.Errorf("%s changed nothing when it was approved", step.name)
		}
		if found := b.refer(); len(found) > 0 {
			t.Errorf("%s: the check of the store: %q", step.name, found)
		}
	}
	if n := b.count("transit-version"); n != 0 {
		t.Errorf("%d versions are left", n)
	}
}

// TestReviewOfMaterial: material that waits is encrypted, is the one that becomes a
// version, and is gone when the change ends.
func TestReviewOfMaterial(t *testing.T) {
	b := startReviewed(t)
	bundle, err := transit.ParseBackup(vaultBackup)
	if err != nil {
		t.Fatal(err)
	}
	secret := from64(t, "q2EOkkBai1ibCmHMQGthpd8LBhuk5gvVeThG64eo8bA=")
	out, err := b.Transit.Restore(ctx, b.Admin, transit.RestoreRequest{Key: "pay", Bundle: bundle})
	if err != nil || out.Status != change.Pending {
		t.Fatalf("proposed %+v %v", out, err)
	}
	if n := b.holding(b.Engine, secret); n != 0 {
		t.Errorf("%d records hold the key in the clear", n)
	}
	if n := b.holding(b.DB, secret); n != 1 {
		t.Errorf("%d records hold the key that waits", n)
	}
	b.approve(out.ID, "restores transit key pay from a backup", "versions up to 1", "type aes256-gcm96", "its key material may be exported", "it may be backed up in the clear")
	if n := b.holding(b.DB, secret); n != 1 {
		t.Errorf("%d records hold the key that is there", n)
	}
	if got, err := b.openText("pay", vaultText, nil, nil); got != "test" || err != nil {
		t.Errorf("decrypted %q %v", got, err)
	}
	over, err := b.Transit.Restore(ctx, b.Admin, transit.RestoreRequest{Key: "pay", Bundle: bundle, Force: true})
	if err != nil || over.Status != change.Pending {
		t.Fatalf("proposed %+v %v", over, err)
	}
	if _, err := b.Changes.Withdraw(ctx, b.Admin, over.ID, ""); err != nil {
		t.Fatal(err)
	}
	if n := b.holding(b.DB, secret); n != 1 {
		t.Errorf("%d records hold the key after a withdrawal", n)
	}
}

// holding counts the records that hold some bytes.
func (b *bench) holding(db kv.DB, what []byte) (n int) {
	b.t.Helper()
	err := db.View(ctx, func(r kv.Reader) error {
		n = 0
		for p, err := range r.Scan(kv.Range{}) {
			if err != nil {
				return err
			}
			if bytes.Contains(p.Value, what) {
				n++
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// TestReviewKinds: what rules call the changes of keys.
func TestReviewKinds(t *testing.T) {
	for kind, do := range map[protect.Kind]func(b *reviewed) (change.Result, error){
		protect.Create: func(b *reviewed) (change.Result, error) {
			out, err := b.Transit.Create(ctx, b.Admin, transit.CreateRequest{Key: "pay"})
			return out.Result, err
		},
		protect.Rotate: func(b *reviewed) (change.Result, error) {
			b.create(transit.CreateRequest{Key: "pay"})
			out, err := b.Transit.Rotate(ctx, b.Admin, transit.RotateRequest{Key: "pay"})
			return out.Result, err
		},
		protect.Delete: func(b *reviewed) (change.Result, error) {
			b.create(transit.CreateRequest{Key: "pay"})
			b.config(transit.ConfigRequest{Key: "pay", DeletionAllowed: ptr(true)})
			return b.Transit.Delete(ctx, b.Admin, transit.DeleteRequest{Key: "pay"})
		},
		protect.Policy: func(b *reviewed) (change.Result, error) {
			b.create(transit.CreateRequest{Key: "pay"})
			out, err := b.Transit.Config(ctx, b.Admin, transit.ConfigRequest{Key: "pay", Exportable: ptr(true)})
			return out.Result, err
		},
	} {
		t.Run(string(kind), func(t *testing.T) {
			b := startReviewed(t, kind)
			if res, err := do(b); err != nil || res.Status != change.Pending {
				t.Errorf("with a rule over it: %+v %v", res, err)
			}
			other := startReviewed(t, protect.Rollback)
			if res, err := do(other); err != nil || res.Status != change.Applied {
				t.Errorf("with a rule over something else: %+v %v", res, err)
			}
		})
	}
}

// TestReviewIsOverTheState: a rotation that was proposed for another key of the name
// is at odds with what is there.
func TestReviewIsOverTheState(t *testing.T) {
	b := startReviewed(t, protect.Rotate)
	b.create(transit.CreateRequest{Key: "pay", Type: transit.AES128})
	out, err := b.Transit.Rotate(ctx, b.Admin, transit.RotateRequest{Key: "pay"})
	if err != nil || out.Status != change.Pending {
		t.Fatalf("proposed %+v %v", out, err)
	}
	first, err := b.Changes.Get(ctx, b.ann, out.ID)
	if err != nil {
		t.Fatal(err)
	}
	b.config(transit.ConfigRequest{Key: "pay", DeletionAllowed: ptr(true)})
	digest, _ := hex.DecodeString(first.Digest)
	if _, err := b.Changes.Vote(ctx, b.ann, change.VoteRequest{ID: out.ID, Approve: true, Digest: digest}); !errs.Is(err, errs.Conflict) {
		t.Errorf("a vote over what was before: %v", err)
	}
	if _, err := b.Transit.Delete(ctx, b.Admin, transit.DeleteRequest{Key: "pay"}); err != nil {
		t.Fatal(err)
	}
	b.create(transit.CreateRequest{Key: "pay", Type: transit.AES256})
	r, err := b.Changes.Get(ctx, b.ann, out.ID)
	if err != nil || r.Conflict == "" {
		t.Errorf("for a key of another type: %+v %v", r, err)
	}
}

// TestUpsertWaits: a key that has to be approved of encrypts nothing before.
func TestUpsertWaits(t *testing.T) {
	b := startReviewed(t)
	_, err := b.Transit.Encrypt(ctx, b.Admin, transit.EncryptRequest{Key: "pay", Items: []transit.Plain{plain("x")}, Create: &transit.CreateRequest{}})
	if e := errs.As(err); e == nil || e.Code != change.CodeAwaits {
		t.Errorf("got %v", err)
	}
	if _, err := b.Transit.Get(ctx, b.Admin, "pay", nil); !errs.Is(err, errs.NotFound) {
		t.Errorf("the key: %v", err)
	}
}
