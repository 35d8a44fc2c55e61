package cli_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"countersign/internal/cli"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/streams"
)

var update = flag.Bool("update", false, "write golden files anew")

// tree is the tree of commands with nothing around it, and what it prints.
func tree() (*cobra.Command, *env.Env, *bytes.Buffer) {
	var out bytes.Buffer
	e := &env.Env{Streams: &streams.Streams{In: strings.NewReader(""), Out: &out, Err: &out}, Version: "v0"}
	root := cli.NewRoot(e, func(string) string { return "" })
	root.InitDefaultHelpCmd()
	return root, e, &out
}

// walk calls f with every command.
func walk(c *cobra.Command, f func(c *cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		if sub.Name() != "help" {
			walk(sub, f)
		}
	}
}

// flags calls f with every flag of a command itself.
func flags(c *cobra.Command, f func(*pflag.Flag)) {
	c.NonInheritedFlags().VisitAll(f)
}

// secretFlag matches names under which a secret could be expected.
var secretFlag = regexp.MustCompile(`(?i)secret$|value|password|passphrase|^token$|credential|^data$`)

// allowed are flags that match and take no secret.
var allowed = map[string]string{
	"countersign audit tail --secret":  "the name of a secret",
	"countersign audit query --secret": "the name of a secret",
	"countersign restore --data":       "a folder",
}

func TestEveryCommandIsWhole(t *testing.T) {
	root, _, _ := tree()
	walk(root, func(c *cobra.Command) {
		path := c.CommandPath()
		t.Run(strings.ReplaceAll(path, " ", "/"), func(t *testing.T) {
			if c.Short == "" || strings.HasSuffix(c.Short, ".") || len(c.Short) > 80 {
				t.Errorf("short help %q: one line of at most 80 characters, without full stop", c.Short)
			}
			if c.Example == "" {
				t.Error("there is no example")
			}
			if c.RunE == nil || c.Run != nil {
				t.Error("the command has no RunE, or has Run, whose errors are lost")
			}
			for line := range strings.SplitSeq(c.Long, "\n") {
				if len(line) > 80 {
					t.Errorf("a line of the help is longer than 80 characters: %q", line)
				}
			}
			flags(c, func(f *pflag.Flag) {
				at := path + " --" + f.Name
				if secretFlag.MatchString(f.Name) && allowed[at] == "" {
					t.Errorf("%s may take a secret, which other processes could read", at)
				}
				if f.Usage == "" || f.Usage[0] >= 'A' && f.Usage[0] <= 'Z' {
					t.Errorf("%s has help %q", at, f.Usage)
				}
			})
		})
	})
}

// TestExamplesParse holds that each line of each example names commands and
// flags that exist.
func TestExamplesParse(t *testing.T) {
	root, _, _ := tree()
	call := regexp.MustCompile(`(?:^|[|(] ?|&& |")countersign ([^|)<>;"]*(?:"[^"$]*"[^|)<>;"]*)*)`)
	walk(root, func(c *cobra.Command) {
		for line := range strings.SplitSeq(c.Example, "\n") {
			for _, m := range call.FindAllStringSubmatch(strings.TrimSpace(line), -1) {
				t.Run(strings.ReplaceAll(c.CommandPath(), " ", "/"), func(t *testing.T) {
					fresh, _, _ := tree()
					sub, rest, err := fresh.Find(words(m[1]))
					if err != nil {
						t.Fatalf("%q: %v", line, err)
					}
					if err := sub.ParseFlags(rest); err != nil {
						t.Fatalf("%q: %v", line, err)
					}
					if err := sub.ValidateArgs(sub.Flags().Args()); err != nil {
						t.Fatalf("%q: %v", line, err)
					}
				})
			}
		}
	})
}

// words splits as a shell does, as far as examples need it.
func words(s string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|'([^']*)'|(\S+)`).FindAllStringSubmatch(s, -1) {
		out = append(out, m[1]+m[2]+m[3])
	}
	return out
}

