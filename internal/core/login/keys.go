package login

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"countersign/internal/egress"
	"countersign/internal/errs"
)

// Bounds of fetching keys.
const (
	keysTimeout = 10 * time.Second
	keysKept    = 15 * time.Minute // then they are fetched anew
	keysLast    = time.Hour        // how long they count when that fails
	keysAgain   = 10 * time.Second // between two fetches of the same
	maxKeySets  = 256
	maxKeys     = 100
	minRSA      = 2048 // bits
	maxRSA      = 8192
)

// keySource says where the keys are that sign tokens: one of the three.
type keySource struct {
	Discovery   string   `cbor:"1,keyasint,omitempty"` // an issuer's address, with a discovery document below it
	DiscoveryCA string   `cbor:"2,keyasint,omitempty"`
	JWKS        string   `cbor:"3,keyasint,omitempty"` // address of a key set
	JWKSCA      string   `cbor:"4,keyasint,omitempty"`
	PEM         []string `cbor:"5,keyasint,omitempty"` // the keys themselves
}

func (k *keySource) count() (n int) {
	for _, is := range []bool{k.Discovery != "", k.JWKS != "", len(k.PEM) > 0} {
		if is {
			n++
		}
	}
	return n
}

func (k *keySource) check(pemField string) error {
	for field, at := range map[string]string{"oidc_discovery_url": k.Discovery, "jwks_url": k.JWKS} {
		if at == "" {
			continue
		}
		if _, err := egress.ParseURL(at); err != nil {
			return errs.InvalidField(field, "%s", errs.As(err).Msg)
		}
	}
	for field, ca := range map[string]string{"oidc_discovery_ca_pem": k.DiscoveryCA, "jwks_ca_pem": k.JWKSCA} {
		if err := checkCA(field, ca); err != nil {
			return err
		}
	}
	if len(k.PEM) > maxMembers {
		return errs.InvalidField(pemField, "more than %d keys", maxMembers)
	}
	for _, p := range k.PEM {
		if _, err := parseKey(p); err != nil {
			return errs.InvalidField(pemField, "error parsing public key: %s", err)
		}
	}
	return nil
}

func checkCA(field, ca string) error {
	if ca == "" {
		return nil
	}
	if len(ca) > maxPEM || !x509.NewCertPool().AppendCertsFromPEM([]byte(ca)) {
		return errs.InvalidField(field, "it holds no certificate in PEM, or is longer than %d bytes", maxPEM)
	}
	return nil
}

// parseKey reads a public key, or that of a certificate, in PEM.
func parseKey(text string) (crypto.PublicKey, error) {
	if len(text) > maxPEM {
		return nil, errors.New("the text is too long")
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("that is not PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = c.PublicKey
		}
	default:
		return nil, errors.New("the block is neither a public key nor a certificate")
	}
	if err != nil || !usable(key) {
		return nil, errors.New("it is not an RSA key of 2048 to 8192 bits, an ECDSA or an Ed25519 key")
	}
	return key, nil
}

