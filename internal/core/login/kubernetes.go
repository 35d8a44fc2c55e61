package login

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/mount"
	"countersign/internal/egress"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// podFolder is where Kubernetes puts the service account of a container.
const podFolder = "/var/run/secrets/kubernetes.io/serviceaccount"

// kubeMethod is how service accounts of a cluster are verified: by asking the
// cluster, by its keys, or by both.
type kubeMethod struct {
	Host     string    `cbor:"1,keyasint,omitempty"` // of the cluster's API; empty: it is not asked
	CA       string    `cbor:"2,keyasint,omitempty"`
	Reviewer string    `cbor:"3,keyasint,omitempty"` // token to ask with
	Keys     keySource `cbor:"4,keyasint"`
	Issuer   string    `cbor:"5,keyasint,omitempty"`
	AnyIss   bool      `cbor:"6,keyasint,omitempty"`
	NoPod    bool      `cbor:"7,keyasint,omitempty"` // what the server's own pod has is not used
}

func (k *kubeMethod) fields() []Field {
	return []Field{
		text("kubernetes_host", &k.Host), text("kubernetes_ca_cert", &k.CA), text("token_reviewer_jwt", &k.Reviewer).hidden(),
		list("pem_keys", &k.Keys.PEM), text("issuer", &k.Issuer), flag("disable_iss_validation", &k.AnyIss), flag("disable_local_ca_jwt", &k.NoPod),
		text("oidc_discovery_url", &k.Keys.Discovery), text("oidc_discovery_ca_pem", &k.Keys.DiscoveryCA),
		text("jwks_url", &k.Keys.JWKS), text("jwks_ca_pem", &k.Keys.JWKSCA),
	}
}

func (k *kubeMethod) check() error {
	if k.Host != "" && !strings.Contains(k.Host, "://") {
		k.Host = "https://" + k.Host
	}
	k.Host = strings.TrimSuffix(k.Host, "/")
	switch {
	case k.Host == "" && k.Keys.count() == 0:
		return errs.InvalidField("kubernetes_host", "no host provided, nor keys: pem_keys, jwks_url or oidc_discovery_url")
	case k.Keys.count() > 1:
		return errs.InvalidField("pem_keys", "at most one of pem_keys, jwks_url and oidc_discovery_url")
	}
	if k.Host != "" {
		u, err := egress.ParseURL(k.Host)
		if err != nil {
			return errs.InvalidField("kubernetes_host", "%s", errs.As(err).Msg)
		}
		if u.RawQuery != "" {
			return errs.InvalidField("kubernetes_host", "it has a query")
		}
	}
	if err := checkCA("kubernetes_ca_cert", k.CA); err != nil {
		return err
	}
	if len(k.Reviewer) > maxJWT || strings.ContainsFunc(k.Reviewer, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return errs.InvalidField("token_reviewer_jwt", "that is no token")
	}
	if err := name.Text("issuer", k.Issuer, maxText); err != nil {
		return err
	}
	return k.Keys.check("pem_keys")
}

// Sources of the names of service accounts.
const (
	bySAUID  = "serviceaccount_uid"
	bySAName = "serviceaccount_name"
)

// kubeRole is which service accounts may log in.
type kubeRole struct {
	Names      []string `cbor:"1,keyasint"`
	Namespaces []string `cbor:"2,keyasint"`
	Audience   string   `cbor:"3,keyasint,omitempty"`
	Source     string   `cbor:"4,keyasint"`
}

func (k *kubeRole) fields() []Field {
	return []Field{list("bound_service_account_names", &k.Names), list("bound_service_account_namespaces", &k.Namespaces),
		text("audience", &k.Audience), text("alias_name_source", &k.Source)}
}

func (k *kubeRole) check() error {
	for field, l := range map[string][]string{"bound_service_account_names": k.Names, "bound_service_account_namespaces": k.Namespaces} {
		if len(l) == 0 {
			return errs.InvalidField(field, "%q can not be empty", field)
		}
		if err := checkTexts(field, append(l, k.Audience)); err != nil {
			return err
		}
	}
	if slices.Equal(k.Names, []string{"*"}) && slices.Equal(k.Namespaces, []string{"*"}) {
		return errs.InvalidField("bound_service_account_names", "service_account_names and service_account_namespaces can not both be \"*\"")
	}
	if k.Source != bySAUID && k.Source != bySAName {
		return errs.InvalidField("alias_name_source", "it is serviceaccount_uid or serviceaccount_name")
	}
	return nil
}

// account is a service account.
type account struct{ Namespace, Name, UID, Secret string }

// saPrefix begins the names of service accounts among those of users.
const saPrefix = "system:serviceaccount:"

