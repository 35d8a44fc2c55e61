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
