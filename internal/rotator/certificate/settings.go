package certificate

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"countersign/internal/errs"
	"countersign/internal/rotator/keys"
)

const (
	defaultDays = 90
	maxDays     = 825 // what verifiers take of a private CA at most
	maxNames    = 100
	maxText     = 64 // characters of a common name and an organization (RFC 5280, appendix A.1)
)

// settings are the options of one certificate.
type settings struct {
	commonName, organization string
	dns                      []string
	ips                      []net.IP
	days                     int
	key                      string
	server, client           bool
	isCA                     bool
	signed                   bool // by a CA out of the store
}

// parse reads the options. What cannot be is an errs.Invalid with the option as its
// Field.
func parse(o map[string]string) (*settings, error) {
	s := &settings{commonName: o["common_name"], organization: o["organization"], days: defaultDays, key: "ec-p256", signed: o["ca"] != ""}
	for _, n := range []string{"common_name", "organization"} {
		if err := subject(n, o[n]); err != nil {
			return nil, err
		}
	}
	if d := o["days"]; d != "" {
		n, err := strconv.Atoi(d)
		if err != nil || n < 1 || n > maxDays {
			return nil, errs.InvalidField("days", "days is a number from 1 to %d", maxDays)
		}
		s.days = n
	}
	if err := keys.Check("key", o["key"], keys.Types()); err != nil {
		return nil, err
	}
	if o["key"] != "" {
		s.key = o["key"]
	}
	switch o["is_ca"] {
	case "", "false":
		return s, s.names(o)
	case "true":
		s.isCA = true
		return s, s.authority(o)
	}
	return nil, errs.InvalidField("is_ca", "is_ca is true or false")
}

// authority refuses what a CA does not have.
func (s *settings) authority(o map[string]string) error {
	for _, n := range []string{"dns", "ip", "usage"} {
		if o[n] != "" {
			return errs.InvalidField(n, "a CA has no %s: leave out %s or is_ca", n, n)
		}
	}
	if s.commonName == "" {
		return errs.InvalidField("common_name", "a CA needs a common_name")
	}
	return nil
}

// names reads what a certificate that is no CA's is for.
func (s *settings) names(o map[string]string) error {
	switch o["usage"] {
	case "", "server":
		s.server = true
	case "client":
		s.client = true
	case "both":
		s.server, s.client = true, true
	default:
		return errs.InvalidField("usage", "usage is server, client or both, not %q", o["usage"])
	}
	for _, text := range list(o["dns"]) {
		n, err := host(text)
		if err != nil {
			return err
		}
		if !slices.Contains(s.dns, n) {
			s.dns = append(s.dns, n)
		}
	}
	for _, text := range list(o["ip"]) {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" || a.Unmap().IsUnspecified() || a.Unmap().IsMulticast() {
			return errs.InvalidField("ip", "%q is not the address of a host", text)
		}
		ip := net.IP(a.Unmap().AsSlice())
		if !slices.ContainsFunc(s.ips, ip.Equal) {
			s.ips = append(s.ips, ip)
		}
	}
	if len(s.dns)+len(s.ips) > maxNames {
		return errs.InvalidField("dns", "a certificate has at most %d names and addresses", maxNames)
	}
	if s.server && len(s.dns)+len(s.ips) == 0 {
		return errs.InvalidField("dns", "a server's certificate needs a name in dns or an address in ip: verifiers do not look at the common name")
	}
	s.defaultName()
	if s.commonName == "" && len(s.dns) == 0 {
		return errs.InvalidField("common_name", "a certificate needs a common_name, a name in dns or an address in ip")
	}
	return nil
}

// defaultName is the first name that is short enough. A certificate may do without:
// verifiers go by the alternative names.
func (s *settings) defaultName() {
	for _, n := range append(slices.Clone(s.dns), addresses(s)...) {
		if s.commonName == "" && len(n) <= maxText {
			s.commonName = n
		}
	}
}

// list splits at commas. Nothing is a list of nothing.
func list(text string) []string {
	if text == "" {
		return nil
	}
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

func subject(option, text string) error {
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) > maxText || strings.TrimSpace(text) != text ||
		strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return errs.InvalidField(option, "%s is printable text of at most %d characters, without spaces around it", option, maxText)
	}
	return nil
}

var profile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// host is a name of a host as it stands in a certificate: in lower case, and what is not
// ASCII as IDNA has it. A wildcard is the whole first label, and at least two
// more follow: verifiers take no other.
func host(text string) (string, error) {
	bad := func(why string) (string, error) {
		return "", errs.InvalidField("dns", "%q is not a name of a host: %s", text, why)
	}
	rest, wild := strings.CutPrefix(text, "*.")
	switch {
	case text == "":
		return "", errs.InvalidField("dns", "dns has an empty name")
	case !utf8.ValidString(text):
		return bad("it is not UTF-8")
	case strings.Contains(rest, "*"):
		return bad("a wildcard is the whole first label, as in *.example.com")
	case strings.HasSuffix(text, "."):
		return bad("it has a dot at its end")
	}
	n, err := profile.ToASCII(rest)
	if err != nil || strings.HasSuffix(n, ".") {
		return bad("labels are letters, digits and hyphens, 63 at most, and 253 in all")
	}
	labels := strings.Split(n, ".")
	if _, err := strconv.Atoi(labels[len(labels)-1]); err == nil {
		return bad("its last label is a number; addresses stand in ip")
	}
	if !wild {
		return n, nil
	}
	if len(labels) < 2 {
		return bad("a wildcard for all of a top-level domain")
	}
	if len(n) > 251 {
		return bad("it is too long")
	}
	return "*." + n, nil
}