func TestHelpIsGolden(t *testing.T) {
	root, _, out := tree()
	walk(root, func(c *cobra.Command) {
		fmt.Fprintf(out, "# %s\n\n", c.CommandPath())
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(out)
	})
	golden := filepath.Join("testdata", "help.golden")
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("help changed; look at it, then run go test with -update:\n%s", diff)
	}
}

func TestUsageErrors(t *testing.T) {
	tests := []struct {
		line string
		says string
	}{
		{"lits", `unknown command "lits"; did you mean "countersign list"?`},
		{"frobnicate", `unknown command "frobnicate"; see "countersign --help"`},
		{"audit frobnicate", `unknown command "frobnicate"; see "countersign audit --help"`},
		{"get", `NAME is missing; see "countersign get --help"`},
		{"get a b", `unexpected argument "b"; see "countersign get --help"`},
		{"get a --bogus", `unknown flag: --bogus; see "countersign get --help"`},
		{"get a --version x", `invalid argument "x" for "--version" flag: strconv.ParseUint: parsing "x": invalid syntax; see "countersign get --help"`},
		{"get a --json --key k", "--json excludes --key and --output"},
		{"put a canary", `too many arguments; a value is never an argument, where other processes could read it; see "countersign put --help"`},
		{"put a --tag b=c", "--description, --tag and --kms-key are for a secret that is created; give --new"},
		{"put a --new --base 1", "--new excludes --existing, --base and --label"},
		{"put a --key k --base 1", "--key excludes --base, --binary and --label"},
		{"put a --generate 0 --generate 9999", "--generate: a password has 1 to 4096 characters"},
		{"label a b", "give either --to VERSION or --remove"},
		{"tag a b", `tag: "b" is no KEY=VALUE`},
		{"delete a --window 1h", `--window: "1h" is no number of days; give 7d to 30d`},
		{"delete a --window 7d --force", "--force excludes --window"},
		{"list --sort size", `--sort: "size" is none of name, created-date, last-changed-date, last-accessed-date`},
		{"restore", "give NAME, to restore a secret, or --backup FILE, to restore a store"},
		{"restore a --backup b", "give either NAME, to restore a secret, or --backup, to restore a store"},
		{"restore --backup b", "--backup needs --data DIR, which says where the store is to be"},
		{"audit query --outcome bad", `--outcome: "bad" is none of ok, denied, refused, failed`},
		{"audit query --since soon", `--since: "soon" is no time; give one like 1h, 30d, 2026-11-23 or 2026-11-23T08:00:00Z`},
		{"audit query --since 1h --until 2h", "--since is not before --until, so nothing can be between them"},
		{"audit verify --key k", "--key, --head and --live are for checking files; give DIR"},
		{"audit verify d --head x", `--head: "x" is no SEQ:HASH`},
		{"audit tail -n -1", "--lines: -1 is negative"},
		{"key create", "--owner is missing: name the user or machine that the key is for"},
		{"key create --owner a --expires 2001-01-01", `--expires: "2001-01-01" is in the past`},
		{"key create --owner a --json --env", "--json excludes --env"},
		{"policy test --action a", "--user is missing: name who would do it"},
		{"policy attach p", "give either --user or --group"},
		{"policy attach p --user u --group g", "give either --user or --group"},
		{"update a", "nothing to change; give --description or --kms-key"},
		{"user update u", "nothing to change; give --disable, --enable, --tag, --untag or --person"},
		{"user update u --enable --disable", "--disable excludes --enable"},
		{"review", "give either --id ID or --latest"},
		{"review --id a --latest", "give either --id ID or --latest"},
		{"approve --id a -p x", "--id names the change alone; --project and --env go with --latest"},
		{"approve --id a -y --key k", "--key goes with --sign"},
		{"approve --id a", "there is nobody to confirm it: give --yes"},
		{"reject --latest", "there is nobody to confirm it: give --yes"},
		{"withdraw", "--id is missing: name the change; countersign status lists those that wait"},
		{"ready", "--id is missing: name the change; countersign status lists those that wait"},
		{"comment x", "--id is missing: name the change; countersign status lists those that wait"},
		{"rollback -r x", "give one of --id ID, --latest and --to VERSION or TIME"},
		{"rollback -r x --id a --to 1", "give one of --id ID, --latest and --to VERSION or TIME"},
		{"rollback n -r x --id a", "--id names the change alone"},
		{"rollback --id a", "--reason is missing: say why, as in a commit message"},
		{"rollback n -y -r x --to soon", `--to: "soon" is no version and no time; give one like 3, 1h or 2026-11-23T08:00:00Z`},
		{"history n --all", "--all excludes NAME and --env"},
		{"history --status done", `--status: "done" is none of draft, pending, conflicted, approved, applied, rejected, withdrawn, expired`},
		{"history --since soon", `--since: "soon" is no time; give one like 1h, 30d, 2026-11-23 or 2026-11-23T08:00:00Z`},
		{"status --id a -p x", "--id names the change alone"},
		{"propose", "--reason is missing: say why, as in a commit message"},
		{"propose n -r x --set K=canary", "--set K: a value is never an argument, where other processes could read it: give --set K and pipe or type the value, or --set K=@FILE"},
		{"pull --format toml", `--format: "toml" is none of dotenv, json, yaml, shell`},
		{"pull --keys-only -o f", "--keys-only excludes --output: keys are printed"},
		{"pull --json --format yaml", "--json excludes --format"},
		{"diff a", `ENV2 is missing; see "countersign diff --help"`},
		{"diff a b", `no project is named: give --project, set COUNTERSIGN_PROJECT, or put {"project": "NAME"} into .countersign.json`},
		{"protect set", "NAME is missing: name the rule, or give --file"},
		{"protect set a", "--match is missing: say which names the rule is about"},
		{"protect set a -f f", "--file sets all rules; it excludes NAME and the flags of one rule"},
		{"protect set a --match b --approve some", `--approve: "some" is no COUNT or COUNT:GROUP,GROUP`},
		{"protect set a --match b --approve 2:", `--approve: "2:" is no COUNT or COUNT:GROUP,GROUP`},
		{"protect set a --match b --mfa", "--mfa, --signed, --allow-author and --machine are about approvals: give --approve"},
		{"protect set a --match b --kind new", `--kind: "new" is none of create, edit, delete, rollback, restore-last, rotate, policy, rules`},
		{"protect set a --match b --expires 1h", `--expires: "1h" is no number of days; give one like 7d`},
		{"project create a", "--env is missing: name at least one environment"},
		{"project update a", "nothing to change; give --add-env or --remove-env"},
		{"init", "there is nobody to ask: give --yes, and say what is not the default by flags"},
		{"server", "--config is missing: name the configuration file; to try things out: countersign dev"},
		{"fsck", "give either --config FILE or --dir DIR, which say where the store is"},
		{"completion tcsh", `there is no completion for "tcsh"; there is one for bash, zsh, fish`},
		{"list --address vault.example", "the server's address is no http:// or https:// URL; set COUNTERSIGN_ADDR, for example to http://127.0.0.1:8200"},
		{"list --address http://vault.example", `"http://vault.example" is not encrypted and is not this machine: use https://, or allow it with --allow-plaintext or COUNTERSIGN_ALLOW_PLAINTEXT=1`},
		{"list --timeout 0", "--timeout: 0s is too short"},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.line, " ", "_"), func(t *testing.T) {
			var out, talk bytes.Buffer
			e := &env.Env{Streams: &streams.Streams{In: strings.NewReader(""), Out: &out, Err: &talk}}
			code := cli.Execute(t.Context(), e, func(string) string { return "" }, strings.Fields(tt.line))
			if want := "countersign: " + tt.says + "\n"; code != exit.Usage || talk.String() != want || out.Len() > 0 {
				t.Errorf("exit code %d, stdout %q\n said %q\n want %q", code, out.String(), talk.String(), want)
			}
		})
	}
}
