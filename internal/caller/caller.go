// Package caller says who is asking: the principal, how it proved who it is,
// from where, through which front, in which request.
//
// A Caller is made by an authenticator and passed by value through every
// service method. It is never read from a context, so that no method can be
// called without one. Nothing in it is secret.
package caller

import (
	"net/netip"
	"time"
)

// Kind is the kind of a principal.
type Kind string

const (
	User    Kind = "user"
	Machine Kind = "machine"
	System  Kind = "system" // the server itself: jobs over the due index
)

// Proof is how a principal proved who it is.
type Proof string

const (
	ProofSigV4   Proof = "sigv4"        // a signed request header
	ProofPresign Proof = "sigv4-query"  // a presigned URL
	ProofToken   Proof = "bearer-token" // an access key sent as a bearer token
	ProofSystem  Proof = "system"

	ProofSession    Proof = "session"    // the access token of a signed-in session
	ProofPassword   Proof = "password"   // while signing in
	ProofInvitation Proof = "invitation" // while a first password is set
	ProofOIDC       Proof = "oidc"       // an identity provider's word, while signing in

	ProofVaultToken Proof = "vault-token" // a token of the Vault protocol
	ProofAppRole    Proof = "approle"     // while logging in, as are those below
	ProofJWT        Proof = "jwt"
	ProofKubernetes Proof = "kubernetes"
	ProofTLS        Proof = "tls-certificate"
)

// Caller is an authenticated principal with the circumstances of one request.
type Caller struct {
	Account string // twelve digits
	Kind    Kind
	Name    string            // unique in the account over users and machines
	Groups  []string          // sorted; as they stand at this request
	Person  string            // the human behind; empty when it is not known
	Tags    map[string]string // principal tags; not to be changed
	KeyID   string            // the access key used, empty when none was
	Proof   Proof
	MFA     time.Time // when a second factor was last shown; zero when never
	Session string    // id of the session used, empty when none was
	Token   *Token    // the Vault token used, nil when none was; not to be changed
	// Generation counts the changes of identities in the account; it is that of
	// the committed state in which the principal was looked up.
	Generation uint64

	Front     string // "aws/secretsmanager", "native", ...
	Region    string // the region label that the request names
	RequestID string
	Source    netip.Addr
	Agent     string    // User-Agent, cut to 256 bytes
	Secure    bool      // the request came over TLS
	Time      time.Time // when the request was received
	Call      *Call     // the request in the Vault protocol's words; nil at other fronts
}

// Token is what a token of the Vault protocol adds to the principal that it
// stands for.
type Token struct {
	Accessor string // names the token without being it
	// Granted are policies that the login granted beside the principal's own.
	Granted []string
	// Narrowed, when not nil, are policies that must allow an operation too.
	Narrowed []string
	// Key spells Granted and Narrowed as one text: tokens of a principal that have
	// the same are allowed the same.
	Key string
	// Meta is what the login said of the client, such as the role.
	Meta map[string]string
	// Queue says that a write which was turned into a proposal is answered as a
	// success with a warning.
	Queue bool
}

// Call is a request in the words of the Vault protocol, which policies of its
// dialect are about.
type Call struct {
	Path       string // as requested, without the API's version: "secret/data/app"
	Capability string // create, read, update, patch, delete or list; update where it is create or update
	// Params are the members of the body by name; each has its value as text, a
	// list as one for each item. Of a request without a body they are those of the
	// query. Nil when there are none, or the body was not an object.
	Params  map[string][]string
	WrapTTL time.Duration // asked for; 0: the answer is not to be wrapped
}

// ARN names the principal as AWS policies spell it. A system caller is a
// service of the account.
func (c Caller) ARN() string {
	if c.Kind == System {
		return "arn:aws:iam::" + c.Account + ":service/" + c.Name
	}
	return UserARN(c.Account, c.Name)
}

// UserARN is the ARN of a user or machine: both share one namespace.
func UserARN(account, name string) string { return "arn:aws:iam::" + account + ":user/" + name }

// ForSystem is the caller of a background job in an account.
func ForSystem(account, job, requestID string, now time.Time) Caller {
	return Caller{Account: account, Kind: System, Name: job, Proof: ProofSystem, Front: "system",
		RequestID: requestID, Secure: true, Time: now}
}
