// Package config is the server's configuration file: YAML, typed, strict.
//
// Load refuses a file with an unknown or repeated field, a value of another
// type, or settings that contradict each other; every refusal names the file,
// the field and what it may be. The zero value of a field is its default, so a
// new release runs with an old file. The file holds no secret: keys and
// passphrases are files or environment variables that it names.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"countersign/internal/name"
)

// Config is the whole file.
type Config struct {
	// Listen is the address of the one listener. Default 127.0.0.1:8200.
	Listen string `yaml:"listen"`
	// Data is the folder of the store, the audit log and, by default, the key
	// file. Required.
	Data string `yaml:"data"`
	// Account is the home account, twelve digits. Required. It cannot change
	// once the store is made.
	Account string `yaml:"account"`
	// Regions are the region labels that clients may name, home first.
	// Default [us-east-1].
	Regions []string `yaml:"regions"`
	// Fronts are the protocols that are served: aws, native, vault. Default all.
	Fronts []string `yaml:"fronts"`
	TLS    TLS      `yaml:"tls"`
	// InsecureHTTP allows plain HTTP on an address that is not loopback.
	InsecureHTTP bool `yaml:"insecure_http"`
	// TrustedProxies are addresses or CIDR blocks whose X-Forwarded-For and
	// X-Forwarded-Proto are believed. Default none.
	TrustedProxies []Prefix `yaml:"trusted_proxies"`
	Seal           Seal     `yaml:"seal"`
	Audit          Audit    `yaml:"audit"`
	History        History  `yaml:"history"`
	AWS            AWS      `yaml:"aws"`
	Reviews        Reviews  `yaml:"reviews"`
	Metrics        Metrics  `yaml:"metrics"`
	SignIn         SignIn   `yaml:"sign_in"`
	Log            Log      `yaml:"log"`
	// ShutdownTimeout is how long requests under way may take once the server
	// stops. Default 20s.
	ShutdownTimeout Duration `yaml:"shutdown_timeout"`
	// PublicURL is where people and programs reach this server: for links in notices,
	// and as the issuer of identity tokens. Default: no links, and the address that
	// it listens on.
	PublicURL string   `yaml:"public_url"`
	Notify    Notify   `yaml:"notify"`
	Logins    Logins   `yaml:"logins"`
	SMTP      SMTP     `yaml:"smtp"`
	Rotation  Rotation `yaml:"rotation"`
	Names     Names    `yaml:"names"`
}

// TLS names the certificate. Both or neither are set; the files are read again
// when they change.
type TLS struct {
	Cert string `yaml:"cert"` // PEM, leaf first
	Key  string `yaml:"key"`  // PEM
}

// Seal says what protects the root key: at most one of the two. Default
// keyfile DATA/root.key.
type Seal struct {
	Keyfile    string     `yaml:"keyfile"`
	Passphrase Passphrase `yaml:"passphrase"`
}

// Passphrase says where the passphrase is: one of the two.
type Passphrase struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"` // name of an environment variable
}

// Audit configures the audit log.
type Audit struct {
	Dir         string   `yaml:"dir"`          // default DATA/audit
	SegmentSize Size     `yaml:"segment_size"` // default 64MiB
	SegmentAge  Duration `yaml:"segment_age"`  // default 24h
	WarnFree    Size     `yaml:"warn_free"`    // warn below this much free disk; default 512MiB
	MinFree     Size     `yaml:"min_free"`     // refuse below this much; default 32MiB
	// RetainFor and ExportDir, set together, move closed segments that are
	// older to the folder: they are copied there, verified, and only then
	// deleted here. Default: everything stays.
	RetainFor Duration `yaml:"retain_for"`
	ExportDir string   `yaml:"export_dir"`
	// DevicesDir is the folder in which audit devices may write files and reach
	// unix sockets. Default DATA/audit-devices.
	DevicesDir string `yaml:"devices_dir"`
	// DeviceAllow are addresses or CIDR blocks that audit devices may reach, over
	// connections that are not encrypted. Default none.
	DeviceAllow []Prefix `yaml:"device_allow"`
	// DeviceSockets are unix sockets outside of DevicesDir that those of the home
	// account may reach. Default none.
	DeviceSockets []string `yaml:"device_sockets"`
	// AcceptLoss opens a log that ends before what the store or the log itself
	// knows, as after restoring the store from a backup. Set it once, then
	// remove it.
	AcceptLoss bool `yaml:"accept_loss"`
}

