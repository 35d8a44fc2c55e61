package secret_test

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// operations are all exported methods about one secret.
func (f *fixture) operations(who caller.Caller, s name.SecretID) map[string]func() error {
	str := "d"
	return map[string]func() error{
		"ReadValue": func() error { _, err := f.Secrets.ReadValue(f.ctx, who, secret.ReadRequest{ID: s}); return err },
		"ReadVersion": func() error {
			_, err := f.Secrets.ReadValue(f.ctx, who, secret.ReadRequest{ID: s, VersionID: token(1)})
			return err
		},
		"ReadNumber": func() error {
			_, err := f.Secrets.ReadValue(f.ctx, who, secret.ReadRequest{ID: s, Number: 1})
			return err
		},
		"Describe":          func() error { _, err := f.Secrets.Describe(f.ctx, who, s); return err },
		"ListVersions":      func() error { _, err := f.Secrets.ListVersions(f.ctx, who, secret.VersionsRequest{ID: s}); return err },
		"GetResourcePolicy": func() error { _, err := f.Secrets.GetResourcePolicy(f.ctx, who, s); return err },
		"Validate": func() error {
			_, err := f.Secrets.ValidateResourcePolicy(f.ctx, who, s, `{"Version":"2012-10-17","Statement":[]}`)
			return err
		},
		"PutValue": func() error {
			_, err := f.Secrets.PutValue(f.ctx, who, secret.PutRequest{ID: s, VersionID: token(1), Value: *text("v")})
			return err
		},
		"PutOther": func() error {
			_, err := f.Secrets.PutValue(f.ctx, who, secret.PutRequest{ID: s, VersionID: token(1), Value: *text("w")})
			return err
		},
		"Update": func() error {
			_, err := f.Secrets.Update(f.ctx, who, secret.UpdateRequest{ID: s, Description: &str, VersionID: token(2), Value: text("v")})
			return err
		},
		"MoveLabel": func() error {
			_, err := f.Secrets.MoveLabel(f.ctx, who, secret.LabelRequest{ID: s, Label: "A", To: token(1)})
			return err
		},
		"Delete": func() error { _, err := f.Secrets.Delete(f.ctx, who, secret.DeleteRequest{ID: s}); return err },
		"DeleteForce": func() error {
			_, err := f.Secrets.Delete(f.ctx, who, secret.DeleteRequest{ID: s, Force: true})
			return err
		},
		"Restore": func() error { _, err := f.Secrets.Restore(f.ctx, who, s, ""); return err },
		"Tag": func() error {
			_, err := f.Secrets.Tag(f.ctx, who, s, []secret.Tag{{Key: "team", Value: "x"}}, "")
			return err
		},
		"Untag": func() error { _, err := f.Secrets.Untag(f.ctx, who, s, []string{"team"}, ""); return err },
		"PutPolicy": func() error {
			_, err := f.Secrets.PutResourcePolicy(f.ctx, who, s, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+who.ARN()+`"},"Action":"*","Resource":"*"}]}`, false, "")
			return err
		},
		"DeletePolicy": func() error { _, err := f.Secrets.DeleteResourcePolicy(f.ctx, who, s, ""); return err },
		"Rotate": func() error {
			_, err := f.Secrets.Rotate(f.ctx, who, secret.RotateRequest{ID: s, VersionID: token(3), Function: "f"})
			return err
		},
		"CancelRotation": func() error { _, err := f.Secrets.CancelRotation(f.ctx, who, s, ""); return err },
		"Replicate": func() error {
			_, err := f.Secrets.Replicate(f.ctx, who, s, []secret.Replica{{Region: coretest.Second}}, true, "")
			return err
		},
		"RemoveReplicas": func() error {
			_, err := f.Secrets.RemoveReplicas(f.ctx, who, s, []string{coretest.Second}, "")
			return err
		},
		"Promote":      func() error { _, err := f.Secrets.Promote(f.ctx, who, s, ""); return err },
		"KVRead":       func() error { _, err := f.Secrets.ReadVersion(f.ctx, who, secret.KVRead{ID: s}); return err },
		"KVReadNumber": func() error { _, err := f.Secrets.ReadVersion(f.ctx, who, secret.KVRead{ID: s, Number: 1}); return err },
		"KVReadKeys":   func() error { _, err := f.Secrets.ReadKeys(f.ctx, who, secret.KVRead{ID: s}); return err },
		"KVDescribe":   func() error { _, err := f.Secrets.KVDescribe(f.ctx, who, s); return err },
		"KVPut": func() error {
			_, err := f.Secrets.KVPut(f.ctx, who, secret.KVWrite{ID: s, Value: *text("v"), CAS: new(uint64)})
			return err
		},
		"KVPatch": func() error {
			_, err := f.Secrets.KVPatch(f.ctx, who, secret.KVPatch{ID: s, Patch: sensitive.FromString("{}")})
			return err
		},
		"KVDeleteCurrent": func() error { _, err := f.Secrets.DeleteVersions(f.ctx, who, secret.KVVersions{ID: s}); return err },
		"KVDelete": func() error {
			_, err := f.Secrets.DeleteVersions(f.ctx, who, secret.KVVersions{ID: s, Numbers: []uint64{1}})
			return err
		},
		"KVUndelete": func() error {
			_, err := f.Secrets.UndeleteVersions(f.ctx, who, secret.KVVersions{ID: s, Numbers: []uint64{1}})
			return err
		},
		"KVDestroy": func() error {
			_, err := f.Secrets.DestroyVersions(f.ctx, who, secret.KVVersions{ID: s, Numbers: []uint64{1}})
			return err
		},
		"KVSet": func() error {
			_, err := f.Secrets.KVSet(f.ctx, who, secret.KVSet{ID: s, Tags: map[string]*string{"team": &str}})
			return err
		},
		"Batch": func() error {
			b, err := f.Secrets.BatchReadValue(f.ctx, who, secret.BatchRequest{IDs: []name.SecretID{s}})
			if err == nil && len(b.Failures) == 1 {
				return b.Failures[0].Err
			}
			return err
		},
	}
}

