package login_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
)

// cluster is a Kubernetes API that reviews tokens. Its service accounts' tokens are
// signed by an issuer.
type cluster struct {
	*httptest.Server
	*issuer
	asked    atomic.Int32
	reviewer string // who may ask; empty: everybody
	answer   func(jwt string) map[string]any
	wanted   []string // audiences that were asked for last
}

func newCluster(t testing.TB) *cluster {
	c := &cluster{issuer: newIssuer(t)}
	c.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.asked.Add(1)
		var q struct {
			APIVersion, Kind string
			Spec             struct {
				Token     string
				Audiences []string
			}
		}
		if r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" || r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&q) != nil || q.Kind != "TokenReview" {
			http.NotFound(w, r)
			return
		}
		if c.reviewer != "" && r.Header.Get("Authorization") != "Bearer "+c.reviewer {
			http.Error(w, `{"kind":"Status"}`, http.StatusUnauthorized)
			return
		}
		c.wanted = q.Spec.Audiences
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(map[string]any{"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": c.answer(q.Spec.Token)})
	}))
	t.Cleanup(c.Server.Close)
	c.answer = func(string) map[string]any { return reviewed("app", "web", "uid-1") }
	return c
}

// reviewed is a good answer about a service account.
func reviewed(namespace, name, uid string) map[string]any {
	return map[string]any{"authenticated": true, "audiences": []string{"vault"},
		"user": map[string]any{"username": "system:serviceaccount:" + namespace + ":" + name, "uid": uid, "groups": []string{"system:serviceaccounts"}}}
}

func (c *cluster) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Server.Certificate().Raw}))
}

// projected is a token of a pod's service account.
func projected(namespace, name, uid string) map[string]any {
	now := time.Now()
	return map[string]any{"iss": "https://kubernetes.default.svc", "aud": []any{"vault"}, "sub": "system:serviceaccount:" + namespace + ":" + name,
		"exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nbf": now.Unix(), "kubernetes.io": map[string]any{"namespace": namespace,
			"pod": map[string]any{"name": "web-0", "uid": "pod-uid"}, "serviceaccount": map[string]any{"name": name, "uid": uid}}}
}

func (w *world) kube(m *mount.Mount, role, jwt string) (login.Entered, error) {
	return w.Logins.LoginKubernetes(w.t.Context(), w.nobody(), m, login.JWTLogin{Role: role, JWT: jwt})
}

func TestKubernetesReview(t *testing.T) {
	w, c := newWorld(t), newCluster(t)
	m := w.mount(mount.Kubernetes, "kubernetes")
	c.reviewer = "reviewer.jwt.x"
	w.done(w.Logins.PutMethod(t.Context(), w.Admin, m, login.Patch{"kubernetes_host": c.Server.URL + "/", "kubernetes_ca_cert": c.ca(), "token_reviewer_jwt": "reviewer.jwt.x"}))
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "Web", login.Patch{"bound_service_account_names": []string{"web", "worker-*"}, "bound_service_account_namespaces": []string{"app*"}, "audience": "vault"}))
	good := c.sign(t, projected("app", "web", "uid-1"))
	n := len(w.Records(t))
	_, err := w.kube(m, "web", good)
	w.ok(err)
	recs := w.since(n, policy.Login)
	if len(recs) != 1 || recs[0].Principal.Name != "kubernetes.app.web" || recs[0].Resource != "kubernetes/web" {
		t.Errorf("%+v", recs)
	}
	if _, ok := w.principal(m, "uid-1"); !ok || len(c.wanted) != 1 || c.wanted[0] != "vault" {
		t.Errorf("%v, asked for %q", ok, c.wanted)
	}
	refuses := func(what, role, jwt string) {
		t.Helper()
		_, err := w.kube(m, role, jwt)
		if code(err) != login.CodeRefused {
			t.Errorf("%s: %v", what, err)
		}
	}
	refuses("another name", "web", c.sign(t, projected("app", "db", "uid-1")))
	refuses("another namespace", "web", c.sign(t, projected("other", "web", "uid-1")))
	refuses("another audience", "web", c.sign(t, with(projected("app", "web", "uid-1"), map[string]any{"aud": "other"})))
	refuses("another uid than the cluster says", "web", c.sign(t, projected("app", "web", "uid-2")))
	refuses("no service account", "web", c.sign(t, with(projected("app", "web", "uid-1"), map[string]any{"kubernetes.io": nil})))
	refuses("another subject", "web", c.sign(t, with(projected("app", "web", "uid-1"), map[string]any{"sub": "system:serviceaccount:kube-system:admin"})))
	refuses("expired", "web", c.sign(t, with(projected("app", "web", "uid-1"), map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})))
	refuses("no token", "web", "x.y.z")
	for what, x := range map[string]map[string]any{"revoked": {"authenticated": false}, "an error": {"authenticated": true, "error": "gone"},
		"somebody else": reviewed("app", "db", "uid-1"), "another audience of the cluster": with(reviewed("app", "web", "uid-1"), map[string]any{"audiences": []string{"other"}}),
		"a person": {"authenticated": true, "user": map[string]any{"username": "admin"}}, "nothing": nil} {
		c.answer = func(string) map[string]any { return x }
		refuses(what, "web", good)
	}
	// Who is not authenticated learns nothing of roles.
	c.answer = func(string) map[string]any { return map[string]any{"authenticated": false} }
	_, there := w.kube(m, "web", good)
	_, absent := w.kube(m, "absent", good)
	if fmt.Sprint(there) != fmt.Sprint(absent) {
		t.Errorf("%v and %v", there, absent)
	}
	c.reviewer = "renewed"
	_, err = w.kube(m, "web", good)
	w.want(err, login.CodeProvider)
	c.Server.Close()
	_, err = w.kube(m, "web", good)
	w.want(err, login.CodeProvider)
}