// Reviews bounds how often one principal may call what belongs to reviews: a
// bucket that holds Burst calls and gains PerSecond.
type Reviews struct {
	PerSecond float64 `yaml:"per_second"` // default 10
	Burst     int     `yaml:"burst"`      // default 20
}

// History configures how many versions of a secret are kept.
type History struct {
	Keep   uint64   `yaml:"keep"`    // default 0: all. A labelled version is always kept
	MinAge Duration `yaml:"min_age"` // no younger version is pruned; default 24h
}

// AWS configures the AWS fronts.
type AWS struct {
	// Lenient lets UpdateSecretVersionStage leave out RemoveFromVersionId.
	Lenient bool `yaml:"lenient"`
}

// SignIn configures how people sign in.
type SignIn struct {
	// LoopbackIssuer lets an identity provider be at http:// on this machine,
	// as for development. Others are at https://.
	LoopbackIssuer bool `yaml:"loopback_issuer"`
}

// Logins configures the login methods of the Vault protocol.
type Logins struct {
	// Allow are addresses or CIDR blocks that issuers of tokens and clusters may be
	// at although they are not public ones, and by plain HTTP. Default none.
	Allow []Prefix `yaml:"allow"`
}

// Metrics configures /metrics.
type Metrics struct {
	// Allow are the addresses or CIDR blocks that may read /metrics beside
	// loopback.
	Allow []Prefix `yaml:"allow"`
}

// Log configures the server's own log, on standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error; default info
	Format string `yaml:"format"` // text or json; default json
}

// Fronts that can be configured.
const (
	FrontAWS    = "aws"
	FrontNative = "native"
	FrontVault  = "vault"
)

// maxFile bounds the configuration file.
const maxFile = 1 << 20

