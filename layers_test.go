package countersign

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layer is one floor of the house: the packages on it, and what they may
// import of this module. A pattern ends in /... to mean everything below it.
type layer struct {
	packages []string
	may      []string
}

// house is read from the ground up. Arrows point down only.
var house = []layer{
	{[]string{"internal/errs", "internal/sensitive"}, nil},
	{[]string{"internal/name", "internal/caller"}, []string{"internal/errs"}},
	{[]string{"internal/name/convention"}, nil},
	{[]string{"internal/sshsig", "internal/egress"}, []string{"internal/errs"}},
	{[]string{"internal/mailer"}, nil},
	{[]string{"internal/proof"}, []string{"internal/errs", "internal/sshsig"}},
	{[]string{"internal/kv"}, nil},
	{[]string{"internal/kv/memkv", "internal/kv/boltkv/pages", "internal/kv/sealed", "internal/kv/traced", "internal/kv/faulty"}, []string{"internal/kv"}},
	{[]string{"internal/kv/boltkv"}, []string{"internal/kv", "internal/kv/boltkv/pages"}},
	{[]string{"internal/kv/fsck"}, []string{"internal/kv", "internal/kv/boltkv", "internal/kv/sealed"}},
	{[]string{"internal/seal"}, []string{"internal/errs", "internal/sensitive"}},
	{[]string{"internal/seal/keyfile", "internal/seal/passphrase"}, []string{"internal/seal", "internal/errs", "internal/sensitive"}},
	{[]string{"internal/keyring"}, []string{"internal/kv", "internal/seal", "internal/errs", "internal/sensitive"}},
	{[]string{"internal/rotator"}, []string{"internal/errs", "internal/sensitive"}},
	{[]string{"internal/rotator/postgresql", "internal/rotator/mysql"}, []string{"internal/rotator", "internal/rotator/database", "internal/errs", "internal/sensitive"}},
	{[]string{"internal/rotator/keypair", "internal/rotator/sshkey", "internal/rotator/certificate", "internal/rotator/jwt"}, []string{"internal/rotator", "internal/rotator/keys", "internal/errs", "internal/sensitive"}},
	{[]string{"internal/rotator/webhook", "internal/rotator/command", "internal/rotator/function"}, []string{"internal/rotator", "internal/rotator/call", "internal/errs", "internal/sensitive"}},
	{[]string{"internal/rotator/..."}, []string{"internal/rotator", "internal/errs", "internal/sensitive"}},

	{[]string{"internal/core/schedule", "internal/core/hours", "internal/core/schema"}, []string{"internal/errs"}},
	{[]string{"internal/core/policy", "internal/core/audit"}, []string{"internal/errs", "internal/name", "internal/caller"}},
	{[]string{"internal/core/record"}, []string{"internal/errs", "internal/kv"}},
	{[]string{"internal/core/bucket"}, nil},
	{[]string{"internal/core/due"}, []string{"internal/errs", "internal/kv"}},
	{[]string{"internal/core/leader"}, []string{"internal/errs", "internal/kv", "internal/kv/fsck", "internal/core/record"}},
	{[]string{"internal/core/generation"}, []string{"internal/kv", "internal/core/record"}},
	{[]string{"internal/core/notice"}, []string{"internal/errs", "internal/name", "internal/kv", "internal/kv/fsck", "internal/core/record"}},
	{[]string{"internal/core/protect"}, []string{"internal/errs", "internal/name"}},
	{[]string{"internal/core/gate"}, []string{"internal/errs", "internal/name", "internal/caller", "internal/kv", "internal/core/audit", "internal/core/policy"}},
	{[]string{"internal/core/change"}, append(ground, "internal/sshsig", "internal/proof", "internal/core/hours", "internal/core/audit", "internal/core/policy", "internal/core/protect", "internal/core/notice", "internal/core/record", "internal/core/gate")},
	{[]string{"internal/core/secret"}, append(ground, "internal/name/convention", "internal/keyring", "internal/core/audit", "internal/core/policy", "internal/core/protect",
		"internal/core/notice", "internal/core/record", "internal/core/gate", "internal/core/change", "internal/core/schedule", "internal/core/schema", "internal/core/generation", "internal/core/bucket", "internal/proof", "internal/rotator")},
	{[]string{"internal/core/authn"}, append(ground, "internal/core/audit", "internal/core/policy", "internal/core/protect", "internal/core/record", "internal/core/gate", "internal/core/change", "internal/core/generation", "internal/core/mount")},
	{[]string{"internal/core/mount"}, append(ground, "internal/core/policy", "internal/core/record", "internal/core/gate", "internal/core/change", "internal/core/generation")},
	{[]string{"internal/core/auditdevice"}, append(ground, "internal/core/audit", "internal/core/policy", "internal/core/record", "internal/core/gate", "internal/core/change", "internal/core/mount")},
	{[]string{"internal/core/identitytoken"}, append(ground, "internal/core/audit", "internal/core/policy", "internal/core/record", "internal/core/gate", "internal/core/change", "internal/core/authn")},
	{[]string{"internal/core/signin"}, append(ground, "internal/core/audit", "internal/core/policy", "internal/core/record", "internal/core/gate", "internal/core/change", "internal/core/authn")},
	{[]string{"internal/core/transit"}, append(ground, "internal/core/audit", "internal/core/policy", "internal/core/protect", "internal/core/record", "internal/core/gate", "internal/core/change")},
	{[]string{"internal/core/token"}, append(ground, "internal/core/audit", "internal/core/policy", "internal/core/record", "internal/core/gate", "internal/core/change", "internal/core/generation",
		"internal/core/authn", "internal/core/signin")},
	{[]string{"internal/core/login"}, append(ground, "internal/egress", "internal/core/audit", "internal/core/generation", "internal/core/policy", "internal/core/record", "internal/core/gate", "internal/core/change", "internal/core/authn", "internal/core/signin", "internal/core/mount", "internal/core/token")},
	{[]string{"internal/core/project", "internal/core/password"}, append(ground, "internal/core/policy", "internal/core/record", "internal/core/gate", "internal/core/change")},
	{[]string{"internal/core/notify"}, append(ground, "internal/core/audit", "internal/core/policy", "internal/core/protect", "internal/core/notice", "internal/core/record", "internal/core/gate", "internal/core/change")},
	{[]string{"internal/core/rotation"}, append(ground, "internal/rotator", "internal/core/audit", "internal/core/policy", "internal/core/notice", "internal/core/gate", "internal/core/schedule", "internal/core/secret")},
	{[]string{"internal/core/inspect", "internal/core/operate"}, append(ground, "internal/keyring", "internal/seal/...", "internal/core/...")},

	{[]string{"internal/front/httpx"}, []string{"internal/errs", "internal/caller"}},
	{[]string{"internal/front/sigv4"}, []string{"internal/errs", "internal/sensitive"}},
	{[]string{"internal/front/aws"}, front},
	{[]string{"internal/front/aws/secretsmanager"}, append(front, "internal/front/aws")},
	{[]string{"internal/front/native", "internal/front/vault"}, front},

	{[]string{"internal/config"}, []string{"internal/errs", "internal/name", "internal/name/convention", "internal/egress"}},
	{[]string{"internal/dotenv"}, []string{"internal/errs", "internal/sensitive"}},
	{[]string{"internal/server"}, []string{"internal/..."}},
	{[]string{"internal/client"}, []string{"internal/errs", "internal/sensitive"}},
	{[]string{"internal/cli/settings"}, []string{"internal/client", "internal/dotenv", "internal/errs", "internal/sensitive"}},
	{[]string{"internal/cli", "internal/cli/..."}, []string{"internal/cli/...", "internal/client", "internal/config", "internal/server", "internal/name/convention", "internal/errs", "internal/sensitive", "internal/dotenv", "internal/sshsig", "internal/proof"}},
	{[]string{"cmd/countersign"}, []string{"internal/cli"}},
}