// TestKubernetesPod holds what is used when the configuration says nothing: the
// pod's own account, and the token itself.
func TestKubernetesPod(t *testing.T) {
	w, c := newWorld(t), newCluster(t)
	m := w.mount(mount.Kubernetes, "k8s")
	pod := t.TempDir()
	s := login.New(login.Config{Gate: w.Gate, Changes: w.Changes, Vault: w.Ring, Tokens: w.Tokens, SignIn: w.SignIn, Allow: loopback, Burst: 1000, Pod: pod})
	w.done(s.PutMethod(t.Context(), w.Admin, m, login.Patch{"kubernetes_host": strings.TrimPrefix(c.Server.URL, "https://")}))
	w.done(s.PutRole(t.Context(), w.Admin, m, "web", login.Patch{"bound_service_account_names": []string{"*"}, "bound_service_account_namespaces": []string{"app"}, "alias_name_source": "serviceaccount_name"}))
	good := c.sign(t, projected("app", "web", "uid-1"))
	enter := func() error {
		_, err := s.LoginKubernetes(t.Context(), w.nobody(), m, login.JWTLogin{Role: "web", JWT: good})
		return err
	}
	w.want(enter(), login.CodeProvider) // nobody vouches for the cluster's certificate
	w.ok(os.WriteFile(filepath.Join(pod, "ca.crt"), []byte(c.ca()), 0o600))
	c.reviewer = good
	w.ok(enter())
	w.ok(os.WriteFile(filepath.Join(pod, "token"), []byte("of-the-pod\n"), 0o600))
	c.reviewer = "of-the-pod"
	w.ok(enter())
	if _, ok := w.principal(m, "app/web"); !ok {
		t.Error("the alias is another")
	}
	w.done(s.PutMethod(t.Context(), w.Admin, m, login.Patch{"kubernetes_host": c.Server.URL, "kubernetes_ca_cert": "\n" + c.ca()}))
	w.ok(enter())
	w.done(s.PutMethod(t.Context(), w.Admin, m, login.Patch{"kubernetes_host": c.Server.URL, "kubernetes_ca_cert": c.ca(), "disable_local_ca_jwt": true}))
	w.want(enter(), login.CodeRefused) // the token may not ask about itself here
}

// Who configures a method names the host and whom to trust there, and must not get
// the token of the server's own pod by that.
func TestKubernetesPodTokenStaysInItsCluster(t *testing.T) {
	w, foreign := newWorld(t), newCluster(t)
	m := w.mount(mount.Kubernetes, "k8s")
	pod := t.TempDir()
	w.ok(os.WriteFile(filepath.Join(pod, "ca.crt"), []byte(certPEM(newAuthority(t, "own", nil).cert)), 0o600))
	w.ok(os.WriteFile(filepath.Join(pod, "token"), []byte("of-the-pod\n"), 0o600))
	s := login.New(login.Config{Gate: w.Gate, Changes: w.Changes, Vault: w.Ring, Tokens: w.Tokens, SignIn: w.SignIn, Allow: loopback, Burst: 1000, Pod: pod})
	w.done(s.PutMethod(t.Context(), w.Admin, m, login.Patch{"kubernetes_host": foreign.URL, "kubernetes_ca_cert": foreign.ca()}))
	w.done(s.PutRole(t.Context(), w.Admin, m, "web", login.Patch{"bound_service_account_names": []string{"*"}, "bound_service_account_namespaces": []string{"app"}}))
	jwt := foreign.sign(t, projected("app", "web", "uid-1"))
	foreign.reviewer = jwt // it asks about itself
	_, err := s.LoginKubernetes(t.Context(), w.nobody(), m, login.JWTLogin{Role: "web", JWT: jwt})
	w.ok(err)
}

