package identitytoken_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/identitytoken"
	"countersign/internal/core/protect"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

// world is a core with a key and a role.
type world struct {
	*coretest.Core
	t   *testing.T
	ctx context.Context
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{coretest.New(t, coretest.Config{}), t, context.Background()}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func to[T any](v T) *T { return &v }

func (w *world) key(n string, change func(*identitytoken.KeyRequest)) error {
	w.t.Helper()
	req := identitytoken.KeyRequest{Name: n, Algorithm: to("EdDSA"), Clients: to([]string{"*"})}
	if change != nil {
		change(&req)
	}
	_, err := w.IDTokens.PutKey(w.ctx, w.Admin, req)
	return err
}

func (w *world) role(n string, change func(*identitytoken.RoleRequest)) error {
	w.t.Helper()
	req := identitytoken.RoleRequest{Name: n, Key: to("k"), Client: to("app"), TTL: to(time.Hour)}
	if change != nil {
		change(&req)
	}
	_, err := w.IDTokens.PutRole(w.ctx, w.Admin, req)
	return err
}

func (w *world) issue(who caller.Caller, n string) string {
	w.t.Helper()
	got, err := w.IDTokens.Issue(w.ctx, who, n)
	w.must(err)
	return string(got.Token.Reveal())
}

func (w *world) nobody(account string) caller.Caller {
	return caller.Caller{Account: account, Front: "vault", Time: time.Now(), RequestID: "r"}
}

func (w *world) published(account string) (ids []string) {
	w.t.Helper()
	b, err := w.IDTokens.PublicKeys(w.ctx, w.nobody(account))
	w.must(err)
	var set jose.JSONWebKeySet
	w.must(json.Unmarshal(b, &set))
	for _, k := range set.Keys {
		if !k.IsPublic() || k.Use != "sig" {
			w.t.Errorf("published: %+v", k)
		}
		ids = append(ids, k.KeyID)
	}
	return ids
}

// kid is the id of the key that signed a token.
func kid(t *testing.T, token string) string {
	t.Helper()
	var h struct{ Kid string }
	if err := json.Unmarshal(part(t, token, 0), &h); err != nil {
		t.Fatal(err)
	}
	return h.Kid
}

func part(t *testing.T, token string, i int) []byte {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q has not three parts", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func claimsOf(t *testing.T, token string) (out map[string]any) {
	t.Helper()
	if err := json.Unmarshal(part(t, token, 1), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// serve publishes the documents of an account where its issuer says.
func (w *world) serve(account string) *httptest.Server {
	w.t.Helper()
	mux := http.NewServeMux()
	base := "/v1/"
	if account != coretest.Home {
		base += account + "/"
	}
	for path, f := range map[string]func(context.Context, caller.Caller) ([]byte, error){
		"openid-configuration": w.IDTokens.Discovery, "keys": w.IDTokens.PublicKeys} {
		mux.HandleFunc(base+"identity/oidc/.well-known/"+path, func(rw http.ResponseWriter, r *http.Request) {
			b, err := f(r.Context(), w.nobody(account))
			if err != nil {
				http.Error(rw, err.Error(), http.StatusInternalServerError)
				return
			}
			rw.Header().Set("Content-Type", "application/json")
			_, _ = rw.Write(b)
		})
	}
	srv := httptest.NewServer(mux)
	w.t.Cleanup(srv.Close)
	return srv
}

// A stock verifier takes tokens of every algorithm by what is published.
func TestVerify(t *testing.T) {
	w := newWorld(t)
	stranger, _ := w.Stranger(t)
	for account, who := range map[string]caller.Caller{coretest.Home: w.Admin, coretest.Other: stranger} {
		srv := w.serve(account)
		_, err := w.IDTokens.PutConfig(w.ctx, who, srv.URL)
		w.must(err)
		issuer := srv.URL + map[string]string{coretest.Home: "/v1/identity/oidc", coretest.Other: "/v1/222222222222/identity/oidc"}[account]
		for _, alg := range []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"} {
			_, err := w.IDTokens.PutKey(w.ctx, who, identitytoken.KeyRequest{Name: alg, Algorithm: &alg, Clients: to([]string{"app"})})
			w.must(err)
			_, err = w.IDTokens.PutRole(w.ctx, who, identitytoken.RoleRequest{Name: alg, Key: &alg, Client: to("app")})
			w.must(err)
			provider, err := oidc.NewProvider(w.ctx, issuer) // one that has fetched no keys yet
			w.must(err)
			token, err := provider.Verifier(&oidc.Config{ClientID: "app"}).Verify(w.ctx, w.issue(who, alg))
			if err != nil {
				t.Errorf("%s in %s: %v", alg, account, err)
				continue
			}
			if token.Subject != caller.EntityID(account, who.Name) || token.Expiry.Sub(token.IssuedAt) != 24*time.Hour {
				t.Errorf("%s: %+v", alg, token)
			}
		}
	}
	home, err := oidc.NewProvider(w.ctx, w.serveAs(coretest.Home)+"/v1/identity/oidc")
	w.must(err)
	if _, err := home.Verifier(&oidc.Config{ClientID: "app", SkipIssuerCheck: true}).Verify(w.ctx, w.issue(stranger, "ES256")); err == nil {
		t.Error("another account's token verifies by the home account's keys")
	}
}

// serveAs serves an account's documents, and makes that its issuer.
func (w *world) serveAs(account string) string {
	w.t.Helper()
	srv := w.serve(account)
	_, err := w.IDTokens.PutConfig(w.ctx, w.Admin, srv.URL)
	w.must(err)
	return srv.URL
}

func TestClaims(t *testing.T) {
	w := newWorld(t)
	w.must(w.key("k", nil))
	_, err := w.Authn.CreateUser(w.ctx, w.Admin, authn.CreateUserRequest{Name: "robot", Machine: true, Tags: map[string]string{"color": `re"d`}})
	w.must(err)
	_, err = w.Authn.CreateGroup(w.ctx, w.Admin, "team")
	w.must(err)
	_, err = w.Authn.AddToGroup(w.ctx, w.Admin, "team", "robot")
	w.must(err)
	_, err = w.Authn.Attach(w.ctx, w.Admin, authn.Attachment{User: "robot", Policy: "AdministratorAccess"})
	w.must(err)
	k, err := w.Authn.CreateKey(w.ctx, w.Admin, authn.CreateKeyRequest{Owner: "robot"})
	w.must(err)
	robot := w.As(t, k)
	w.must(w.role("r", func(r *identitytoken.RoleRequest) {
		r.Template = to(`{"color":{{identity.entity.metadata.color}},"none": {{identity.entity.metadata.none}},
			"all":{{identity.entity.metadata}},"who":[{{ identity.entity.name }},{{identity.entity.id}}],
			"groups":{"n":{{identity.entity.groups.names}},"i":{{identity.entity.groups.ids}}},
			"alias":{{identity.entity.aliases.auth_x_1.name}},"alias_meta":{{identity.entity.aliases.auth_x_1.metadata}},
			"nbf":{{time.now}},"later":{{time.now.plus.1h}},"before":{{time.now.minus.90}},
			{{identity.entity.metadata.color}}: 1}`)
	}))
	got := claimsOf(t, w.issue(robot, "r"))
	iat := got["iat"].(float64)
	id := caller.EntityID(coretest.Home, "robot")
	want := map[string]any{"iss": "https://countersign.example/v1/identity/oidc", "aud": "app", "sub": id, "namespace": "root", "iat": iat, "exp": iat + 3600,
		"color": `re"d`, "none": "", "all": map[string]any{"color": `re"d`}, "who": []any{"robot", id}, `re"d`: 1.0,
		"groups": map[string]any{"n": []any{"team"}, "i": []any{caller.GroupID(coretest.Home, "team")}},
		"alias":  "", "alias_meta": map[string]any{}, "nbf": iat, "later": iat + 3600, "before": iat - 90}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("claims\n%s, want\n%s", a, b)
	}
}

// No template says what every token says, not by way of a placeholder either.
func TestReservedClaims(t *testing.T) {
	w := newWorld(t)
	w.must(w.key("k", nil))
	for _, c := range []string{"iss", "sub", "aud", "exp", "iat", "namespace", "nonce", "auth_time", "at_hash", "c_hash", "ISS", "iſſ", "Sub"} {
		err := w.role("r", func(r *identitytoken.RoleRequest) { r.Template = to(`{"` + c + `":"x"}`) })
		if !errs.Is(err, errs.Invalid) || !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("%s: %v", c, err)
		}
	}
	_, err := w.Authn.UpdateUser(w.ctx, w.Admin, authn.UpdateUserRequest{Name: "admin", SetTags: map[string]string{"c": "sub", "d": "Iss"}})
	w.must(err)
	w.must(w.role("r", func(r *identitytoken.RoleRequest) {
		r.Template = to(`{ {{identity.entity.metadata.c}} : "somebody", {{identity.entity.metadata.d}}: "elsewhere"}`)
	}))
	got := claimsOf(t, w.issue(w.As(t, w.Key), "r"))
	if got["sub"] != caller.EntityID(coretest.Home, "admin") || got["Iss"] != nil {
		t.Errorf("claims %v", got)
	}
	for _, bad := range []string{`{`, `[]`, `"x"`, `{"a":{{identity.entity.nothing}}}`, `{"a":{{identity.groups.names.x.id}}}`, `{"a":{{time.now.plus.soon}}}`,
		`{"a":"x{{identity.entity.name}}y"}`, `{"a":{{identity.entity.name}}`, `{"a":{{identity.entity.name}`, `{"a":}}`, `{"a":"` + strings.Repeat("x", 9000) + `"}`} {
		if err := w.role("r", func(r *identitytoken.RoleRequest) { r.Template = &bad }); !errs.Is(err, errs.Invalid) {
			t.Errorf("%.60s: %v", bad, err)
		}
	}
}

