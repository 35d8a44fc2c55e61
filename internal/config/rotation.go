package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"countersign/internal/egress"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// Rotation configures how secrets are rotated.
type Rotation struct {
	// Concurrency is how many secrets are rotated at once, 1 to 64. Default 4.
	Concurrency int `yaml:"concurrency"`
	// Timeout is that of one step, 1s to 15m. Default 30s.
	Timeout Duration `yaml:"timeout"`
	// Attempts is how often a step is done before the rotation is undone, 1 to 20.
	// Default 5.
	Attempts int `yaml:"attempts"`
	// Allow are addresses or CIDR blocks that targets may be at although they are not
	// public ones, and by connections that are not encrypted. Default none.
	Allow []Prefix `yaml:"allow"`
	// Functions, Webhooks and Commands are what rotations may call. Default none.
	Functions []RotationFunction `yaml:"functions"`
	Webhooks  []RotationWebhook  `yaml:"webhooks"`
	Commands  []RotationCommand  `yaml:"commands"`
}

// RotationFunction is a rotation function as AWS has them, and where it is.
type RotationFunction struct {
	// ARN is by which rotations name it. Required.
	ARN string `yaml:"arn"`
	// URL is where the Invoke API is served. Required.
	URL string `yaml:"url"`
	// User is the user or machine as which the function calls back. Default none:
	// it shows the rotation's token.
	User string `yaml:"user"`
	// Credentials is a private file with the access key that requests are signed with.
	// Required unless the URL is on loopback.
	Credentials string `yaml:"credentials"`
	// Accounts may use it. Default the home account.
	Accounts []string `yaml:"accounts"`
	Timeout  Duration `yaml:"timeout"` // of one call, 1s to 15m; default 60s
}

// RotationWebhook is called with a signed request.
type RotationWebhook struct {
	Name string `yaml:"name"` // required
	URL  string `yaml:"url"`  // required
	// KeyFile is a private file with the key that signs, one on a line; while it is
	// being replaced there may be two. Required.
	KeyFile  string   `yaml:"key_file"`
	Mode     string   `yaml:"mode"`     // steps or single; default steps
	Previous string   `yaml:"previous"` // unknown, replaced or kept; default unknown
	Accounts []string `yaml:"accounts"` // that may use it; default the home account
	Timeout  Duration `yaml:"timeout"`  // of one call, 1s to 15m; default 30s
}

// RotationCommand is a program on this machine.
type RotationCommand struct {
	Name string `yaml:"name"` // required
	// Argv is the program, by its whole path, and its arguments. Required.
	Argv     []string          `yaml:"argv"`
	Env      map[string]string `yaml:"env"`      // its environment; default PATH alone
	Mode     string            `yaml:"mode"`     // steps or single; default steps
	Previous string            `yaml:"previous"` // unknown, replaced or kept; default unknown
	Accounts []string          `yaml:"accounts"` // that may use it; default the home account
	Timeout  Duration          `yaml:"timeout"`  // of one call, 1s to 15m; default 60s
}

// How a webhook or command is called, and what becomes of the previous credential.
const (
	ModeSteps        = "steps"
	ModeSingle       = "single"
	PreviousUnknown  = "unknown"
	PreviousReplaced = "replaced"
	PreviousKept     = "kept"
)

// MaxRotationTimeout is the longest time that a step of a rotation can be given.
const MaxRotationTimeout = 15 * time.Minute

// Limits of a configuration.
const (
	maxCalled = 256      // functions, webhooks and commands, of each
	maxArgv   = 64       // arguments of a command
	maxWords  = 64 << 10 // bytes of arguments and environment
)

