package egress

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"countersign/internal/errs"
)

// MaxURL is the longest URL that ParseURL takes, in bytes.
const MaxURL = 2048

// ParseURL reads a URL that may be dialled: https, or http for what the server
// allows; a host that is a name or an address in its usual spelling; no user or
// password, no fragment. The refusal says what is wrong and quotes nothing of it.
//
// Spellings of an address that only some resolvers take ("2130706433", "127.1",
// "0x7f.0.0.1") are refused, so that a host means one thing.
func ParseURL(s string) (*url.URL, error) {
	wrong := func(msg string) error { return errs.InvalidField("url", "%s", msg) }
	if len(s) > MaxURL {
		return nil, wrong("a URL has at most 2048 bytes")
	}
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f || s[i] == '\\' {
			return nil, wrong("a URL is printable ASCII without spaces or backslashes: encode the rest, a name as xn--")
		}
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, wrong("that is not a URL")
	case u.Scheme != "https" && u.Scheme != "http", u.Opaque != "":
		return nil, wrong("a URL begins with https://")
	case u.User != nil:
		return nil, wrong("a URL must not hold a user or password")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, wrong("a URL must not have a fragment")
	}
	if p := u.Port(); p != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, wrong("the port of a URL is a number from 1 to 65535")
		}
	}
	if !validHost(u.Hostname(), strings.HasPrefix(u.Host, "[")) {
		return nil, wrong("the host of a URL is a name, or an address as it is usually written")
	}
	return u, nil
}

// validHost takes addresses in their usual spelling and names whose last label is
// not a number. bracketed says that it stood in brackets, as IPv6 does.
func validHost(host string, bracketed bool) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Zone() == "" && a.Is6() == bracketed
	}
	host = strings.TrimSuffix(host, ".")
	if bracketed || host == "" || len(host) > 253 {
		return false
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			c := l[i] | 0x20
			if (c < 'a' || c > 'z') && (l[i] < '0' || l[i] > '9') && l[i] != '-' && l[i] != '_' {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	_, err := strconv.ParseUint(last, 10, 64)
	digits := strings.Trim(last, "0123456789") == ""
	hex := len(last) >= 2 && strings.EqualFold(last[:2], "0x")
	return err != nil && !digits && !hex
}
