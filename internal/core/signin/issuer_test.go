package signin_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer is an identity provider with no more than a login needs. claims and
// sign can be changed to make it lie.
type issuer struct {
	*httptest.Server
	key      *rsa.PrivateKey
	claims   map[string]any // of the next token, over the usual ones
	info     map[string]any // what the UserInfo endpoint tells
	key2     any            // signs instead of key
	alg      jose.SignatureAlgorithm
	tokenURL string
	asked    url.Values // of the last exchange
	nonce    string
}

// issuerKey is made once: that takes long.
var issuerKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := issuerKey()
	if err != nil {
		t.Fatal(err)
	}
	is := &issuer{key: key, alg: jose.RS256}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		at := is.tokenURL
		if at == "" {
			at = is.URL + "/token"
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": is.URL, "authorization_endpoint": is.URL + "/authorize", "token_endpoint": at,
			"jwks_uri": is.URL + "/keys", "userinfo_endpoint": is.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer a" {
			w.WriteHeader(401)
			return
		}
		c := map[string]any{"sub": "subject-1"}
		maps.Copy(c, is.info)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(c)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		is.asked = r.PostForm
		if _, secret, ok := r.BasicAuth(); ok && is.asked.Get("client_secret") == "" {
			is.asked.Set("client_secret", secret)
		}
		w.Header().Set("Content-Type", "application/json")
		if r.PostForm.Get("code") != "good" {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": is.token(t)})
	})
	is.Server = httptest.NewServer(mux)
	t.Cleanup(is.Close)
	return is
}

func (is *issuer) token(t testing.TB) string {
	c := map[string]any{"iss": is.URL, "aud": clientID, "sub": "subject-1", "nonce": is.nonce, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
	maps.Copy(c, is.claims)
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if is.alg == "none" {
		e := base64.RawURLEncoding.EncodeToString
		return e([]byte(`{"alg":"none"}`)) + "." + e(body) + "."
	}
	var key any = is.key
	if is.key2 != nil {
		key = is.key2
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: is.alg, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := j.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