// usable reports whether a key is one that can verify signatures here. Keys that
// can also make them are not: nobody else has them.
func usable(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA && k.N.BitLen() <= maxRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// client reaches addresses that somebody else named, with certificate authorities
// of its own when there are any.
func (s *Service) client(ca string) *http.Client {
	c := egress.Config{Allow: s.allow, Timeout: keysTimeout}
	if ca != "" {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(ca))
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	return egress.New(c).Client()
}

// keySets keeps the keys of issuers.
type keySets struct {
	mu sync.Mutex
	m  map[[32]byte]*keySet
}

// keySet is the keys of one issuer.
type keySet struct {
	turn chan struct{} // who fetches

	mu      sync.Mutex
	issuer  string         // as the discovery document says it; empty without one
	at      *oidc.Provider // nil without a discovery document
	keys    []jose.JSONWebKey
	fetched time.Time
	tried   time.Time
	err     error // of the last try
}

func (x *keySets) of(k *keySource) *keySet {
	id := sha256.Sum256([]byte(strings.Join([]string{k.Discovery, k.DiscoveryCA, k.JWKS, k.JWKSCA}, "\x00")))
	x.mu.Lock()
	defer x.mu.Unlock()
	set := x.m[id]
	if set == nil {
		if x.m == nil || len(x.m) >= maxKeySets {
			x.m = map[[32]byte]*keySet{}
		}
		set = &keySet{turn: make(chan struct{}, 1)}
		x.m[id] = set
	}
	return set
}

// lookUp returns the keys that a token could be signed with, and the issuer that a
// discovery document names.
func (s *Service) lookUp(ctx context.Context, k *keySource, kid, alg string) (keys []any, issuer string, err error) {
	if len(k.PEM) > 0 {
		for _, p := range k.PEM {
			key, err := parseKey(p)
			if err != nil {
				return nil, "", errs.Wrap(errs.Internal, err, "reading a stored key")
			}
			keys = append(keys, key)
		}
		return keys, "", nil
	}
	set := s.keys.of(k)
	now := time.Now()
	keys, issuer, state := set.look(kid, alg, now)
	if state == fresh {
		return keys, issuer, nil
	}
	if state == old { // good enough while somebody else fetches
		select {
		case set.turn <- struct{}{}:
		default:
			return keys, issuer, nil
		}
	} else {
		select {
		case set.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}
	defer func() { <-set.turn }()
	if keys, issuer, state = set.look(kid, alg, now); state == fresh || !set.mayTry(now) {
		return keys, issuer, set.failure(state)
	}
	s.fetch(ctx, k, set)
	keys, issuer, state = set.look(kid, alg, now)
	return keys, issuer, set.failure(state)
}

// freshness of what is kept.
type freshness int

const (
	absent freshness = iota // no keys that count, or none of that id
	old                     // they count, and should be fetched anew
	fresh
)

// look finds keys by id and algorithm. Without an id all of the kind are tried.
func (x *keySet) look(kid, alg string, now time.Time) (keys []any, issuer string, state freshness) {
	x.mu.Lock()
	defer x.mu.Unlock()
	age := now.Sub(x.fetched)
	if x.fetched.IsZero() || age >= keysLast {
		return nil, "", absent
	}
	for i := range x.keys {
		k := &x.keys[i]
		if (kid == "" || k.KeyID == kid) && (k.Algorithm == "" || k.Algorithm == alg) {
			keys = append(keys, k.Key)
		}
	}
	switch {
	case len(keys) == 0:
		return nil, x.issuer, absent
	case age >= keysKept:
		return keys, x.issuer, old
	}
	return keys, x.issuer, fresh
}

// mayTry says that it is time to fetch again, and counts that as done.
func (x *keySet) mayTry(now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.tried.IsZero() && now.Sub(x.tried) < keysAgain {
		return false
	}
	x.tried = now
	return true
}

// failure is why nothing was found, when that is because keys cannot be fetched.
func (x *keySet) failure(state freshness) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if state != absent || x.err == nil {
		return nil
	}
	return x.err
}

// fetch gets the keys. It does not end with the request that began it, which
// others wait for.
func (s *Service) fetch(ctx context.Context, k *keySource, set *keySet) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
	defer cancel()
	keys, at, err := s.fetchKeys(ctx, k)
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.err = err; err != nil {
		s.logger.Warn("fetching the keys of an issuer", "error", err)
		return
	}
	set.keys, set.at, set.issuer, set.fetched = keys, at, k.Discovery, time.Now() // the library holds the document's issuer against it
}

// provider returns what a discovery document says.
func (s *Service) provider(ctx context.Context, k *keySource) (*oidc.Provider, error) {
	if _, _, err := s.lookUp(ctx, k, "", algorithms[0]); err != nil {
		return nil, err
	}
	set := s.keys.of(k)
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.at == nil {
		return nil, unreachable(errors.New("no discovery document"))
	}
	return set.at, nil
}

func (s *Service) fetchKeys(ctx context.Context, k *keySource) (keys []jose.JSONWebKey, p *oidc.Provider, err error) {
	at, client := k.JWKS, s.client(k.JWKSCA)
	if k.Discovery != "" {
		client = s.client(k.DiscoveryCA)
		p, err = oidc.NewProvider(oidc.ClientContext(ctx, client), k.Discovery)
		var doc struct {
			JWKS string `json:"jwks_uri"`
		}
		if err == nil {
			err = p.Claims(&doc)
		}
		if err != nil {
			return nil, nil, unreachable(err)
		}
		at = doc.JWKS
	}
	if _, err := egress.ParseURL(at); err != nil {
		return nil, nil, unreachable(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, nil, unreachable(err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, unreachable(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body) // the guard's client cuts it
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, nil, unreachable(errors.Join(err, errors.New("the answer is not a key set")))
	}
	keys, err = parseKeySet(b)
	if err != nil {
		return nil, nil, unreachable(err)
	}
	return keys, p, nil
}

// parseKeySet reads a key set and leaves out the keys that are of no use: those
// for encryption, shared ones, private ones, and kinds that are not known.
func parseKeySet(b []byte) (out []jose.JSONWebKey, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil || set.Keys == nil {
		return nil, errors.New("the answer is not a key set")
	}
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && usable(k.Key) && k.Valid() && (k.Use == "" || k.Use == "sig") {
			out = append(out, k)
		}
	}
	return out, nil
}

// unreachable says that who vouches for others cannot be asked. The cause goes to
// the log, in words that quote no address.
func unreachable(err error) error {
	why := egress.Reason(err)
	if slices.Contains([]string{"", "the connection failed"}, why) {
		why = "the answer is not what is expected"
	}
	return &errs.Error{Kind: errs.Unavailable, Code: CodeProvider, Msg: "who vouches for this login cannot be reached, or does not answer as expected", Err: errors.New(why)}
}