// Load reads and checks a file, and fills in defaults. Relative paths in it
// are relative to its folder.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	c, err := Parse(text, filepath.Dir(path))
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse is Load of a file's text; dir is what relative paths are relative to.
func Parse(text []byte, dir string) (Config, error) {
	var c Config
	if len(text) > maxFile {
		return c, errors.New("the configuration is larger than 1 MiB")
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("reading YAML: %w", err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("the file holds more than one YAML document")
	}
	c.setDefaults(dir)
	if err := c.check(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func (c *Config) setDefaults(dir string) {
	set := func(v *string, to string) {
		if *v == "" {
			*v = to
		}
	}
	set(&c.Listen, "127.0.0.1:8200")
	abs := func(v *string) {
		if *v != "" && !filepath.IsAbs(*v) {
			*v = filepath.Join(dir, *v)
		}
	}
	for _, p := range []*string{&c.Data, &c.TLS.Cert, &c.TLS.Key, &c.Seal.Keyfile, &c.Seal.Passphrase.File, &c.Audit.Dir, &c.Audit.ExportDir, &c.Audit.DevicesDir, &c.SMTP.PasswordFile} {
		abs(p)
	}
	if c.Seal == (Seal{}) && c.Data != "" {
		c.Seal.Keyfile = filepath.Join(c.Data, "root.key")
	}
	set(&c.Audit.Dir, filepath.Join(c.Data, "audit"))
	set(&c.Audit.DevicesDir, filepath.Join(c.Data, "audit-devices"))
	set(&c.Log.Level, "info")
	set(&c.Log.Format, "json")
	if c.Regions == nil {
		c.Regions = []string{"us-east-1"}
	}
	if c.Fronts == nil {
		c.Fronts = []string{FrontAWS, FrontNative, FrontVault}
	}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = Duration(20 * time.Second)
	}
	if c.Reviews.PerSecond == 0 {
		c.Reviews.PerSecond = 10
	}
	if c.Reviews.Burst == 0 {
		c.Reviews.Burst = 20
	}
	if c.History.MinAge == 0 {
		c.History.MinAge = Duration(24 * time.Hour)
	}
	c.Rotation.setDefaults(c.Account, abs)
}

func (c *Config) check() error {
	refuse := func(field, format string, args ...any) error {
		return fmt.Errorf("%s: "+format, append([]any{field}, args...)...)
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return refuse("listen", "%q is not HOST:PORT", c.Listen)
	}
	if err := c.checkNotices(); err != nil {
		return err
	}
	switch {
	case c.Data == "":
		return refuse("data", "name the folder of the store")
	case name.Account(c.Account) != nil:
		return refuse("account", "the home account is twelve digits, in quotes")
	case len(c.Regions) == 0 || len(c.Regions) > 32:
		return refuse("regions", "name 1 to 32 region labels")
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return refuse("tls", "cert and key go together")
	case c.TLS.Cert == "" && !c.InsecureHTTP && !loopback(host):
		return refuse("listen", "plain HTTP is served on loopback only: configure tls, or set insecure_http")
	case c.Seal.Keyfile != "" && c.Seal.Passphrase != (Passphrase{}):
		return refuse("seal", "keyfile and passphrase exclude each other")
	case c.Seal.Passphrase.File != "" && c.Seal.Passphrase.Env != "":
		return refuse("seal.passphrase", "file and env exclude each other")
	case !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level):
		return refuse("log.level", "%q is not debug, info, warn or error", c.Log.Level)
	case !slices.Contains([]string{"text", "json"}, c.Log.Format):
		return refuse("log.format", "%q is not text or json", c.Log.Format)
	case (c.Audit.RetainFor == 0) != (c.Audit.ExportDir == ""):
		return refuse("audit", "retain_for and export_dir go together")
	case c.Audit.RetainFor < 0:
		return refuse("audit.retain_for", "it is negative")
	case c.ShutdownTimeout < 0:
		return refuse("shutdown_timeout", "it is negative")
	case c.Reviews.PerSecond < 0 || c.Reviews.PerSecond > 1e6:
		return refuse("reviews.per_second", "it is 0.001 to 1000000")
	case c.Reviews.Burst < 0 || c.Reviews.Burst > 1e6:
		return refuse("reviews.burst", "it is 1 to 1000000")
	case c.History.MinAge < 0:
		return refuse("history.min_age", "it is negative")
	}
	for i, r := range c.Regions {
		if name.Region(r) != nil || slices.Contains(c.Regions[:i], r) {
			return refuse("regions", "%q is not a region label, or given twice", r)
		}
	}
	if err := c.checkDevices(); err != nil {
		return err
	}
	if _, err := c.Names.Parse(); err != nil {
		return err
	}
	if err := c.Rotation.check(); err != nil {
		return err
	}
	if len(c.Fronts) == 0 {
		return refuse("fronts", "name at least one of aws, native, vault")
	}
	for i, f := range c.Fronts {
		if f != FrontAWS && f != FrontNative && f != FrontVault || slices.Contains(c.Fronts[:i], f) {
			return refuse("fronts", "%q is not aws, native or vault, or given twice", f)
		}
	}
	return nil
}

// loopback reports whether a listener on host can only be reached from this
// machine.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Duration is a time span as Go spells it: "90s", "24h".
type Duration time.Duration

// UnmarshalYAML reads the span.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is not a duration such as 30s or 24h", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes: "512MiB", "1GiB", or a plain number.
type Size int64

// UnmarshalYAML reads the size.
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	text, unit := n.Value, int64(1)
	for suffix, u := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if t, ok := strings.CutSuffix(n.Value, suffix); ok {
			text, unit = t, u
		}
	}
	var v int64
	if _, err := fmt.Sscanf(text, "%d", &v); err != nil || fmt.Sprint(v) != text || v < 0 || v > 1<<40/unit {
		return fmt.Errorf("line %d: %q is not a size such as 64MiB", n.Line, n.Value)
	}
	*s = Size(v * unit)
	return nil
}

// Prefix is an address or a CIDR block.
type Prefix netip.Prefix

// UnmarshalYAML reads the block.
func (p *Prefix) UnmarshalYAML(n *yaml.Node) error {
	if a, err := netip.ParseAddr(n.Value); err == nil {
		*p = Prefix(netip.PrefixFrom(a, a.BitLen()))
		return nil
	}
	v, err := netip.ParsePrefix(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is not an address or CIDR block", n.Line, n.Value)
	}
	*p = Prefix(v.Masked())
	return nil
}

// Prefixes converts a list for the standard library.
func Prefixes(list []Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = netip.Prefix(p)
	}
	return out
}
