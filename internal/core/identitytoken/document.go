package identitytoken

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

type putConfig struct {
	Issuer string `cbor:"1,keyasint,omitempty"`
}

// PutConfig says under which address others know the issuer of the account's
// tokens: scheme, host and port. Empty is that of the server.
func (s *Service) PutConfig(ctx context.Context, who caller.Caller, issuer string) (change.Result, error) {
	return s.submit(ctx, who, policy.PutIdentityTokenConfig, configName, &putConfig{Issuer: issuer}, checkIssuer(issuer))
}

func checkIssuer(issuer string) error {
	if issuer == "" {
		return nil
	}
	u, err := url.Parse(issuer)
	if err != nil || len(issuer) > 255 || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || issuer != u.Scheme+"://"+u.Host {
		return errs.InvalidField("issuer", "it has only a scheme, a host, and optionally a port: https://example.com:8200")
	}
	return nil
}

func (d *putConfig) noun() string { return NounConfig }

func (d *putConfig) apply(tx *change.Tx, t change.Target) error {
	is, _, err := record.Get[config](tx, configKey(t.Account))
	if err == nil {
		err = produced(tx, is)
	}
	if err != nil {
		return err
	}
	if is.Issuer == d.Issuer {
		tx.NothingToDo()
		return nil
	}
	tx.Wrote(is.Revision, is.Revision+1, nil)
	return record.Put(tx, configKey(t.Account), config{Issuer: d.Issuer, Revision: is.Revision + 1})
}

func (d *putConfig) says(string) []string {
	if d.Issuer == "" {
		return []string{"issue identity tokens under the address of the server"}
	}
	return []string{"issue identity tokens under " + d.Issuer}
}

// GetConfig returns the address that was set, empty for none.
func (s *Service) GetConfig(ctx context.Context, who caller.Caller) (issuer string, err error) {
	err = s.view(ctx, who, policy.GetIdentityTokenConfig, NounConfig, configName, func(a *gate.Access) error {
		c, _, err := record.Get[config](a, configKey(who.Account))
		issuer = c.Issuer
		return err
	})
	return issuer, err
}

// Path is where the documents of an issuer are below the server's address; of an
// account that is not home its number stands before it.
const Path = "identity/oidc"

// issuer is the iss claim of an account's tokens.
func (s *Service) issuer(r kv.Reader, account string) (string, error) {
	c, _, err := record.Get[config](r, configKey(account))
	if err != nil {
		return "", err
	}
	base := c.Issuer
	if base == "" {
		base = strings.TrimRight(s.URL, "/")
	}
	if account != s.Home {
		return base + "/v1/" + account + "/" + Path, nil
	}
	return base + "/v1/" + Path, nil
}

// namespace is what tokens say of the account.
func (s *Service) namespace(account string) string {
	if account == s.Home {
		return "root"
	}
	return account
}

// discovery is the part of the provider's metadata (OpenID Connect Discovery 1.0,
// section 3) that verifies tokens: nobody signs in here.
type discovery struct {
	Issuer     string                    `json:"issuer"`
	Keys       string                    `json:"jwks_uri"`
	Responses  []string                  `json:"response_types_supported"`
	Subjects   []string                  `json:"subject_types_supported"`
	Algorithms []jose.SignatureAlgorithm `json:"id_token_signing_alg_values_supported"`
}

// Discovery is the document that says where the public keys of the account that
// nobody names are, and who issues its tokens. Everybody may read it.
func (s *Service) Discovery(ctx context.Context, nobody caller.Caller) ([]byte, error) {
	return s.public(ctx, nobody, "ReadIdentityDiscovery", func(r kv.Reader) (any, error) {
		iss, err := s.issuer(r, nobody.Account)
		return discovery{Issuer: iss, Keys: iss + "/.well-known/keys", Responses: []string{"id_token"}, Subjects: []string{"public"}, Algorithms: algorithms}, err
	})
}

// PublicKeys is the document of the public keys by which the account's tokens
// verify (RFC 7517, section 5). Everybody may read it.
func (s *Service) PublicKeys(ctx context.Context, nobody caller.Caller) ([]byte, error) {
	now := time.Now()
	return s.public(ctx, nobody, "ReadIdentityPublicKeys", func(r kv.Reader) (any, error) {
		keys, err := published(r, nobody.Account, now)
		return jose.JSONWebKeySet{Keys: keys}, err
	})
}

// public reads what everybody may know. It is recorded, as all that is answered,
// in the log of the account if there is one.
func (s *Service) public(ctx context.Context, nobody caller.Caller, operation string, f func(r kv.Reader) (any, error)) (out []byte, err error) {
	rec := audit.FromCaller(nobody, operation)
	rec.Account = ""
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		v, err := f(r)
		if err != nil {
			return err
		}
		if out, err = json.Marshal(v); err != nil {
			return err
		}
		ok, err := authn.AccountExists(r, nobody.Account)
		if ok {
			rec.Account = nobody.Account
		}
		return err
	})
	if err := s.gate.Finish(ctx, &rec, err); err != nil {
		return nil, err
	}
	return out, nil
}

// published are all the public keys of an account.
func published(r kv.Reader, account string, now time.Time) ([]jose.JSONWebKey, error) {
	out := []jose.JSONWebKey{}
	for e, err := range record.Scan[key](r, kv.Prefix(kv.K(account, "identity-key"))) {
		if err != nil {
			return nil, err
		}
		some, err := e.Value.published(now)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}
