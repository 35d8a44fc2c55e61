package secret_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/name"
)

func (f *fixture) replicate(n string, force bool) (secret.Written, error) {
	return f.Secrets.Replicate(f.ctx, f.Admin, id(n), []secret.Replica{{Region: coretest.Second, KMSKey: "there"}}, force, "")
}

func TestReplica(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		f := start(t, c)
		w := f.create("s", "v1")
		there := f.asIn(coretest.Second)
		if got := f.readAs(there, secret.ReadRequest{ID: id("s")}); got != "(not-found/secret)" {
			t.Errorf("before: %s", got)
		}
		out, err := f.replicate("s", false)
		f.must(err)
		if len(out.Replicas) != 1 || out.Replicas[0].Status != secret.InSync {
			t.Errorf("replicated: %+v", out)
		}
		f.put("s", 2, "v2")
		arn := strings.Replace(w.ARN, coretest.Region, coretest.Second, 1)
		for _, req := range []secret.ReadRequest{{ID: id("s")}, {ID: coretest.ID(t, arn)}, {ID: id("s"), VersionID: token(2)}, {ID: id("s"), Number: 2}} {
			if got := f.readAs(there, req); got != "v2" {
				t.Errorf("read through %+v: %s", req, got)
			}
		}
		d, err := f.Secrets.Describe(f.ctx, there, id("s"))
		f.must(err)
		if d.ARN != arn || d.PrimaryRegion != coretest.Region || d.KMSKey != "there" || d.Current != 2 || d.Region != coretest.Second {
			t.Errorf("the replica is %+v", d)
		}
		page, err := f.Secrets.List(f.ctx, there, secret.ListRequest{Filters: []secret.Filter{{Key: secret.ByPrimaryRegion, Values: []string{coretest.Region}}}})
		f.must(err)
		if len(page.Secrets) != 1 || page.Secrets[0].ARN != arn {
			t.Errorf("listed there: %+v", page)
		}
		f.unchanged(func() {
			str := "d"
			for op, do := range map[string]func() error{
				"put": func() error {
					_, err := f.Secrets.PutValue(f.ctx, there, secret.PutRequest{ID: id("s"), VersionID: token(3), Value: *text("x")})
					return err
				},
				"update": func() error {
					_, err := f.Secrets.Update(f.ctx, there, secret.UpdateRequest{ID: id("s"), Description: &str})
					return err
				},
				"label": func() error {
					_, err := f.Secrets.MoveLabel(f.ctx, there, secret.LabelRequest{ID: id("s"), Label: "A", To: token(1)})
					return err
				},
				"delete": func() error { _, err := f.Secrets.Delete(f.ctx, there, secret.DeleteRequest{ID: id("s")}); return err },
				"delete-forced": func() error {
					_, err := f.Secrets.Delete(f.ctx, there, secret.DeleteRequest{ID: id("s"), Force: true})
					return err
				},
				"restore": func() error { _, err := f.Secrets.Restore(f.ctx, there, id("s"), ""); return err },
				"tag":     func() error { _, err := f.Secrets.Tag(f.ctx, there, id("s"), []secret.Tag{{Key: "a"}}, ""); return err },
				"replicate": func() error {
					_, err := f.Secrets.Replicate(f.ctx, there, id("s"), []secret.Replica{{Region: coretest.Region}}, false, "")
					return err
				},
				"policy": func() error {
					_, err := f.Secrets.DeleteResourcePolicy(f.ctx, there, id("s"), "")
					return err
				},
			} {
				if got := code(do()); got != "precondition/replica" {
					t.Errorf("%s on a replica: %s", op, got)
				}
			}
			_, err := f.Secrets.Create(f.ctx, there, secret.CreateRequest{Name: "s", VersionID: token(2), Value: text("v2")})
			f.expect(err, "exists/secret")
			_, err = f.Secrets.Promote(f.ctx, f.Admin, id("s"), "")
			f.expect(err, "precondition/not-a-replica")
		})
		_, err = f.Secrets.RemoveReplicas(f.ctx, f.Admin, id("s"), []string{coretest.Second}, "")
		f.must(err)
		if got := f.readAs(there, secret.ReadRequest{ID: id("s")}); got != "(not-found/secret)" {
			t.Errorf("after removal: %s", got)
		}
		f.unchanged(func() {
			_, err = f.Secrets.RemoveReplicas(f.ctx, f.Admin, id("s"), []string{coretest.Second}, "")
			f.expect(err, "invalid/region")
			_, err = f.Secrets.RemoveReplicas(f.ctx, f.Admin, id("s"), nil, "")
			f.expect(err, "invalid@RemoveReplicaRegions")
		})
		_, err = f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("s")})
		f.must(err)
	})
}

func TestPromote(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		f := start(t, c)
		there := f.asIn(coretest.Second)
		f.create("s", "v1")
		for n := 2; n <= 4; n++ {
			f.put("s", n, fmt.Sprint("v", n))
		}
		_, err := f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: "KEEP", To: token(1)})
		f.must(err)
		_, err = f.replicate("s", false)
		f.must(err)
		_, err = f.Secrets.Promote(f.ctx, there, id("s"), "")
		f.must(err)
		for _, x := range []struct {
			req  secret.ReadRequest
			want string
		}{
			{secret.ReadRequest{ID: id("s")}, "v4"},
			{secret.ReadRequest{ID: id("s"), Label: name.Previous}, "v3"},
			{secret.ReadRequest{ID: id("s"), VersionID: token(1)}, "v1"},
			{secret.ReadRequest{ID: id("s"), VersionID: token(2)}, "(not-found/version)"},
		} {
			if got := f.readAs(there, x.req); got != x.want {
				t.Errorf("%+v: %s, want %s", x.req, got, x.want)
			}
		}
		f.put("s", 5, "here")
		_, err = f.Secrets.PutValue(f.ctx, there, secret.PutRequest{ID: id("s"), VersionID: token(6), Value: *text("there")})
		f.must(err)
		if got := f.read(secret.ReadRequest{ID: id("s")}); got != "here" {
			t.Errorf("the primary reads %s", got)
		}
		if got := f.readAs(there, secret.ReadRequest{ID: id("s")}); got != "there" {
			t.Errorf("the promoted reads %s", got)
		}
		_, err = f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("s"), Force: true})
		f.must(err)
		f.must(f.Secrets.Purge(f.ctx))
		if got := f.readAs(there, secret.ReadRequest{ID: id("s"), Label: "KEEP"}); got != "v1" {
			t.Errorf("after the primary went: %s", got)
		}
	})
}