var anID = regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{26}`)

// told is everything that an error tells its receiver, but for ids.
func told(err error) string {
	if err == nil {
		return "ok"
	}
	e := errs.As(err)
	return anID.ReplaceAllString(fmt.Sprintf("%s|%s|%s|%s", e.Kind, e.Code, e.Field, e.Msg), "ID")
}

// Another account's administrator, who may do everything there, is told the same
// of what exists and of what does not, and leaves no trace.
func TestStrangerCannotTellWhatExists(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		f := start(t, c)
		stranger, _ := f.Stranger(t)
		plain := f.create("plain", "v")
		guarded := f.create("guarded", "v")
		_, err := f.Secrets.Tag(f.ctx, f.Admin, id("guarded"), []secret.Tag{{Key: "team", Value: "blue"}}, "")
		f.must(err)
		_, err = f.Secrets.PutResourcePolicy(f.ctx, f.Admin, id("guarded"), `{"Version":"2012-10-17","Statement":[
			{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:PrincipalAccount":"111111111111"}}}]}`, false, "")
		f.must(err)
		f.create("replicated", "v")
		_, err = f.Secrets.Replicate(f.ctx, f.Admin, id("replicated"), []secret.Replica{{Region: coretest.Second}}, false, "")
		f.must(err)
		deleted := f.create("deleted", "v")
		_, err = f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("deleted")})
		f.must(err)

		arn := func(s string) name.SecretID { return coretest.ID(t, s) }
		const prefix = "arn:aws:secretsmanager:us-east-1:111111111111:secret:"
		absent := arn(prefix + "absent-AAAAAA")
		there := map[string]name.SecretID{
			"by-arn":          arn(plain.ARN),
			"by-partial-arn":  arn(prefix + "plain"),
			"guarded":         arn(guarded.ARN),
			"guarded-partial": arn(prefix + "guarded"),
			"replicated":      arn(prefix + "replicated"),
			"replica":         arn(strings.Replace(prefix, coretest.Region, coretest.Second, 1) + "replicated"),
			"deleted":         arn(deleted.ARN),
			"wrong-suffix":    arn(prefix + "plain-ZZZZZZ"),
			"no-such-account": arn(strings.Replace(plain.ARN, "111111111111", "999999999999", 1)),
		}
		f.unchanged(func() {
			want := map[string]string{}
			for op, do := range f.operations(stranger, absent) {
				want[op] = told(do())
				if !strings.HasPrefix(want[op], "denied|no-match") {
					t.Errorf("%s on what is absent: %s", op, want[op])
				}
			}
			for where, s := range there {
				for op, do := range f.operations(stranger, s) {
					if got := told(do()); got != want[op] {
						t.Errorf("%s %s: told %s, of what is absent %s", op, where, got, want[op])
					}
				}
			}
		})
		// By name, the stranger's own account is meant, where there is nothing.
		quiet := []string{"DeleteForce", "Validate", "KVDeleteCurrent", "KVDelete", "KVUndelete", "KVDestroy"} // of what is not there
		creates := []string{"KVPut", "KVSet"}
		for op, do := range f.operations(stranger, id("plain")) {
			if slices.Contains(creates, op) {
				continue
			}
			if got, want := code(do()), "not-found/secret"; got != want && !slices.Contains(quiet, op) {
				t.Errorf("%s by name: %s", op, got)
			}
		}
		for _, op := range creates {
			f.must(f.operations(stranger, id("plain"))[op]())
		}
		if got := f.read(secret.ReadRequest{ID: id("plain")}); got != "v" {
			t.Errorf("after a stranger created one of that name it reads %s", got)
		}
		// What the stranger's account can read of the decisions is the same too.
		explained := map[string]map[string]bool{}
		for _, r := range f.Records(t) {
			if r.Principal.Name != stranger.Name || r.Decision == nil {
				continue
			}
			if r.Account != coretest.Other {
				t.Errorf("the refusal of a stranger is in the log of account %s", r.Account)
			}
			if r.Resource == "replicated" || strings.Contains(r.Decision.Resource, coretest.Second) {
				continue // named in another region
			}
			d := *r.Decision
			d.ID, d.Resource = "", strings.NewReplacer("plain", "X", "guarded", "X", "deleted", "X", "absent", "X", "999999999999", "111111111111").Replace(d.Resource)
			text := strings.ReplaceAll(fmt.Sprintf("%+v", d), "999999999999", "111111111111")
			if explained[r.Operation] == nil {
				explained[r.Operation] = map[string]bool{}
			}
			explained[r.Operation][text] = true
		}
		for op, texts := range explained {
			if len(texts) != 1 {
				t.Errorf("%s is explained in %d ways: %v", op, len(texts), texts)
			}
		}
	})
}