// accountOf reads which service account a token says it is of: one that was
// projected into a pod, or one out of a secret, as they once were.
func accountOf(c claims) (a account, ok bool) {
	text := func(at string) string { s, _ := c.get(at).(string); return s }
	a = account{text("/kubernetes.io/namespace"), text("/kubernetes.io/serviceaccount/name"), text("/kubernetes.io/serviceaccount/uid"), ""}
	if a.Namespace == "" {
		const old = "kubernetes.io/serviceaccount/"
		plain := func(n string) string { s, _ := c.text(old + n); return s }
		a = account{plain("namespace"), plain("service-account.name"), plain("service-account.uid"), plain("secret.name")}
	}
	sub, _ := c.text("sub")
	return a, a.Namespace != "" && a.Name != "" && a.UID != "" && sub == saPrefix+a.Namespace+":"+a.Name
}

// takes holds a service account against a role.
func (k *kubeRole) takes(a account, c claims) (why string) {
	aud, ok := c.audiences()
	switch {
	case !anyGlob(k.Names, a.Name):
		return "service account name not authorized"
	case !anyGlob(k.Namespaces, a.Namespace):
		return "namespace not authorized"
	case !ok || k.Audience != "" && !slices.Contains(aud, k.Audience):
		return "invalid audience (aud) claim"
	}
	return ""
}

// LoginKubernetes gives a token to a service account of a cluster.
func (s *Service) LoginKubernetes(ctx context.Context, nobody caller.Caller, m *mount.Mount, req JWTLogin) (Entered, error) {
	w, n, err := s.proveKubernetes(ctx, nobody, m, &req)
	return s.finish(ctx, nobody, m, n, w, err)
}

func (s *Service) proveKubernetes(ctx context.Context, nobody caller.Caller, m *mount.Mount, req *JWTLogin) (w *way, n string, err error) {
	n = strings.ToLower(req.Role)
	if err := s.begin(nobody); err != nil {
		return nil, n, err
	}
	conf, err := s.method(ctx, nobody.Account, m)
	switch {
	case err != nil:
		return nil, n, err
	case conf == nil || conf.Kube == nil:
		return nil, n, notConfigured()
	case n == "":
		return nil, n, errs.InvalidField("role", "missing role")
	case req.JWT == "":
		return nil, n, errs.InvalidField("jwt", "missing jwt")
	case checkName(n) != nil:
		return nil, "", roleRefuses()
	}
	of, err := s.role(ctx, nobody.Account, m, n)
	if err != nil {
		return nil, n, err
	}
	a, why, err := s.accountFor(ctx, conf.Kube, of, req.JWT)
	if err != nil {
		return nil, n, err
	}
	meta := map[string]string{ownMeta: n, "service_account_name": a.Name, "service_account_namespace": a.Namespace, "service_account_uid": a.UID, "service_account_secret_name": a.Secret}
	if why == "" && checkMeta(meta) != nil {
		why = "its names are too long"
	}
	if why != "" {
		s.because(m, n, why)
		return nil, n, roleRefuses()
	}
	alias := a.UID
	if of.Kube.Source == bySAName {
		alias = a.Namespace + "/" + a.Name
	}
	return &way{mount: m, role: n, terms: &of.Terms, proof: caller.ProofKubernetes, alias: alias, label: a.Namespace + "." + a.Name,
		display: short(m) + "-" + a.Namespace + "-" + a.Name, meta: meta, settle: s.unchanged(nobody.Account, m, n, of, conf)}, n, nil
}

// accountFor verifies a token and holds it against a role, which may be none; why
// is what does not fit. The cluster is asked first: who cannot prove anything
// learns nothing of roles.
func (s *Service) accountFor(ctx context.Context, conf *kubeMethod, of *role, jwt string) (a account, why string, err error) {
	want := &kubeRole{}
	there := of != nil && of.Kube != nil
	if there {
		want = of.Kube
	}
	c, a, err := s.serviceAccount(ctx, conf, jwt)
	if err == nil && conf.Host != "" {
		why, err = s.review(ctx, conf, want, a, jwt)
	}
	switch {
	case err != nil || why != "":
		return a, why, err
	case !there:
		return a, "there is no such role", nil
	}
	return a, want.takes(a, c), nil
}

