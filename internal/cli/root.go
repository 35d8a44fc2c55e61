// Package cli is the command line: one tree of commands over the native API,
// and the few that run the server's own functions in this process.
//
// Each command is a folder, noun/verb, with Options, NewCmd and Run: flags
// become options in NewCmd, and Run works with options alone. What a command
// needs comes in an env.Env. Data goes to standard output, talk to standard
// error; an error is one line that says what was wrong and what to do; the exit
// code says its class (package exit).
//
// A secret value is never an argument or a flag: see package input.
//
// The package is a client of the server and knows nothing of its core. Where
// the two meet, in serverside.go, it calls internal/server alone.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	accountcreate "countersign/internal/cli/account/create"
	accountlist "countersign/internal/cli/account/list"
	accountprovider "countersign/internal/cli/account/provider"
	accountsignin "countersign/internal/cli/account/signin"
	devicedisable "countersign/internal/cli/audit/device/disable"
	deviceenable "countersign/internal/cli/audit/device/enable"
	devicehash "countersign/internal/cli/audit/device/hash"
	devicelist "countersign/internal/cli/audit/device/list"
	auditquery "countersign/internal/cli/audit/query"
	audittail "countersign/internal/cli/audit/tail"
	auditverify "countersign/internal/cli/audit/verify"
	"countersign/internal/cli/change/approve"
	"countersign/internal/cli/change/comment"
	"countersign/internal/cli/change/history"
	"countersign/internal/cli/change/propose"
	"countersign/internal/cli/change/ready"
	"countersign/internal/cli/change/reject"
	"countersign/internal/cli/change/review"
	"countersign/internal/cli/change/rollback"
	changestatus "countersign/internal/cli/change/status"
	"countersign/internal/cli/change/withdraw"
	declareapply "countersign/internal/cli/declare/apply"
	declareplan "countersign/internal/cli/declare/plan"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	glassclose "countersign/internal/cli/glass/close"
	glasslist "countersign/internal/cli/glass/list"
	glassopen "countersign/internal/cli/glass/open"
	glassreport "countersign/internal/cli/glass/report"
	groupadd "countersign/internal/cli/group/add"
	groupcreate "countersign/internal/cli/group/create"
	groupdelete "countersign/internal/cli/group/delete"
	groupget "countersign/internal/cli/group/get"
	grouplist "countersign/internal/cli/group/list"
	groupremove "countersign/internal/cli/group/remove"
	keycreate "countersign/internal/cli/key/create"
	keylist "countersign/internal/cli/key/list"
	keyrevoke "countersign/internal/cli/key/revoke"
	notifydead "countersign/internal/cli/notify/deadletters"
	notifydelete "countersign/internal/cli/notify/delete"
	notifylist "countersign/internal/cli/notify/list"
	notifyput "countersign/internal/cli/notify/put"
	notifyreplay "countersign/internal/cli/notify/replay"
	notifytest "countersign/internal/cli/notify/test"
	policyattach "countersign/internal/cli/policy/attach"
	policydelete "countersign/internal/cli/policy/delete"
	policydetach "countersign/internal/cli/policy/detach"
	policyexplain "countersign/internal/cli/policy/explain"
	policyget "countersign/internal/cli/policy/get"
	policylist "countersign/internal/cli/policy/list"
	policyput "countersign/internal/cli/policy/put"
	policytest "countersign/internal/cli/policy/test"
	projectcreate "countersign/internal/cli/project/create"
	projectdelete "countersign/internal/cli/project/delete"
	projectget "countersign/internal/cli/project/get"
	projectlist "countersign/internal/cli/project/list"
	projectupdate "countersign/internal/cli/project/update"
	proofverify "countersign/internal/cli/proof/verify"
	protectdelete "countersign/internal/cli/protect/delete"
	protectlist "countersign/internal/cli/protect/list"
	protectset "countersign/internal/cli/protect/set"
	protecttest "countersign/internal/cli/protect/test"
	rotationcalendar "countersign/internal/cli/rotation/calendar"
	rotationcancel "countersign/internal/cli/rotation/cancel"
	rotationjwks "countersign/internal/cli/rotation/jwks"
	"countersign/internal/cli/rotation/rotate"
	rotationrotators "countersign/internal/cli/rotation/rotators"
	rotationset "countersign/internal/cli/rotation/set"
	rotationshow "countersign/internal/cli/rotation/show"
	schemacheck "countersign/internal/cli/schema/check"
	schemadelete "countersign/internal/cli/schema/delete"
	schemaset "countersign/internal/cli/schema/set"
	schemashow "countersign/internal/cli/schema/show"
	secretdelete "countersign/internal/cli/secret/delete"
	secretdescribe "countersign/internal/cli/secret/describe"
	secretget "countersign/internal/cli/secret/get"
	secretlabel "countersign/internal/cli/secret/label"
	secretlist "countersign/internal/cli/secret/list"
	secretput "countersign/internal/cli/secret/put"
	secretrestore "countersign/internal/cli/secret/restore"
	secrettag "countersign/internal/cli/secret/tag"
	secretuntag "countersign/internal/cli/secret/untag"
	secretupdate "countersign/internal/cli/secret/update"
	secretverify "countersign/internal/cli/secret/verify"
	secretversions "countersign/internal/cli/secret/versions"
	"countersign/internal/cli/server/backup"
	"countersign/internal/cli/server/completion"
	"countersign/internal/cli/server/dev"
	"countersign/internal/cli/server/fsck"
	"countersign/internal/cli/server/initialize"
	"countersign/internal/cli/server/recovery"
	"countersign/internal/cli/server/rotatekeys"
	"countersign/internal/cli/server/serve"
	"countersign/internal/cli/server/status"
	"countersign/internal/cli/server/version"
	"countersign/internal/cli/server/whoami"
	sessionlist "countersign/internal/cli/session/list"
	"countersign/internal/cli/session/login"
	"countersign/internal/cli/session/logout"
	"countersign/internal/cli/session/password"
	sessionrevoke "countersign/internal/cli/session/revoke"
	"countersign/internal/cli/setup/configure"
	"countersign/internal/cli/setup/wizard"
	"countersign/internal/cli/streams"
	totpconfirm "countersign/internal/cli/totp/confirm"
	totpdisable "countersign/internal/cli/totp/disable"
	totpenrol "countersign/internal/cli/totp/enrol"
	usercreate "countersign/internal/cli/user/create"
	userdelete "countersign/internal/cli/user/delete"
	userget "countersign/internal/cli/user/get"
	userinvite "countersign/internal/cli/user/invite"
	userlink "countersign/internal/cli/user/link"
	userlist "countersign/internal/cli/user/list"
	sshkeyadd "countersign/internal/cli/user/sshkey/add"
	sshkeylist "countersign/internal/cli/user/sshkey/list"
	sshkeyremove "countersign/internal/cli/user/sshkey/remove"
	userunlink "countersign/internal/cli/user/unlink"
	userupdate "countersign/internal/cli/user/update"
	"countersign/internal/cli/variables/diff"
	"countersign/internal/cli/variables/drift"
	"countersign/internal/cli/variables/pull"
	"countersign/internal/client"
)