// A key is published before it signs, and after that for its verification time.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, stop := context.WithCancel(w.ctx)
		done := make(chan struct{})
		go func() { defer close(done); w.IDTokens.Run(ctx) }()
		defer func() { stop(); <-done }()
		w.must(w.key("k", func(r *identitytoken.KeyRequest) { r.Rotation, r.Verification = to(time.Hour), to(150*time.Minute) }))
		w.must(w.role("r", nil))
		first := kid(t, w.issue(w.As(t, w.Key), "r"))
		ids := w.published(coretest.Home)
		if len(ids) != 2 || !slices.Contains(ids, first) {
			t.Fatalf("published at first: %v", ids)
		}
		signed := []string{first}
		for range 5 {
			next := w.published(coretest.Home)
			time.Sleep(time.Hour + 2*time.Minute)
			synctest.Wait()
			now := kid(t, w.issue(w.As(t, w.Key), "r"))
			if now == signed[len(signed)-1] || !slices.Contains(next, now) {
				t.Errorf("%s signs, of which %v were published before", now, next)
			}
			signed = append(signed, now)
			if p := w.published(coretest.Home); !slices.Contains(p, signed[len(signed)-2]) {
				t.Errorf("the key before is not published any more: %v", p)
			}
		}
		time.Sleep(151 * time.Minute)
		synctest.Wait()
		if p := w.published(coretest.Home); slices.Contains(p, signed[2]) || len(p) > 5 {
			t.Errorf("keys whose time is over are published: %v", p)
		}
		stop()
		<-done
		w.sound()
	})
}