func TestKubernetesKeys(t *testing.T) {
	w, c := newWorld(t), newCluster(t)
	m := w.mount(mount.Kubernetes, "kubernetes")
	w.done(w.Logins.PutMethod(t.Context(), w.Admin, m, login.Patch{"pem_keys": []string{publicPEM(t, c.keys[0].Key)}, "disable_iss_validation": false, "issuer": "https://kubernetes.default.svc"}))
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "web", login.Patch{"bound_service_account_names": []string{"web"}, "bound_service_account_namespaces": []string{"*"}}))
	good := projected("app", "web", "uid-1")
	_, err := w.kube(m, "web", c.sign(t, good))
	w.ok(err)
	old := map[string]any{"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:app:web", "kubernetes.io/serviceaccount/namespace": "app",
		"kubernetes.io/serviceaccount/service-account.name": "web", "kubernetes.io/serviceaccount/service-account.uid": "uid-1", "kubernetes.io/serviceaccount/secret.name": "web-token"}
	for name, x := range map[string]map[string]any{"another issuer": with(good, map[string]any{"iss": "other"}), "no end": with(good, map[string]any{"exp": nil}),
		"not yet": with(good, map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), "no end, of old": with(old, map[string]any{"iss": "https://kubernetes.default.svc"})} {
		if _, err := w.kube(m, "web", c.sign(t, x)); code(err) != login.CodeRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := newIssuer(t)
	_, err = w.kube(m, "web", other.sign(t, good))
	w.want(err, login.CodeRefused)
	if n := c.asked.Load(); n != 0 {
		t.Errorf("the cluster was asked %d times", n)
	}
	w.done(w.Logins.PutMethod(t.Context(), w.Admin, m, login.Patch{"jwks_url": c.issuer.URL + "/jwks", "jwks_ca_pem": c.issuer.ca()}))
	_, err = w.kube(m, "web", c.sign(t, good))
	w.ok(err)
	// With both, both have to agree.
	w.done(w.Logins.PutMethod(t.Context(), w.Admin, m, login.Patch{"kubernetes_host": c.Server.URL, "kubernetes_ca_cert": c.ca(), "pem_keys": []string{publicPEM(t, c.keys[0].Key)}}))
	_, err = w.kube(m, "web", c.sign(t, old)) // the cluster says whether it is revoked
	w.ok(err)
	_, err = w.kube(m, "web", other.sign(t, good))
	w.want(err, login.CodeRefused)
	c.answer = func(string) map[string]any { return map[string]any{"authenticated": false} }
	_, err = w.kube(m, "web", c.sign(t, good))
	w.want(err, login.CodeRefused)
}

func TestKubernetesSettings(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.Kubernetes, "kubernetes")
	for _, x := range []struct {
		patch login.Patch
		want  string
	}{
		{login.Patch{}, "invalid/kubernetes_host"},
		{login.Patch{"kubernetes_host": "ftp://x"}, "invalid/kubernetes_host"},
		{login.Patch{"kubernetes_host": "https://x/?a=b"}, "invalid/kubernetes_host"},
		{login.Patch{"kubernetes_host": "https://x", "kubernetes_ca_cert": "x"}, "invalid/kubernetes_ca_cert"},
		{login.Patch{"kubernetes_host": "https://x", "token_reviewer_jwt": "a b"}, "invalid/token_reviewer_jwt"},
		{login.Patch{"kubernetes_host": "https://x", "pem_keys": []string{"x"}}, "invalid/pem_keys"},
		{login.Patch{"jwks_url": "https://x/", "oidc_discovery_url": "https://x"}, "invalid/pem_keys"},
		{login.Patch{"kubernetes_host": "10.0.0.1:6443", "token_reviewer_jwt": "s3cr3t"}, ""},
	} {
		_, err := w.Logins.PutMethod(t.Context(), w.Admin, m, x.patch)
		w.want(err, x.want)
	}
	got, err := w.Logins.GetMethod(t.Context(), w.Admin, m)
	w.ok(err)
	want := login.Settings{"kubernetes_host": "https://10.0.0.1:6443", "kubernetes_ca_cert": "", "pem_keys": []string{}, "issuer": "", "disable_iss_validation": true, "disable_local_ca_jwt": false,
		"oidc_discovery_url": "", "oidc_discovery_ca_pem": "", "jwks_url": "", "jwks_ca_pem": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, x := range []struct {
		patch login.Patch
		want  string
	}{
		{login.Patch{"bound_service_account_namespaces": []string{"a"}}, "invalid/bound_service_account_names"},
		{login.Patch{"bound_service_account_names": []string{"a"}}, "invalid/bound_service_account_namespaces"},
		{login.Patch{"bound_service_account_names": []string{"*"}, "bound_service_account_namespaces": []string{"*"}}, "invalid/bound_service_account_names"},
		{login.Patch{"bound_service_account_names": []string{"a"}, "bound_service_account_namespaces": []string{"*"}, "alias_name_source": "x"}, "invalid/alias_name_source"},
		{login.Patch{"bound_service_account_names": []string{"a"}, "bound_service_account_namespaces": []string{"*"}}, ""},
	} {
		_, err := w.Logins.PutRole(t.Context(), w.Admin, m, "ci", x.patch)
		w.want(err, x.want)
	}
}
