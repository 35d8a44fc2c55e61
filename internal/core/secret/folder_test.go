package secret_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/coretest"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/secret"
	"countersign/internal/kv"
)

// choosy is an authorizer that refuses some of what another allows.
type choosy struct {
	gate.Authorizer
	no    func(*policy.Request) bool
	asked *int
}

func (c choosy) Authorize(r kv.Reader, at kv.Revision, req *policy.Request, resource *policy.Set) (policy.Decision, error) {
	if c.asked != nil {
		*c.asked++
	}
	if c.no != nil && c.no(req) {
		return policy.Decision{Effect: policy.EffectNoMatch}, nil
	}
	return c.Authorizer.Authorize(r, at, req, resource)
}

// folder lists as the administrator, "more" at the end when there is more.
func (f *fixture) folder(req secret.FolderRequest) string {
	f.t.Helper()
	out, err := f.Secrets.ListFolder(f.ctx, f.Admin, req)
	f.must(err)
	entries := out.Entries
	if out.More {
		entries = append(entries, "more behind "+out.Last)
	} else if out.Last != "" {
		f.t.Errorf("the last page has a place to go on from: %s", out.Last)
	}
	return strings.Join(entries, " ")
}

func TestListFolder(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		f := start(t, c)
		for _, n := range []string{"a", "a!", "a/x", "a/y/z", "a/y/zz", "a.b", "a0", "b/c/d/e", "kv/one", "kv/two", "z", "/lead/x"} {
			f.create(n, "v")
		}
		_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("z")})
		f.must(err)
		hide := func(prefix string) func(string) (string, bool) {
			return func(n string) (string, bool) {
				if strings.HasPrefix(n, prefix) {
					return strings.TrimSuffix(prefix, "/") + "0", true
				}
				return "", false
			}
		}
		one := func(hidden string) func(string) (string, bool) {
			return func(n string) (string, bool) { return "", n == hidden }
		}
		for _, x := range []struct {
			name string
			req  secret.FolderRequest
			want string
		}{
			{"all", secret.FolderRequest{}, "/ a a! a.b a/ a0 b/ kv/ z"},
			{"folder", secret.FolderRequest{Prefix: "a/"}, "x y/"},
			{"folder-without-a-slash", secret.FolderRequest{Prefix: "a"}, "x y/"},
			{"deeper", secret.FolderRequest{Prefix: "a/y/"}, "z zz"},
			{"leading-slash", secret.FolderRequest{Prefix: "/"}, "lead/"},
			{"nothing", secret.FolderRequest{Prefix: "nowhere/"}, ""},
			{"a-secret-is-no-folder", secret.FolderRequest{Prefix: "z/"}, ""},
			{"another-mount", secret.FolderRequest{Hide: hide("kv/")}, "/ a a! a.b a/ a0 b/ z"},
			{"another-mount-below", secret.FolderRequest{Hide: hide("b/c/")}, "/ a a! a.b a/ a0 kv/ z"},
			{"one-name", secret.FolderRequest{Hide: one("a!")}, "/ a a.b a/ a0 b/ kv/ z"},
			{"all-in-a-folder", secret.FolderRequest{Prefix: "a/", Hide: hide("a/y/")}, "x"},
			{"page", secret.FolderRequest{Max: 3}, "/ a a! more behind a!"},
			{"page-that-ends", secret.FolderRequest{Max: 2, Prefix: "a/"}, "x y/"},
			{"after-a-name", secret.FolderRequest{After: "a", Max: 2}, "a! a.b more behind a.b"},
			{"after-a-folder", secret.FolderRequest{After: "a/"}, "a0 b/ kv/ z"},
			{"after-what-is-not-there", secret.FolderRequest{After: "a1"}, "b/ kv/ z"},
			{"after-the-last", secret.FolderRequest{After: "z"}, ""},
		} {
			t.Run(x.name, func(t *testing.T) {
				f := &fixture{f.Core, t, f.ctx}
				if got := f.folder(x.req); got != x.want {
					t.Errorf("listed %s, want %s", got, x.want)
				}
			})
		}
		for _, bad := range []string{"a//b/", "../", "a b/"} {
			_, err := f.Secrets.ListFolder(f.ctx, f.Admin, secret.FolderRequest{Prefix: bad})
			f.expect(err, "invalid/secret-name")
		}
		nobody, _ := f.User(t, "nobody", "")
		_, err = f.Secrets.ListFolder(f.ctx, nobody, secret.FolderRequest{})
		f.expect(err, "denied/no-match")
	})
}

// TestListFolderShowsWhatIsSeen: a name is shown to who may list secrets under it,
// describe or read it; a folder to who may list secrets under it or sees something
// in it.
func TestListFolderShowsWhatIsSeen(t *testing.T) {
	f := start(t, coretest.Config{})
	names := []string{"a/one", "a/two", "b/c/one", "b/c/two", "d", "e"}
	for _, n := range names {
		f.create(n, "v")
	}
	inner := f.Gate.Auth
	asked := 0
	// sees makes the administrator see no more than that: "list a/", "ReadValue d".
	sees := func(what ...string) {
		asked = 0
		f.Gate.Auth = choosy{inner, func(r *policy.Request) bool {
			return r.Under != "" && !slices.Contains(what, r.Op.String()+" "+r.Under)
		}, &asked}
	}
	for _, x := range []struct {
		name   string
		sees   []string
		prefix string
		want   string
	}{
		{"nothing", nil, "", ""},
		{"names", []string{"ListSecrets d", "ListSecrets e"}, "", "d e"},
		{"described", []string{"Describe d"}, "", "d"},
		{"read", []string{"ReadValue e"}, "", "e"},
		{"folder", []string{"ListSecrets a/"}, "", "a/"},
		{"folder-is-not-what-is-in-it", []string{"ListSecrets a/"}, "a/", ""},
		{"what-is-in-it-is-the-folder", []string{"ReadValue a/two"}, "", "a/"},
		{"a-folder-in-it", []string{"ListSecrets b/c/"}, "", "b/"},
		{"and-below", []string{"ListSecrets b/c/"}, "b/", "c/"},
		{"deep", []string{"Describe b/c/two"}, "", "b/"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := &fixture{f.Core, t, f.ctx}
			sees(x.sees...)
			if got := f.folder(secret.FolderRequest{Prefix: x.prefix}); got != x.want {
				t.Errorf("listed %s, want %s", got, x.want)
			}
		})
	}
	// A page goes on behind what is not seen.
	sees("ListSecrets a/", "ListSecrets e")
	if diff := cmp.Diff("a/ more behind d", f.folder(secret.FolderRequest{Max: 1})); diff != "" {
		t.Error(diff)
	}
	if got := f.folder(secret.FolderRequest{Max: 1, After: "d"}); got != "e" {
		t.Errorf("listed %s", got)
	}
	f.Gate.Auth = inner
}

// Folders are skipped: what is below them costs nothing.
func TestListFolderSkips(t *testing.T) {
	f := start(t, coretest.Config{})
	for i := range 300 {
		f.create("big/"+token(i), "v")
	}
	f.create("small", "v")
	asked := 0
	inner := f.Gate.Auth
	f.Gate.Auth = choosy{inner, nil, &asked}
	if got := f.folder(secret.FolderRequest{}); got != "big/ small" {
		t.Errorf("listed %s", got)
	}
	if asked > 4 {
		t.Errorf("policy was asked %d times", asked)
	}
	f.Gate.Auth = inner
}
