package settings

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// canonical spells an address in the one way by which addresses are compared.
// Its errors do not repeat the text, which could hold a password.
func canonical(text string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "", errors.New("the server's address is no http:// or https:// URL")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") || u.Path != "" && u.Path != "/":
		return "", errors.New("the server's address has scheme, host and port only")
	}
	host := strings.ToLower(u.Hostname())
	if strings.ContainsFunc(host, notInHost) {
		return "", errors.New("the server's address has a character that no host has; a name beyond ASCII is written in its xn-- form")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || n == 0:
		return "", errors.New("the port of the server's address is none of 1 to 65535")
	case u.Scheme == "http" && n == 80, u.Scheme == "https" && n == 443:
		return u.Scheme + "://" + strings.TrimSuffix(net.JoinHostPort(host, ""), ":"), nil
	}
	return u.Scheme + "://" + net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// notInHost leaves out the letters that look like others, too.
func notInHost(r rune) bool {
	return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("-._:", r))
}

// sameServer reports whether two addresses are valid and the same scheme, host
// and port.
func sameServer(a, b string) bool {
	x, err := canonical(a)
	if err != nil {
		return false
	}
	y, err := canonical(b)
	return err == nil && x == y
}