// Run runs the command line of this process and returns its exit code. version
// is what the linker was told, or empty.
func Run(ctx context.Context, args []string, ver string) exit.Code {
	s := streams.System(os.Getenv)
	e := &env.Env{Streams: s, Server: serverSide(version.Read(ver).Version), Version: ver}
	return Execute(ctx, e, os.Getenv, args)
}

// Execute runs one command line with everything given, says on the error stream
// what went wrong, and returns the exit code.
func Execute(ctx context.Context, e *env.Env, getenv func(string) string, args []string) exit.Code {
	root := NewRoot(e, getenv)
	root.SetArgs(args)
	parsed := false
	root.PersistentPreRun = func(*cobra.Command, []string) { parsed = true }
	err := root.ExecuteContext(ctx)
	var coded *exit.Error
	if err != nil && !parsed && !errors.As(err, &coded) {
		err = exit.Usagef("%w; see \"countersign --help\"", err)
	}
	if msg := exit.Message(ctx, err); msg != "" {
		fmt.Fprintf(e.Streams.Err, "countersign: %s\n", strings.Join(strings.Fields(msg), " ")) // one line, whatever a library put into its text
	}
	return exit.Of(ctx, err)
}

// NewRoot makes the tree of commands. It fills in e.Connect unless that is set.
func NewRoot(e *env.Env, getenv func(string) string) *cobra.Command {
	cfg := client.ConfigFromEnv(getenv)
	cfg.UserAgent = "countersign/" + version.Read(e.Version).Version
	root := &cobra.Command{
		Use:   "countersign",
		Short: "Keep secrets, and know who read and changed them",
		Long: `Keep secrets, and know who read and changed them.

Commands speak to the server at COUNTERSIGN_ADDR (default ` + client.DefaultAddress + `)
with the token in COUNTERSIGN_TOKEN, or in the file that COUNTERSIGN_TOKEN_FILE
names, which must be yours alone, or as who signed in there with "countersign
login". "countersign dev" starts a server to try.

` + exit.Help,
		Example: `  countersign dev
  . .countersign/env
  countersign put myapp/database --file database.json
  countersign get myapp/database --key password
  countersign audit tail -f`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(e.Streams.In)
	root.SetOut(e.Streams.Out)
	root.SetErr(e.Streams.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.Usagef("%w; see %q", err, cmd.CommandPath()+" --help")
	})
	env.Hold(root)
	root.SetUsageTemplate(usage(root.UsageTemplate()))
	f := root.PersistentFlags()
	f.StringVar(&cfg.Address, "address", cfg.Address, "the server's `URL` (COUNTERSIGN_ADDR)")
	f.StringVar(&cfg.TokenFile, "token-file", cfg.TokenFile, "read the token from a `FILE` that is yours alone (COUNTERSIGN_TOKEN_FILE)")
	f.StringVar(&cfg.Region, "region", cfg.Region, "the region `LABEL` to work in (COUNTERSIGN_REGION)")
	f.StringVar(&cfg.CAFile, "ca-file", cfg.CAFile, "trust the certificate authorities in a PEM `FILE` (COUNTERSIGN_CA_FILE)")
	f.BoolVar(&cfg.AllowPlaintext, "allow-plaintext", cfg.AllowPlaintext, "send the token over plain HTTP to another machine too (COUNTERSIGN_ALLOW_PLAINTEXT)")
	f.DurationVar(&cfg.Timeout, "timeout", client.DefaultTimeout, "wait this `LONG` for an answer")
	for _, name := range []string{"address", "token-file", "region", "ca-file", "allow-plaintext"} {
		f.Lookup(name).DefValue = "" // what the environment holds does not belong into help
	}
	f.Lookup("allow-plaintext").DefValue = "false"
	who := &connection{env: e, cfg: &cfg, getenv: getenv, changed: f.Changed, warned: map[string]bool{}}
	if e.Connect == nil {
		e.Connect = who.connect
	}
	if e.Settings == nil {
		e.Settings = who.settings
	}
	if e.Store == nil {
		e.Store = who.place
	}
	if e.SignIn == nil {
		e.SignIn = who.signIn
	}
	if e.Getenv == nil {
		e.Getenv = getenv
	}
	addCommands(root, e)
	return root
}