var ground = []string{"internal/errs", "internal/name", "internal/caller", "internal/sensitive", "internal/kv", "internal/kv/fsck", "internal/sshsig", "internal/core/due"}

var front = []string{"internal/errs", "internal/rotator", "internal/proof", "internal/name", "internal/caller", "internal/sensitive", "internal/core/...", "internal/front/httpx", "internal/front/sigv4"}

// forTests are imported by tests and by each other only.
var forTests = []string{"internal/kv/kvtest", "internal/seal/sealtest", "internal/rotator/rotatetest", "internal/core/coretest", "internal/front/aws/awstest", "internal/cli/clitest"}

// never are arrows that a wide pattern above would let through.
var never = [][2]string{
	{"internal/cli/...", "internal/core/..."},
	{"internal/server", "internal/cli/..."},
	{"internal/server", "internal/client"},
	{"internal/core/...", "internal/front/..."},
	{"internal/core/...", "internal/server"},
}

func TestLayers(t *testing.T) {
	imports := readImports(t)
	used := map[string]bool{}
	for pkg, files := range imports {
		if slices.Contains(forTests, pkg) {
			used[pkg] = true
			continue
		}
		l := floorOf(pkg)
		if l == nil {
			t.Errorf("%s is in no layer: say in layers_test.go what it may import", pkg)
			continue
		}
		for _, p := range l.packages {
			if matches(p, pkg) {
				used[p] = true
			}
		}
		for file, list := range files {
			for _, imp := range list {
				if why := wrong(pkg, imp, l); why != "" {
					t.Errorf("%s: imports %s, %s", file, imp, why)
				}
			}
		}
	}
	for _, l := range house {
		for _, p := range l.packages {
			if !used[p] {
				t.Errorf("layers_test.go has a rule for %s, which is gone", p)
			}
		}
	}
	for _, p := range forTests {
		if !used[p] {
			t.Errorf("layers_test.go lists %s, which is gone", p)
		}
	}
}