func (r *Rotation) setDefaults(home string, abs func(*string)) {
	if r.Concurrency == 0 {
		r.Concurrency = 4
	}
	if r.Timeout == 0 {
		r.Timeout = Duration(30 * time.Second)
	}
	if r.Attempts == 0 {
		r.Attempts = 5
	}
	called := func(accounts *[]string, timeout *Duration, usual time.Duration) {
		if *accounts == nil {
			*accounts = []string{home}
		}
		if *timeout == 0 {
			*timeout = Duration(usual)
		}
	}
	modes := func(mode, previous *string) {
		if *mode == "" {
			*mode = ModeSteps
		}
		if *previous == "" {
			*previous = PreviousUnknown
		}
	}
	for i := range r.Functions {
		f := &r.Functions[i]
		abs(&f.Credentials)
		called(&f.Accounts, &f.Timeout, time.Minute)
	}
	for i := range r.Webhooks {
		w := &r.Webhooks[i]
		abs(&w.KeyFile)
		modes(&w.Mode, &w.Previous)
		called(&w.Accounts, &w.Timeout, 30*time.Second)
	}
	for i := range r.Commands {
		c := &r.Commands[i]
		modes(&c.Mode, &c.Previous)
		called(&c.Accounts, &c.Timeout, time.Minute)
	}
}

// private are the files with keys that rotations use.
func (r *Rotation) private() (out []string) {
	for i := range r.Functions {
		out = append(out, r.Functions[i].Credentials)
	}
	for i := range r.Webhooks {
		out = append(out, r.Webhooks[i].KeyFile)
	}
	return out
}

// programs are the files that commands name.
func (r *Rotation) programs() (out []string) {
	for i := range r.Commands {
		for _, word := range r.Commands[i].Argv {
			if filepath.IsAbs(word) {
				out = append(out, word)
			}
		}
	}
	return out
}

func (r *Rotation) check() error {
	switch d := time.Duration(r.Timeout); {
	case r.Concurrency < 1 || r.Concurrency > 64:
		return fmt.Errorf("rotation.concurrency: it is 1 to 64")
	case d < time.Second || d > MaxRotationTimeout:
		return fmt.Errorf("rotation.timeout: it is 1s to 15m")
	case r.Attempts < 1 || r.Attempts > 20:
		return fmt.Errorf("rotation.attempts: it is 1 to 20")
	}
	for field, n := range map[string]int{"functions": len(r.Functions), "webhooks": len(r.Webhooks), "commands": len(r.Commands)} {
		if n > maxCalled {
			return fmt.Errorf("rotation.%s: at most %d", field, maxCalled)
		}
	}
	if err := r.checkFunctions(); err != nil {
		return err
	}
	if err := r.checkWebhooks(); err != nil {
		return err
	}
	return r.checkCommands()
}

// refusal makes the refusals of one entry of a list.
type refusal struct {
	list string
	i    int
}

func (r refusal) of(field, format string, args ...any) error {
	return fmt.Errorf("rotation.%s[%d].%s: "+format, append([]any{r.list, r.i, field}, args...)...)
}

// called checks what functions, webhooks and commands have in common.
func (r refusal) called(accounts []string, timeout Duration) error {
	if len(accounts) == 0 {
		return r.of("accounts", "name at least one account")
	}
	for i, a := range accounts {
		if name.Account(a) != nil || slices.Contains(accounts[:i], a) {
			return r.of("accounts", "%q is not an account of twelve digits in quotes, or given twice", a)
		}
	}
	if d := time.Duration(timeout); d < time.Second || d > MaxRotationTimeout {
		return r.of("timeout", "it is 1s to 15m")
	}
	return nil
}

// named checks what webhooks and commands have in common.
func (r refusal) named(n, mode, previous string) error {
	switch {
	case name.Principal("name", n) != nil:
		return r.of("name", "%q is not a name: 1 to 64 letters, digits and _+=,.@-", n)
	case mode != ModeSteps && mode != ModeSingle:
		return r.of("mode", "%q is not steps or single", mode)
	case previous != PreviousUnknown && previous != PreviousReplaced && previous != PreviousKept:
		return r.of("previous", "%q is not unknown, replaced or kept", previous)
	case previous == PreviousKept && mode == ModeSingle:
		return r.of("previous", "with mode single nothing tells when the previous credential is to end, so it is not kept")
	}
	return nil
}