// usage is cobra's template with the flags that all commands have named once,
// not in the help of each.
func usage(template string) string {
	before, rest, ok := strings.Cut(template, "{{if .HasAvailableInheritedFlags}}")
	_, after, ok2 := strings.Cut(rest, "{{end}}")
	if !ok || !ok2 {
		return template
	}
	return before + `{{if .HasAvailableInheritedFlags}}

Flags that say which server to ask, and as whom: see "countersign --help"{{end}}` + after
}

// The groups under which help lists commands.
const (
	forSecrets   = "secrets"
	forReview    = "review"
	forAccess    = "access"
	forAuditors  = "audit"
	forOperators = "server"
)

// addCommands is the list of commands, read top to bottom.
func addCommands(root *cobra.Command, e *env.Env) {
	root.AddGroup(&cobra.Group{ID: forSecrets, Title: "Secrets:"}, &cobra.Group{ID: forReview, Title: "Changes and their review:"}, &cobra.Group{ID: forAccess, Title: "Who may do what:"},
		&cobra.Group{ID: forAuditors, Title: "What was done:"}, &cobra.Group{ID: forOperators, Title: "Servers:"})
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(forSecrets,
		secretlist.NewCmd(e, nil),
		secretget.NewCmd(e, nil),
		secretput.NewCmd(e, nil),
		secretdescribe.NewCmd(e, nil),
		secretversions.NewCmd(e, nil),
		secretupdate.NewCmd(e, nil),
		secretlabel.NewCmd(e, nil),
		secrettag.NewCmd(e, nil),
		secretuntag.NewCmd(e, nil),
		secretdelete.NewCmd(e, nil),
		secretrestore.NewCmd(e, nil),
		secretverify.NewCmd(e, nil),
		env.Group("schema", "Schemas, which the values of secrets have to fit", "  countersign schema set myapp/database --file database.schema.json",
			schemaset.NewCmd(e, nil), schemashow.NewCmd(e, nil), schemadelete.NewCmd(e, nil), schemacheck.NewCmd(e, nil)),
		declareplan.NewCmd(e, nil),
		declareapply.NewCmd(e, nil),
		rotate.NewCmd(e, nil),
		env.Group("rotation", "Rotation: how and when secrets get new values", "  countersign rotation set payments/api-key --rotator random --days 30",
			rotationset.NewCmd(e, nil), rotationshow.NewCmd(e, nil), rotationcancel.NewCmd(e, nil), rotationcalendar.NewCmd(e, nil),
			rotationrotators.NewCmd(e, nil), rotationjwks.NewCmd(e, nil)))
	add(forReview,
		propose.NewCmd(e, nil),
		changestatus.NewCmd(e, nil),
		review.NewCmd(e, nil),
		approve.NewCmd(e, nil),
		reject.NewCmd(e, nil),
		withdraw.NewCmd(e, nil),
		comment.NewCmd(e, nil),
		ready.NewCmd(e, nil),
		history.NewCmd(e, nil),
		rollback.NewCmd(e, nil),
		pull.NewCmd(e, nil),
		diff.NewCmd(e, nil),
		drift.NewCmd(e, nil),
		env.Group("project", "Projects, whose environments hold variables", "  countersign project create backend-api --env dev --env production",
			projectcreate.NewCmd(e, nil), projectlist.NewCmd(e, nil), projectget.NewCmd(e, nil), projectupdate.NewCmd(e, nil), projectdelete.NewCmd(e, nil)),
		env.Group("protect", "Protection rules, which say what needs whose approval", "  countersign protect set production --match \"*/production\" --approve 2:approvers",
			protectset.NewCmd(e, nil), protectlist.NewCmd(e, nil), protectdelete.NewCmd(e, nil), protecttest.NewCmd(e, nil)))
	add(forAccess,
		env.Group("key", "Access keys, by which users and machines prove who they are", "  countersign key create --owner deploy --expires 30d",
			keycreate.NewCmd(e, nil), keylist.NewCmd(e, nil), keyrevoke.NewCmd(e, nil)),
		env.Group("policy", "Policies, which say who may do what", "  countersign policy put read-myapp --file read-myapp.json",
			policyput.NewCmd(e, nil), policyget.NewCmd(e, nil), policylist.NewCmd(e, nil), policydelete.NewCmd(e, nil),
			policyattach.NewCmd(e, nil), policydetach.NewCmd(e, nil), policytest.NewCmd(e, nil), policyexplain.NewCmd(e, nil)),
		env.Group("user", "Users and machines", "  countersign user create deploy --machine",
			usercreate.NewCmd(e, nil), userlist.NewCmd(e, nil), userget.NewCmd(e, nil), userupdate.NewCmd(e, nil), userdelete.NewCmd(e, nil),
			userinvite.NewCmd(e, nil), userlink.NewCmd(e, nil), userunlink.NewCmd(e, nil),
			env.Group("ssh-key", "SSH public keys, which prove signed approvals", "  countersign user ssh-key add alice --file ~/.ssh/id_ed25519.pub",
				sshkeyadd.NewCmd(e, nil), sshkeylist.NewCmd(e, nil), sshkeyremove.NewCmd(e, nil))),
		env.Group("group", "Groups of users", "  countersign group add developers alice",
			groupcreate.NewCmd(e, nil), grouplist.NewCmd(e, nil), groupget.NewCmd(e, nil), groupadd.NewCmd(e, nil),
			groupremove.NewCmd(e, nil), groupdelete.NewCmd(e, nil)),
		env.Group("account", "Accounts, whose users and secrets no other account sees", "  countersign account create 111122223333 --name staging",
			accountcreate.NewCmd(e, nil), accountlist.NewCmd(e, nil), accountsignin.NewCmd(e, nil), accountprovider.NewCmd(e, nil)),
		login.NewCmd(e, nil),
		logout.NewCmd(e, nil),
		password.NewCmd(e, nil),
		env.Group("totp", "Your authenticator, the second factor beside the password", "  countersign totp enrol",
			totpenrol.NewCmd(e, nil), totpconfirm.NewCmd(e, nil), totpdisable.NewCmd(e, nil)),
		env.Group("session", "Sessions of who is signed in", "  countersign session list",
			sessionlist.NewCmd(e, nil), sessionrevoke.NewCmd(e, nil)),
		whoami.NewCmd(e, nil))
	add(forReview,
		env.Group("break-glass", "Emergencies, in which changes are applied without a review", "  countersign break-glass open -r \"payments are down\"",
			glassopen.NewCmd(e, nil), glasslist.NewCmd(e, nil), glassreport.NewCmd(e, nil), glassclose.NewCmd(e, nil)),
		proofverify.NewCmd(e, nil),
		env.Group("notify", "Targets, to which notices of changes go", "  countersign notify put team --type slack --url-file slack.url",
			notifylist.NewCmd(e, nil), notifyput.NewCmd(e, nil), notifydelete.NewCmd(e, nil), notifytest.NewCmd(e, nil),
			notifydead.NewCmd(e, nil), notifyreplay.NewCmd(e, nil)))
	root.AddCommand(wizard.NewCmd(e, nil), configure.NewCmd(e, nil))
	add(forAuditors,
		env.Group("audit", "The audit log: every request, and what became of it", "  countersign audit query --since 1h --outcome denied",
			audittail.NewCmd(e, nil), auditquery.NewCmd(e, nil), auditverify.NewCmd(e, nil),
			env.Group("device", "Audit devices: the log a second time, for other programs", "  countersign audit device enable file file_path=audit.log",
				devicelist.NewCmd(e, nil), deviceenable.NewCmd(e, nil), devicedisable.NewCmd(e, nil), devicehash.NewCmd(e, nil))))
	add(forOperators,
		serve.NewCmd(e, nil, initialize.NewCmd(e, nil), recovery.NewCmd(e, nil), status.NewCmd(e, nil)),
		dev.NewCmd(e, nil),
		backup.NewCmd(e, nil),
		fsck.NewCmd(e, nil),
		rotatekeys.NewCmd(e, nil))
	root.AddCommand(completion.NewCmd(e), version.NewCmd(e, nil))
}