// sound holds the records of the store against the rules for them.
func (w *world) sound() {
	w.t.Helper()
	for _, p := range w.problems() {
		w.t.Error(p)
	}
}

func (w *world) problems() (out []string) {
	w.t.Helper()
	w.must(w.DB.View(w.ctx, func(r kv.Reader) error {
		for _, rule := range identitytoken.Rules() {
			for p, err := range r.Scan(kv.Range{}) {
				if err != nil {
					return err
				}
				if _, rest, _ := bytes.Cut(p.Key, []byte("\x00\x01")); !bytes.HasPrefix(rest, kv.K(rule.Kind)) {
					continue
				}
				if _, _, err := kv.Key(p.Key).Parts(rule.Shape); err != nil {
					out = append(out, err.Error())
				} else if rule.Decode != nil && rule.Decode(p.Key, p.Value) != nil {
					out = append(out, rule.Kind+" does not decode")
				}
			}
		}
		return identitytoken.Refer(r, func(k kv.Key, problem string) { out = append(out, problem) })
	}))
	return out
}

// What is wrong between records is found.
func TestRefer(t *testing.T) {
	for want, spoil := range map[string]func(tx kv.Txn) error{
		"not in the due index": func(tx kv.Txn) error {
			for p, err := range tx.Scan(kv.Prefix(kv.K("sys", "identity-due"))) {
				if err != nil {
					return err
				}
				return tx.Delete(bytes.Clone(p.Key))
			}
			return nil
		},
		"not due then": func(tx kv.Txn) error {
			return tx.Put(kv.K("sys", "identity-due").Num(7).Str(coretest.Home, "k"), []byte{1})
		},
		"key that is not due": func(tx kv.Txn) error {
			return tx.Put(kv.K("sys", "identity-due").Num(7).Str(coretest.Home, "none"), []byte{1})
		},
		"that is not there": func(tx kv.Txn) error {
			for p, err := range tx.Scan(kv.Prefix(kv.K(coretest.Home, "identity-key", "k"))) {
				if err != nil {
					return err
				}
				return tx.Delete(bytes.Clone(p.Key))
			}
			return nil
		},
	} {
		w := newWorld(t)
		w.must(w.key("k", nil))
		w.must(w.role("r", nil))
		w.sound()
		_, err := w.DB.Update(w.ctx, spoil)
		w.must(err)
		if got := strings.Join(w.problems(), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s: found %q", want, got)
		}
	}
}

