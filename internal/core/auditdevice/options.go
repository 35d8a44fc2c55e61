package auditdevice

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/errs"
	"countersign/internal/name"
)

// Types of devices.
const (
	File   = "file"
	Socket = "socket"
	Syslog = "syslog"
)

// Special paths of a file.
const (
	toStdout  = "stdout"
	toDiscard = "discard"
)

// settings is what a device's options mean.
type settings struct {
	prefix string // before each line
	plain  bool   // access keys and accessors stand as they are

	path    string // of a file: below the account's folder, or one of the special ones
	mode    fs.FileMode
	setMode bool

	network string // of a socket
	address string
	timeout time.Duration

	facility int // of syslog
	tag      string
}

// optionNames are those of each type, beside those that all have.
var optionNames = map[string][]string{
	File:   {"file_path", "mode"},
	Socket: {"address", "socket_type", "write_timeout"},
	Syslog: {"facility", "tag"},
}

// common are the options that all types have.
var common = []string{"format", "prefix", "log_raw", "hmac_accessor", "elide_list_responses", "fallback", "filter", "exclude", "skip_test"}

// refused are the values of options that Vault has and this server does not.
var refused = []struct{ name, why string }{
	{"log_raw", "values never leave the server, and so no line holds one"},
	{"fallback", "a device here has every record of its account: there is no filter, and so no fallback"},
	{"filter", "a device here has every record of its account"},
	{"exclude", "a device here has every record of its account, as the log has it"},
}

func wrongOption(field, format string, args ...any) error {
	e := errs.Coded(errs.Invalid, CodeOption, format, args...)
	e.Field = field
	return e
}

// settle reads the options of a device of an account.
func (s *Service) settle(account, kind string, options map[string]string) (set settings, err error) {
	own, ok := optionNames[kind]
	if !ok {
		return set, errs.InvalidField("type", "an audit device is of type file, socket or syslog")
	}
	if err := checkOptions(options, own); err != nil {
		return set, err
	}
	if err := set.commonOnes(options); err != nil {
		return set, err
	}
	switch kind {
	case File:
		err = s.settleFile(account, options, &set)
	case Socket:
		err = s.settleSocket(account, options, &set)
	case Syslog:
		err = s.settleSyslog(account, options, &set)
	}
	return set, err
}

func checkOptions(options map[string]string, own []string) error {
	if len(options) > maxOptions {
		return errs.InvalidField("options", "a device has at most %d options", maxOptions)
	}
	for _, k := range slices.Sorted(maps.Keys(options)) {
		if !slices.Contains(own, k) && !slices.Contains(common, k) {
			return wrongOption("options", "there is no such option: this type has %s", strings.Join(append(slices.Clone(own), common...), ", "))
		}
		if len(options[k]) > maxPath || name.Text(k, options[k], maxPath) != nil || strings.ContainsAny(options[k], "\n\r\t") {
			return wrongOption(k, "it is one line of at most %d bytes", maxPath)
		}
	}
	for _, r := range refused {
		if v := options[r.name]; v != "" && v != "false" && v != "0" {
			return wrongOption(r.name, "%s", r.why)
		}
	}
	return nil
}

// boolean reads an option that is true or false.
func boolean(options map[string]string, field string, otherwise bool) (bool, error) {
	if options[field] == "" {
		return otherwise, nil
	}
	b, err := strconv.ParseBool(options[field])
	if err != nil {
		return false, wrongOption(field, "it is true or false")
	}
	return b, nil
}

// commonOnes reads the options that all types have. elide_list_responses and
// skip_test mean nothing here: a record has no answers, and enabling tests nothing.
func (set *settings) commonOnes(options map[string]string) error {
	switch options["format"] {
	case "", "json":
	case "jsonx":
		return wrongOption("format", "lines are JSON: an XML rendering is not made here")
	default:
		return wrongOption("format", "it is json")
	}
	for _, field := range []string{"elide_list_responses", "skip_test"} {
		if _, err := boolean(options, field, false); err != nil {
			return err
		}
	}
	hashed, err := boolean(options, "hmac_accessor", true)
	set.plain = !hashed
	set.prefix = options["prefix"]
	if err == nil && (len(set.prefix) > maxPrefix || strings.Contains(set.prefix, "{")) {
		err = wrongOption("prefix", "it has at most %d bytes and holds no brace, with which a line begins", maxPrefix)
	}
	return err
}

func (s *Service) settleFile(account string, options map[string]string, set *settings) error {
	p := options["file_path"]
	switch {
	case p == "":
		return wrongOption("file_path", "name the file")
	case p == toDiscard:
		set.path = p
		return nil
	case p == toStdout && account != s.Home:
		return wrongOption("file_path", "standard output is the server's: only the home account writes there")
	case p == toStdout && s.Stdout == nil:
		return wrongOption("file_path", "this server has no standard output")
	case p == toStdout:
		set.path = p
		return nil
	}
	rel, err := s.inFolder("file_path", account, p)
	if err != nil {
		return err
	}
	set.path = rel
	return set.settleMode(options["mode"])
}