func floorOf(pkg string) *layer {
	for i := range house {
		if slices.ContainsFunc(house[i].packages, func(p string) bool { return matches(p, pkg) }) {
			return &house[i]
		}
	}
	return nil
}

// wrong says why an arrow is, or returns "".
func wrong(pkg, imp string, l *layer) string {
	for _, n := range never {
		if matches(n[0], pkg) && matches(n[1], imp) {
			return "which never may"
		}
	}
	if slices.Contains(forTests, imp) {
		return "which is for tests"
	}
	if !slices.ContainsFunc(l.may, func(p string) bool { return matches(p, imp) }) {
		return "which its layer may not"
	}
	return ""
}

func matches(pattern, pkg string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(pkg, base+"/") || pkg == base
	}
	return pattern == pkg
}

// readImports parses the files of this module, tests left out: package ->
// file -> what it imports of the module.
func readImports(t *testing.T) map[string]map[string][]string {
	t.Helper()
	out := map[string]map[string][]string{}
	err := walkModule(func(path string) error {
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		if out[pkg] == nil {
			out[pkg] = map[string][]string{}
		}
		out[pkg][path] = nil
		for _, s := range f.Imports {
			imp, err := strconv.Unquote(s.Path.Value)
			if err != nil {
				return err
			}
			if rest, ok := strings.CutPrefix(imp, "countersign/"); ok {
				out[pkg][path] = append(out[pkg][path], rest)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// walkModule visits the Go files of this module: not those of modules nested
// in it, of hidden folders, of testdata and of what was built.
func walkModule(f func(path string) error) error {
	return filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			if strings.HasSuffix(path, ".go") && filepath.Dir(path) != "." {
				return f(path)
			}
			return nil
		}
		base := d.Name()
		if path != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" || base == "build" || base == "test") {
			return filepath.SkipDir
		}
		if path != "." {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
				return filepath.SkipDir
			}
		}
		return nil
	})
}

// TestPackageComments holds that each package has exactly one comment, which
// says what it is.
func TestPackageComments(t *testing.T) {
	comments := map[string][]string{}
	err := walkModule(func(path string) error {
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		if f.Doc != nil {
			comments[dir] = append(comments[dir], f.Doc.Text())
		} else {
			comments[dir] = append(comments[dir], "")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, texts := range comments {
		texts = slices.DeleteFunc(texts, func(s string) bool { return s == "" })
		switch {
		case len(texts) != 1:
			t.Errorf("%s has %d package comments, want one", dir, len(texts))
		case len(texts[0]) < 80 && !matches("internal/cli/...", filepath.ToSlash(dir)): // a command's manual is its help
			t.Errorf("%s: the package comment says too little: %q", dir, texts[0])
		}
	}
}