// Within an account, who may do nothing is told the same of everything.
func TestRefusalDoesNotTellWhatExists(t *testing.T) {
	f := start(t, coretest.Config{})
	who, _ := f.User(t, "nobody", "")
	f.create("plain", "v")
	f.create("guarded", "v")
	_, err := f.Secrets.PutResourcePolicy(f.ctx, f.Admin, id("guarded"), `{"Version":"2012-10-17","Statement":[
		{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:username":"nobody"}}}]}`, false, "")
	f.must(err)
	f.unchanged(func() {
		operations := func(n string) map[string]func() error {
			all := f.operations(who, id(n))
			all["Patch"] = func() error {
				_, err := f.Secrets.Patch(f.ctx, who, secret.PatchRequest{ID: id(n), Set: map[string]sensitive.Bytes{"a": sensitive.FromString("1")}})
				return err
			}
			return all
		}
		absent := operations("absent")
		for _, n := range []string{"plain", "guarded"} {
			for op, do := range operations(n) {
				if got, want := told(do()), told(absent[op]()); got != want {
					t.Errorf("%s on %s: told %s, of what is absent %s", op, n, got, want)
				}
			}
		}
	})
}

func TestCrossAccount(t *testing.T) {
	f := start(t, coretest.Config{})
	stranger, _ := f.Stranger(t)
	w := f.create("shared", "v")
	share := func(principal string) {
		_, err := f.Secrets.PutResourcePolicy(f.ctx, f.Admin, id("shared"), `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Principal":{"AWS":"`+principal+`"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`, false, "")
		f.must(err)
	}
	arn := secret.ReadRequest{ID: coretest.ID(t, w.ARN)}
	share(stranger.ARN())
	if got := f.readAs(stranger, arn); got != "v" {
		t.Errorf("both allow: %s", got)
	}
	rs := f.Records(t)
	read := slices.IndexFunc(rs, func(r auditRecord) bool { return r.Operation == "ReadValue" })
	if last := rs[read]; last.Account != coretest.Home || last.Principal.Account != coretest.Other || last.Resource != "shared" {
		t.Errorf("the record is not the owner's: %+v", last)
	}
	if _, err := f.Secrets.Describe(f.ctx, stranger, arn.ID); code(err) != "denied/no-match" {
		t.Errorf("what is not shared: %v", err)
	}
	weak, err := f.Authn.CreateKey(f.ctx, stranger, createKey(stranger.Name, "SecurityAudit"))
	f.must(err)
	if got := f.readAs(f.As(t, weak), arn); got != "(denied/no-match)" {
		t.Errorf("the owner allows, the caller's own policies do not: %s", got)
	}
	share("arn:aws:iam::333333333333:user/x")
	if got := f.readAs(stranger, arn); got != "(denied/no-match)" {
		t.Errorf("the caller's policies allow, the owner does not: %s", got)
	}
}