func TestRotateByHand(t *testing.T) {
	w := newWorld(t)
	w.must(w.key("k", nil))
	w.must(w.role("r", nil))
	token := w.issue(w.Admin, "r")
	first := kid(t, token)
	_, err := w.IDTokens.RotateKey(w.ctx, w.Admin, "k", nil)
	w.must(err)
	if p := w.published(coretest.Home); len(p) != 3 || !slices.Contains(p, first) {
		t.Errorf("published: %v", p)
	}
	_, err = w.IDTokens.RotateKey(w.ctx, w.Admin, "k", to(time.Duration(0)))
	w.must(err)
	if p := w.published(coretest.Home); len(p) != 3 {
		t.Errorf("published after a rotation that keeps nothing: %v", p)
	}
	// Another algorithm replaces both pairs.
	w.must(w.key("k", func(r *identitytoken.KeyRequest) { r.Algorithm = to("ES256") }))
	if now := w.issue(w.Admin, "r"); !strings.Contains(string(part(t, now, 0)), "ES256") {
		t.Errorf("header %s", part(t, now, 0))
	}
	if active, why, err := w.IDTokens.Introspect(w.ctx, w.Admin, sensitive.FromString(token), ""); err != nil || !active {
		t.Errorf("a token of the first pair: %s, %v", why, err)
	}
	for range 60 {
		_, err = w.IDTokens.RotateKey(w.ctx, w.Admin, "k", nil)
	}
	if !errs.Is(err, errs.Limit) {
		t.Errorf("after 60 rotations: %v", err)
	}
	w.sound()
}