// settleMode reads who may read the file: the owner always may, and nobody runs
// it.
func (set *settings) settleMode(text string) error {
	if text == "" {
		text = "0600"
	}
	m, err := strconv.ParseUint(text, 8, 16)
	mode := fs.FileMode(m)
	if err != nil || mode != 0 && (mode&0o600 != 0o600 || mode&^0o664 != 0) {
		return wrongOption("mode", "it is 0600 and what others may read besides, up to 0664; 0000 leaves the mode as it is")
	}
	set.mode, set.setMode = mode, mode != 0
	return nil
}

// folder is where files and unix sockets of an account are.
func (s *Service) folder(account string) string {
	if account == s.Home {
		return s.Dir
	}
	return filepath.Join(s.Dir, account)
}

// inFolder returns the path below the account's folder of one that is below it
// already or absolute. It is judged as it is written: no part of it may lead up,
// and there is one spelling of it.
func (s *Service) inFolder(field, account, p string) (string, error) {
	if s.Dir == "" {
		return "", wrongOption(field, "the server's configuration has no folder for audit devices")
	}
	folder := s.folder(account)
	rel := p
	if strings.HasPrefix(p, "/") {
		below, ok := strings.CutPrefix(p, strings.TrimSuffix(folder, "/")+"/")
		if !ok {
			where := "the folder that the server has for this account"
			if account == s.Home {
				where = folder + ", which audit.devices_dir in the server's configuration names"
			}
			return "", wrongOption(field, "the path is not inside %s", where)
		}
		rel = below
	}
	segments := strings.Split(rel, "/")
	for _, seg := range segments {
		if seg == "" || seg == "." || seg == ".." || strings.ContainsFunc(seg, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_+=,.@-", c)
		}) {
			return "", wrongOption(field, "a path holds letters, digits and _+=,.@- between single slashes, and no part of it is . or ..")
		}
	}
	if account == s.Home && name.Account(segments[0]) == nil {
		return "", wrongOption(field, "folders named by twelve digits are those of other accounts")
	}
	return rel, nil
}

func (s *Service) settleSocket(account string, options map[string]string, set *settings) error {
	set.timeout = defaultWait
	if text := options["write_timeout"]; text != "" {
		d, err := time.ParseDuration(text)
		if secs, serr := strconv.ParseUint(text, 10, 16); serr == nil {
			d, err = time.Duration(secs)*time.Second, nil
		}
		if err != nil || d <= 0 || d > maxWait {
			return wrongOption("write_timeout", "it is a duration such as 2s, a minute at most")
		}
		set.timeout = d
	}
	set.network, set.address = options["socket_type"], options["address"]
	if set.network == "" {
		set.network = "tcp"
	}
	switch {
	case set.address == "":
		return wrongOption("address", "name the address")
	case set.network == "tcp" || set.network == "udp":
		if s.Dialer == nil {
			return wrongOption("address", "this server reaches no addresses")
		}
		return s.Dialer.Check(set.address)
	case set.network != "unix":
		return wrongOption("socket_type", "it is tcp, udp or unix")
	case account == s.Home && slices.Contains(s.Sockets, set.address):
		return nil
	}
	rel, err := s.inFolder("address", account, set.address)
	if err != nil {
		return err
	}
	set.address = filepath.Join(s.folder(account), rel)
	return nil
}

// facilities of syslog, by their numbers (RFC 5424, section 6.2.1).
var facilities = []string{"KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP",
	"", "", "", "", "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5", "LOCAL6", "LOCAL7"}

func (s *Service) settleSyslog(account string, options map[string]string, set *settings) error {
	if account != s.Home {
		return errs.InvalidField("type", "syslog is the machine's: only the home account writes there")
	}
	facility := strings.ToUpper(options["facility"])
	if facility == "" {
		facility = "AUTH"
	}
	set.facility = slices.Index(facilities, facility)
	set.tag = options["tag"]
	if set.tag == "" {
		set.tag = "countersign"
	}
	switch {
	case set.facility < 0:
		return wrongOption("facility", "it is AUTH, AUTHPRIV, DAEMON, LOCAL0 to LOCAL7, or another of syslog's names")
	case len(set.tag) > 32 || strings.ContainsFunc(set.tag, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_.-/", c)
	}):
		return wrongOption("tag", "it is 1 to 32 letters, digits and _.-/")
	}
	return nil
}

// cleanName checks the name of a device and takes the slashes off its ends.
func cleanName(n string) (string, error) {
	n = strings.Trim(n, "/")
	if n == "" || len(n) > maxName {
		return "", errs.InvalidField("path", "the path of an audit device has 1 to %d characters", maxName)
	}
	for seg := range strings.SplitSeq(n, "/") {
		if seg == "" || seg == "." || seg == ".." || strings.ContainsFunc(seg, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_.-", c)
		}) {
			return "", errs.InvalidField("path", "the path of an audit device holds letters, digits and _.- between single slashes")
		}
	}
	return n, nil
}