// serviceAccount reads a token, and verifies it as far as there are keys. Where
// there are none, it is only what the token says, for the cluster to confirm.
func (s *Service) serviceAccount(ctx context.Context, conf *kubeMethod, raw string) (c claims, a account, err error) {
	issuer := ""
	if conf.Keys.count() > 0 {
		c, issuer, err = s.verify(ctx, &conf.Keys, nil, raw)
	} else {
		c, err = unverified(raw)
	}
	if err != nil {
		return nil, a, err
	}
	if !conf.AnyIss {
		if issuer = conf.Issuer; issuer == "" {
			issuer = "kubernetes/serviceaccount"
		}
	}
	if is, _ := c.text("iss"); issuer != "" && is != issuer {
		return nil, a, badToken("invalid issuer (iss) claim")
	}
	a, ok := accountOf(c)
	if !ok {
		return nil, a, badToken("it is not of a service account")
	}
	if _, has, _ := c.number("exp"); !has && conf.Keys.count() > 0 && conf.Host == "" {
		return nil, a, badToken("it does not expire, and nobody can be asked whether it is revoked")
	}
	now := time.Now()
	if exp, has, ok := c.number("exp"); !ok || has && float64(now.Unix()) >= exp+60 {
		return nil, a, badToken("token is expired (exp)")
	}
	if nbf, has, ok := c.number("nbf"); !ok || has && float64(now.Unix()) < nbf-60 {
		return nil, a, badToken("token not valid yet (nbf)")
	}
	return c, a, nil
}

// tokenReview is the question whether a token is one, and its answer
// (authentication.k8s.io/v1).
type tokenReview struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Spec       reviewSpec   `json:"spec"`
	Status     reviewStatus `json:"status,omitzero"`
}

type reviewSpec struct {
	Token     string   `json:"token"`
	Audiences []string `json:"audiences,omitempty"`
}

type reviewStatus struct {
	Authenticated bool     `json:"authenticated"`
	Error         string   `json:"error"`
	Audiences     []string `json:"audiences"`
	User          struct {
		Username string   `json:"username"`
		UID      string   `json:"uid"`
		Groups   []string `json:"groups"`
	} `json:"user"`
}

// review asks the cluster whether a token is one of a service account now, and
// tells why it is not.
func (s *Service) review(ctx context.Context, conf *kubeMethod, of *kubeRole, a account, jwt string) (why string, err error) {
	q := tokenReview{APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview", Spec: reviewSpec{Token: jwt}}
	if of.Audience != "" {
		q.Spec.Audiences = []string{of.Audience}
	}
	ca, reviewer := s.asking(conf)
	self := reviewer == ""
	if self {
		reviewer = jwt // it may be allowed to ask about itself
	}
	st, code, err := s.ask(ctx, conf.Host, ca, reviewer, &q)
	switch {
	case err == nil && code == http.StatusUnauthorized && self:
		return "the cluster does not take it", nil
	case err == nil && code != http.StatusOK && code != http.StatusCreated:
		err = unreachable(errors.New("the cluster does not answer the review"))
	}
	switch {
	case err != nil:
		return "", err
	case !st.Authenticated || st.Error != "":
		return "lookup failed: service account unauthorized; this could mean it has been deleted or recreated with a new token", nil
	case st.User.Username != saPrefix+a.Namespace+":"+a.Name || st.User.UID != a.UID:
		return "the cluster knows it as another service account", nil
	case of.Audience != "" && len(st.Audiences) > 0 && !slices.Contains(st.Audiences, of.Audience):
		return "the cluster knows it for another audience", nil
	}
	return "", nil
}

// ask sends a review and reads the answer, when it is one.
func (s *Service) ask(ctx context.Context, host, ca, as string, q *tokenReview) (st reviewStatus, code int, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return st, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, host+"/apis/authentication.k8s.io/v1/tokenreviews", bytes.NewReader(body))
	if err != nil {
		return st, 0, unreachable(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+as)
	res, err := s.client(ca).Do(req)
	if err != nil {
		return st, 0, unreachable(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusCreated {
		return st, res.StatusCode, nil
	}
	var out tokenReview
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil { // the guard's client cuts it
		return st, 0, unreachable(err)
	}
	return out.Status, res.StatusCode, nil
}

// asking is the certificate authority of the cluster, and the token to ask with:
// as they are configured, or those of the pod that the server runs in. They are
// read each time, since Kubernetes renews them. Who configures a method is not who
// runs the server: the pod's token goes to whom the pod's authority vouches for,
// and to nobody else.
func (s *Service) asking(conf *kubeMethod) (ca, reviewer string) {
	ca, reviewer = conf.CA, conf.Reviewer
	if conf.NoPod {
		return ca, reviewer
	}
	own := s.ofPod("ca.crt")
	if ca == "" {
		ca = own
	}
	same := own != "" && strings.TrimSpace(ca) == strings.TrimSpace(own)
	if reviewer == "" && same && strings.HasPrefix(conf.Host, "https://") {
		reviewer = strings.TrimSpace(s.ofPod("token"))
	}
	return ca, reviewer
}

func (s *Service) ofPod(file string) string {
	f, err := os.Open(filepath.Join(s.pod, file))
	if err != nil {
		return "" // the server runs in no pod
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPEM))
	if err != nil {
		return ""
	}
	return string(b)
}