func TestIntrospect(t *testing.T) {
	w := newWorld(t)
	w.must(w.key("k", nil))
	w.must(w.role("r", nil))
	robot, _ := w.User(t, "robot", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"countersign:IssueIdentityToken","Resource":"*"}]}`)
	token := w.issue(robot, "r")
	parts := strings.Split(token, ".")
	other := strings.Split(w.issue(w.Admin, "r"), ".")
	check := func(token, client, want string) {
		t.Helper()
		active, why, err := w.IDTokens.Introspect(w.ctx, w.Admin, sensitive.FromString(token), client)
		if err != nil || active != (want == "") || !strings.Contains(why, want) {
			t.Errorf("active %v, %q, %v; want %q", active, why, err, want)
		}
	}
	check(token, "", "")
	check(token, "app", "")
	check(token, "another", "error validating claims")
	check("", "", "error parsing")
	check(strings.Repeat("a", 100_000), "", "too long")
	check(parts[0]+"."+other[1]+"."+parts[2], "", "signature")
	check(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))+"."+parts[1]+".", "", "error parsing")
	_, err := w.Authn.UpdateUser(w.ctx, w.Admin, authn.UpdateUserRequest{Name: "robot", Disabled: to(true)})
	w.must(err)
	check(token, "", "disabled")
	_, err = w.Authn.DeleteUser(w.ctx, w.Admin, "robot")
	w.must(err)
	check(token, "", "not found")
	stranger, _ := w.Stranger(t)
	if active, why, err := w.IDTokens.Introspect(w.ctx, stranger, sensitive.FromString(token), ""); err != nil || active || !strings.Contains(why, "signature") {
		t.Errorf("in another account: %v %q %v", active, why, err)
	}
	_, err = w.IDTokens.PutConfig(w.ctx, w.Admin, "https://other.example")
	w.must(err)
	check(strings.Join(other, "."), "", "issuer")
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.must(w.key("k", func(r *identitytoken.KeyRequest) { r.Clients = to([]string{"app"}) }))
	w.must(w.role("r", nil))
	before := w.Dump(t)
	key := func(change func(*identitytoken.KeyRequest)) func() error {
		return func() error { return w.key("k", change) }
	}
	role := func(change func(*identitytoken.RoleRequest)) func() error {
		return func() error { return w.role("new", change) }
	}
	for what, tt := range map[string]struct {
		do   func() error
		kind errs.Kind
		want string
	}{
		"algorithm":    {key(func(r *identitytoken.KeyRequest) { r.Algorithm = to("HS256") }), errs.Invalid, "RS256"},
		"rotation":     {key(func(r *identitytoken.KeyRequest) { r.Rotation = to(59 * time.Second) }), errs.Invalid, "one minute"},
		"verification": {key(func(r *identitytoken.KeyRequest) { r.Rotation, r.Verification = to(time.Hour), to(11*time.Hour) }), errs.Invalid, "ten times"},
		"short":        {key(func(r *identitytoken.KeyRequest) { r.Verification = to(time.Minute) }), errs.Invalid, `role "r"`},
		"client":       {key(func(r *identitytoken.KeyRequest) { r.Clients = to([]string{""}) }), errs.Invalid, "client"},
		"key-name":     {func() error { return w.key("a/b", nil) }, errs.Invalid, "name"},
		"used":         {func() error { _, err := w.IDTokens.DeleteKey(w.ctx, w.Admin, "k"); return err }, errs.Precondition, "roles: r"},
		"no-key":       {role(func(r *identitytoken.RoleRequest) { r.Key = nil }), errs.Invalid, "required"},
		"other-key":    {role(func(r *identitytoken.RoleRequest) { r.Key = to("none") }), errs.Invalid, "cannot find"},
		"ttl":          {role(func(r *identitytoken.RoleRequest) { r.TTL = to(25 * time.Hour) }), errs.Invalid, "longer"},
		"no-ttl":       {role(func(r *identitytoken.RoleRequest) { r.TTL = to(time.Duration(0)) }), errs.Invalid, "ttl"},
		"long-client":  {role(func(r *identitytoken.RoleRequest) { r.Client = to(strings.Repeat("x", 256)) }), errs.Invalid, "client"},
		"issuer-path":  {func() error { _, err := w.IDTokens.PutConfig(w.ctx, w.Admin, "https://a/b"); return err }, errs.Invalid, "scheme"},
		"issuer-ftp":   {func() error { _, err := w.IDTokens.PutConfig(w.ctx, w.Admin, "ftp://a"); return err }, errs.Invalid, "scheme"},
		"issuer-user":  {func() error { _, err := w.IDTokens.PutConfig(w.ctx, w.Admin, "https://u:p@a"); return err }, errs.Invalid, "scheme"},
		"rotate-none":  {func() error { _, err := w.IDTokens.RotateKey(w.ctx, w.Admin, "none", nil); return err }, errs.NotFound, "no such key"},
		"issue-none":   {func() error { _, err := w.IDTokens.Issue(w.ctx, w.Admin, "none"); return err }, errs.NotFound, "no such role"},
		"get-none":     {func() error { _, err := w.IDTokens.GetKey(w.ctx, w.Admin, "none"); return err }, errs.NotFound, "no such key"},
	} {
		if err := tt.do(); !errs.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s with %q", what, err, tt.kind, tt.want)
		}
	}
	if !maps.EqualFunc(before, w.Dump(t), func(a, b []byte) bool { return string(a) == string(b) }) {
		t.Error("a refusal changed something")
	}
	w.must(w.key("k", func(r *identitytoken.KeyRequest) { r.Clients = to([]string{"another"}) }))
	if _, err := w.IDTokens.Issue(w.ctx, w.Admin, "r"); !errs.Is(err, errs.Precondition) {
		t.Errorf("a client that the key does not sign for: %v", err)
	}
	alice, _ := w.User(t, "alice", "")
	for what, err := range map[string]error{
		"issue":      only(w.IDTokens.Issue(w.ctx, alice, "r")),
		"issue-none": only(w.IDTokens.Issue(w.ctx, alice, "none")),
		"put":        only(w.IDTokens.PutKey(w.ctx, alice, identitytoken.KeyRequest{Name: "k"})),
		"rotate":     only(w.IDTokens.RotateKey(w.ctx, alice, "none", nil)),
		"config":     only(w.IDTokens.GetConfig(w.ctx, alice)),
		"list":       only(w.IDTokens.ListRoles(w.ctx, alice)),
	} {
		if !errs.Is(err, errs.Denied) {
			t.Errorf("%s without a permission: %v", what, err)
		}
	}
}

func only[T any](_ T, err error) error { return err }

func TestKeysAndRoles(t *testing.T) {
	w := newWorld(t)
	_, err := w.IDTokens.PutKey(w.ctx, w.Admin, identitytoken.KeyRequest{Name: "plain"})
	w.must(err)
	if k, err := w.IDTokens.GetKey(w.ctx, w.Admin, "plain"); err != nil || k.Algorithm != "RS256" || k.Rotation != 24*time.Hour || k.Verification != 24*time.Hour || len(k.Clients) != 0 {
		t.Errorf("a plain key: %+v, %v", k, err)
	}
	_, err = w.IDTokens.PutRole(w.ctx, w.Admin, identitytoken.RoleRequest{Name: "plain", Key: to("plain")})
	w.must(err)
	r, err := w.IDTokens.GetRole(w.ctx, w.Admin, "plain")
	if err != nil || len(r.Client) != 26 || r.TTL != 24*time.Hour {
		t.Errorf("a plain role: %+v, %v", r, err)
	}
	_, err = w.IDTokens.PutRole(w.ctx, w.Admin, identitytoken.RoleRequest{Name: "plain", TTL: to(time.Minute)})
	w.must(err)
	if now, err := w.IDTokens.GetRole(w.ctx, w.Admin, "plain"); err != nil || now.Client != r.Client || now.TTL != time.Minute {
		t.Errorf("a changed role: %+v, %v", now, err)
	}
	stranger, _ := w.Stranger(t)
	if names, err := w.IDTokens.ListKeys(w.ctx, stranger); err != nil || len(names) != 0 {
		t.Errorf("in another account: %v, %v", names, err)
	}
	if p := w.published(coretest.Other); len(p) != 0 {
		t.Errorf("published in another account: %v", p)
	}
	for range 2 {
		_, err = w.IDTokens.DeleteRole(w.ctx, w.Admin, "plain")
		w.must(err)
		_, err = w.IDTokens.DeleteKey(w.ctx, w.Admin, "plain")
		w.must(err)
	}
	if p := w.published(coretest.Home); len(p) != 0 {
		t.Errorf("published after the deletion: %v", p)
	}
	w.sound()
}

// A rule holds each write; what waits holds no private key, and a key that was
// approved is made by the job.
func TestReview(t *testing.T) {
	w := newWorld(t)
	w.must(w.key("old", nil))
	_, err := w.Authn.CreateGroup(w.ctx, w.Admin, "approvers")
	w.must(err)
	bob, _ := w.User(t, "bob", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["countersign:ReviewChange","countersign:ReadChange"],"Resource":"*"}]}`)
	_, err = w.Authn.AddToGroup(w.ctx, w.Admin, "approvers", "bob")
	w.must(err)
	_, err = w.Changes.PutRules(w.ctx, w.Admin, change.RuleChange{Set: &protect.Rule{Name: "tokens", Match: []string{"identity-key:*", "identity-role:*", "identity-config:*"},
		Approvals: []protect.Approval{{Count: 1, Groups: []string{"approvers"}}}}}, "", change.Options{})
	w.must(err)
	approve := func(what string, res change.Result, err error) {
		t.Helper()
		w.must(err)
		if res.Status != change.Pending {
			t.Fatalf("%s under a rule: %+v", what, res)
		}
		v, err := w.Changes.Get(w.ctx, bob, res.ID)
		w.must(err)
		if len(v.Lines) == 0 || strings.Contains(strings.Join(v.Lines, "\n"), "PRIVATE") {
			t.Errorf("%s tells a reviewer %q", what, v.Lines)
		}
		digest, err := hex.DecodeString(v.Digest)
		w.must(err)
		_, err = w.Changes.Vote(w.ctx, coretest.Circumstances(bob), change.VoteRequest{ID: res.ID, Approve: true, Digest: digest})
		w.must(err)
	}
	res, err := w.IDTokens.PutKey(w.ctx, w.Admin, identitytoken.KeyRequest{Name: "k", Algorithm: to("EdDSA"), Clients: to([]string{"*"})})
	approve("put key", res, err)
	res, err = w.IDTokens.PutRole(w.ctx, w.Admin, identitytoken.RoleRequest{Name: "r", Key: to("k"), Template: to(`{"a":1}`)})
	approve("put role", res, err)
	if _, err := w.IDTokens.Issue(w.ctx, w.Admin, "r"); !errs.Is(err, errs.Unavailable) {
		t.Errorf("before the key is made: %v", err)
	}
	w.must(w.IDTokens.Turn(w.ctx))
	first := kid(t, w.issue(w.Admin, "r"))
	if r, err := w.IDTokens.GetRole(w.ctx, w.Admin, "r"); err != nil || len(r.Client) != 26 {
		t.Errorf("the role: %+v, %v", r, err)
	}
	res, err = w.IDTokens.RotateKey(w.ctx, w.Admin, "k", to(time.Hour))
	approve("rotate", res, err)
	if kid(t, w.issue(w.Admin, "r")) == first {
		t.Error("the key did not rotate")
	}
	res, err = w.IDTokens.PutConfig(w.ctx, w.Admin, "https://tokens.example")
	approve("config", res, err)
	res, err = w.IDTokens.DeleteRole(w.ctx, w.Admin, "r")
	approve("delete role", res, err)
	w.must(w.IDTokens.Turn(w.ctx))
	res, err = w.IDTokens.DeleteKey(w.ctx, w.Admin, "k")
	approve("delete key", res, err)
	if names, err := w.IDTokens.ListKeys(w.ctx, w.Admin); err != nil || !slices.Equal(names, []string{"old"}) {
		t.Errorf("left: %v, %v", names, err)
	}
	w.sound()
}

// All that is answered is recorded, what anybody may read too; no record holds a
// token.
func TestRecords(t *testing.T) {
	w := newWorld(t)
	w.must(w.key("k", nil))
	w.must(w.role("r", nil))
	token := w.issue(w.Admin, "r")
	_, err := w.IDTokens.PublicKeys(w.ctx, w.nobody("999999999999"))
	w.must(err)
	w.published(coretest.Home)
	var ops []string
	for _, r := range w.Records(t) {
		ops = append(ops, r.Operation+" "+r.Account)
		b, err := json.Marshal(r)
		w.must(err)
		if strings.Contains(string(b), strings.Split(token, ".")[2]) {
			t.Errorf("a record holds the token: %s", b)
		}
		if r.Outcome != audit.OK {
			t.Errorf("record %s", b)
		}
	}
	for _, want := range []string{"PutIdentityKey " + coretest.Home, "RotateIdentityKey " + coretest.Home, "PutIdentityRole " + coretest.Home,
		"IssueIdentityToken " + coretest.Home, "ReadIdentityPublicKeys ", "ReadIdentityPublicKeys " + coretest.Home} {
		if !slices.Contains(ops, want) {
			t.Errorf("no record %q in %q", want, ops)
		}
	}
}