// A promoted replica keeps the suffix of its primary; a replica that came in its
// place before its versions were purged would bring them back.
func TestReplicaWaitsForThePurgeOfItsPredecessor(t *testing.T) {
	f := start(t, coretest.Config{})
	there := f.asIn(coretest.Second)
	f.create("s", "v1")
	_, err := f.replicate("s", false)
	f.must(err)
	_, err = f.Secrets.Promote(f.ctx, there, id("s"), "")
	f.must(err)
	_, err = f.Secrets.PutValue(f.ctx, there, secret.PutRequest{ID: id("s"), VersionID: token(9), Value: *text("there")})
	f.must(err)
	_, err = f.Secrets.Delete(f.ctx, there, secret.DeleteRequest{ID: id("s"), Force: true})
	f.must(err)
	out, err := f.replicate("s", true)
	f.must(err)
	if out.Replicas[0].Status != secret.ReplicaFailed {
		t.Errorf("replicated onto what waits for its purge: %+v", out.Replicas)
	}
	f.must(f.Secrets.Purge(f.ctx))
	out, err = f.replicate("s", false)
	f.must(err)
	if len(out.Replicas) != 1 || out.Replicas[0].Status != secret.InSync {
		t.Errorf("after the purge: %+v", out.Replicas)
	}
	_, err = f.Secrets.Promote(f.ctx, there, id("s"), "")
	f.must(err)
	if got := f.readAs(there, secret.ReadRequest{ID: id("s"), VersionID: token(9)}); got != "(not-found/version)" {
		t.Errorf("a version of the predecessor reads %s", got)
	}
}

func TestReplicaWhoseNameIsTaken(t *testing.T) {
	f := start(t, coretest.Config{})
	there := f.asIn(coretest.Second)
	_, err := f.Secrets.Create(f.ctx, there, secret.CreateRequest{Name: "s", VersionID: token(1), Value: text("theirs")})
	f.must(err)
	f.create("s", "ours")
	out, err := f.replicate("s", false)
	f.must(err)
	if r := out.Replicas[0]; r.Status != secret.ReplicaFailed || !strings.Contains(r.Message, "already exists") {
		t.Errorf("replicated: %+v", r)
	}
	if got := f.readAs(there, secret.ReadRequest{ID: id("s")}); got != "theirs" {
		t.Errorf("the other secret reads %s", got)
	}
	who, _ := f.User(t, "replicator", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["secretsmanager:ReplicateSecretToRegions","secretsmanager:CreateSecret"],"Resource":"*"},
		{"Effect":"Allow","Action":"secretsmanager:DeleteSecret","Resource":"arn:aws:secretsmanager:us-east-1:*"}]}`)
	f.unchanged(func() {
		_, err := f.Secrets.Replicate(f.ctx, who, id("s"), []secret.Replica{{Region: coretest.Second}}, true, "")
		f.expect(err, "denied/no-match")
		_, err = f.Secrets.Create(f.ctx, who, secret.CreateRequest{Name: "s", ForceReplicas: true, Replicas: []secret.Replica{{Region: coretest.Second}}})
		f.expect(err, "denied/no-match")
	})
	out, err = f.replicate("s", true)
	f.must(err)
	if len(out.Replicas) != 1 || out.Replicas[0].Status != secret.InSync {
		t.Errorf("by force: %+v", out.Replicas)
	}
	if got := f.readAs(there, secret.ReadRequest{ID: id("s")}); got != "ours" {
		t.Errorf("the replica reads %s", got)
	}
	f.must(f.Secrets.Purge(f.ctx))
	if got := f.readAs(there, secret.ReadRequest{ID: id("s")}); got != "ours" {
		t.Errorf("after the purge of what was overwritten, the replica reads %s", got)
	}
}

func TestCreateWithReplicas(t *testing.T) {
	f := start(t, coretest.Config{})
	there := f.asIn(coretest.Second)
	_, err := f.Secrets.Create(f.ctx, there, secret.CreateRequest{Name: "s", VersionID: token(1), Value: text("theirs")})
	f.must(err)
	w, err := f.Secrets.Create(f.ctx, f.Admin, secret.CreateRequest{Name: "s", VersionID: token(1), Value: text("ours"),
		Replicas: []secret.Replica{{Region: coretest.Second}}, ForceReplicas: true})
	f.must(err)
	if len(w.Replicas) != 1 || w.Replicas[0].Status != secret.InSync {
		t.Errorf("created %+v", w)
	}
	if got := f.readAs(there, secret.ReadRequest{ID: id("s")}); got != "ours" {
		t.Errorf("the replica reads %s", got)
	}
	regions := f.Secrets.Regions()
	if !slices.Equal(regions, []string{coretest.Region, coretest.Second}) {
		t.Errorf("regions %q", regions)
	}
}