// A value's ciphertext opens in its own place alone: neither another record of
// the store, nor another version, nor another secret can stand in for it.
func TestCiphertextsCannotBeSwapped(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		for _, layer := range []string{"below-the-store's-encryption", "through-it"} {
			t.Run(strings.ReplaceAll(layer, "'", ""), func(t *testing.T) {
				f := start(t, c)
				keys := map[string]kv.Key{}
				for _, s := range []string{"a", "b"} {
					w := f.create(s, "1 of "+s)
					f.put(s, 2, "2 of "+s)
					_, suffix, _ := name.CutSuffix(w.ARN)
					for n := uint64(1); n <= 2; n++ {
						keys[fmt.Sprint(s, n)] = secret.ValueKey(name.Secret{Account: coretest.Home, Region: coretest.Region, Name: s}, suffix, n)
					}
				}
				db := f.DB
				if layer != "through-it" {
					db = f.Engine
				}
				swap := func(x, y kv.Key) {
					_, err := db.Update(f.ctx, func(tx kv.Txn) error {
						vx, err := tx.Get(x)
						if err != nil {
							return err
						}
						vx = bytes.Clone(vx)
						vy, err := tx.Get(y)
						if err != nil {
							return err
						}
						vy = bytes.Clone(vy)
						if err := tx.Put(x, vy); err != nil {
							return err
						}
						return tx.Put(y, vx)
					})
					f.must(err)
				}
				for _, pair := range [][2]string{{"a1", "b1"}, {"a1", "a2"}} {
					swap(keys[pair[0]], keys[pair[1]])
					for _, at := range pair {
						if got := f.read(secret.ReadRequest{ID: id(at[:1]), Number: uint64(at[1] - '0')}); got != "(internal)" {
							t.Errorf("%s swapped with the other of %v reads %s", at, pair, got)
						}
					}
					swap(keys[pair[0]], keys[pair[1]])
					if got := f.read(secret.ReadRequest{ID: id("a"), Number: 1}); got != "1 of a" {
						t.Errorf("put back, it reads %s", got)
					}
				}
			})
		}
	})
}

func createKey(owner string, policies ...string) authn.CreateKeyRequest {
	return authn.CreateKeyRequest{Owner: owner, Policies: policies}
}

func home(n string) name.Secret {
	return name.Secret{Account: coretest.Home, Region: coretest.Region, Name: n}
}

// What a secret carries of its current version's value opens for that secret
// and version alone, and the check of the store finds what is not its own.
func TestCarriedValueIsBound(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		f := start(t, c)
		f.create("a", "1 of a")
		f.put("a", 2, "2 of a")
		f.create("b", "1 of b")
		carries := func(s string) (v []byte) {
			f.must(f.DB.View(f.ctx, func(r kv.Reader) (err error) { v, err = secret.Carried(r, home(s)); return err }))
			if len(v) == 0 {
				t.Fatalf("%s carries nothing", s)
			}
			return v
		}
		move := func(from, to int) {
			_, err := f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("a"), Label: name.Current, From: token(from), To: token(to)})
			f.must(err)
			if got, want := f.read(secret.ReadRequest{ID: id("a")}), fmt.Sprint(to, " of a"); got != want {
				t.Fatalf("reads %s, want %s", got, want)
			}
		}
		expect := func(carried []byte, value string, problems int) {
			t.Helper()
			_, err := f.DB.Update(f.ctx, func(tx kv.Txn) error { return secret.SetCarried(tx, home("a"), carried) })
			f.must(err)
			if got := f.read(secret.ReadRequest{ID: id("a")}); got != value {
				t.Errorf("reads %s, want %s", got, value)
			}
			found := 0
			f.must(f.DB.View(f.ctx, func(r kv.Reader) error {
				found = 0
				return secret.Refer(f.Ring)(r, func(kv.Key, string) { found++ })
			}))
			if found != problems {
				t.Errorf("the check of the store finds %d problems, want %d", found, problems)
			}
		}
		move(2, 1)
		older := carries("a")
		move(1, 2)
		own := carries("a")
		expect(older, "(internal)", 1)
		expect(carries("b"), "(internal)", 1)
		expect(nil, "2 of a", 1) // it is read from its own record
		expect(own, "2 of a", 0)
	})
}

// A long value is not carried, and one that takes its place is.
func TestLongValueIsNotCarried(t *testing.T) {
	f := start(t, coretest.Config{})
	long := strings.Repeat("x", 600)
	f.create("s", long)
	for n, want := range []string{long, "short", long} {
		if n > 0 {
			f.put("s", n+1, want)
		}
		if got := f.read(secret.ReadRequest{ID: id("s")}); got != want {
			t.Errorf("version %d: reads %.20q", n+1, got)
		}
		f.must(f.DB.View(f.ctx, func(r kv.Reader) error {
			if v, err := secret.Carried(r, home("s")); err != nil || len(v) > 0 != (want == "short") {
				t.Errorf("version %d: %d bytes are carried, %v", n+1, len(v), err)
			}
			return nil
		}))
	}
}