// url checks where something is called. It quotes nothing of it: the path may be a
// secret.
func (r refusal) url(text string, allow []Prefix) (*url.URL, error) {
	u, err := egress.ParseURL(text)
	if err != nil {
		return nil, r.of("url", "%s", errs.As(err).Msg)
	}
	guard := egress.New(egress.Config{Allow: Prefixes(allow)})
	a, err := netip.ParseAddr(u.Hostname())
	literal := err == nil
	switch {
	case literal && guard.Check(a) != nil:
		return nil, r.of("url", "the address is not a public one: name it in rotation.allow")
	case u.Scheme == "http" && (literal && !guard.Allowed(a) || len(allow) == 0):
		return nil, r.of("url", "plain HTTP is only for addresses that rotation.allow names")
	}
	return u, nil
}

func (r *Rotation) checkFunctions() error {
	seen := map[string]bool{}
	for i := range r.Functions {
		f, refuse := &r.Functions[i], refusal{"functions", i}
		if _, err := name.ParseFunction(f.ARN); err != nil {
			return refuse.of("arn", "%q is not the ARN of a function, such as arn:aws:lambda:us-east-1:111122223333:function:NAME", f.ARN)
		}
		if seen[f.ARN] {
			return refuse.of("arn", "%q is there twice", f.ARN)
		}
		seen[f.ARN] = true
		u, err := refuse.url(f.URL, r.Allow)
		if err != nil {
			return err
		}
		switch {
		case u.RawQuery != "" || u.ForceQuery:
			return refuse.of("url", "the URL of a function has no query")
		case f.Credentials == "" && !loopback(u.Hostname()):
			return refuse.of("credentials", "calls to what is not on this machine are signed: name the file with the access key")
		case f.User != "" && name.Principal("user", f.User) != nil:
			return refuse.of("user", "%q is not the name of a user or machine", f.User)
		}
		if err := refuse.called(f.Accounts, f.Timeout); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rotation) checkWebhooks() error {
	seen := map[string]bool{}
	for i := range r.Webhooks {
		w, refuse := &r.Webhooks[i], refusal{"webhooks", i}
		if err := refuse.named(w.Name, w.Mode, w.Previous); err != nil {
			return err
		}
		if seen[w.Name] {
			return refuse.of("name", "%q is there twice", w.Name)
		}
		seen[w.Name] = true
		if _, err := refuse.url(w.URL, r.Allow); err != nil {
			return err
		}
		if w.KeyFile == "" {
			return refuse.of("key_file", "name the file with the key that signs requests")
		}
		if err := refuse.called(w.Accounts, w.Timeout); err != nil {
			return err
		}
	}
	return nil
}

// ownVariables begin the names of variables that the server gives to commands.
const ownVariables = "COUNTERSIGN_"

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (r *Rotation) checkCommands() error {
	seen := map[string]bool{}
	for i := range r.Commands {
		c, refuse := &r.Commands[i], refusal{"commands", i}
		if err := refuse.named(c.Name, c.Mode, c.Previous); err != nil {
			return err
		}
		if seen[c.Name] {
			return refuse.of("name", "%q is there twice", c.Name)
		}
		seen[c.Name] = true
		if len(c.Argv) == 0 || len(c.Argv) > maxArgv || !filepath.IsAbs(c.Argv[0]) || filepath.Clean(c.Argv[0]) != c.Argv[0] {
			return refuse.of("argv", "it begins with the whole path of a program, and has at most %d words", maxArgv)
		}
		size := 0
		for _, word := range c.Argv {
			if strings.ContainsRune(word, 0) {
				return refuse.of("argv", "a word has a zero byte")
			}
			size += len(word)
		}
		for _, k := range slices.Sorted(maps.Keys(c.Env)) {
			switch {
			case !variable.MatchString(k):
				return refuse.of("env", "%q is not the name of a variable", k)
			case strings.HasPrefix(k, ownVariables):
				return refuse.of("env", "names that begin with %s are the server's own", ownVariables)
			case strings.ContainsRune(c.Env[k], 0):
				return refuse.of("env", "%s has a zero byte", k)
			}
			size += len(k) + len(c.Env[k])
		}
		if size > maxWords {
			return refuse.of("argv", "arguments and environment have at most %d bytes", maxWords)
		}
		if err := refuse.called(c.Accounts, c.Timeout); err != nil {
			return err
		}
	}
	return nil
}
