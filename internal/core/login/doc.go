// Package login is the login methods of the Vault protocol: AppRole, userpass, JWT
// and OIDC, Kubernetes, TLS certificates.
//
// A method is mounted (package mount), and what it keeps is under the accessor of
// its mount: it moves with it, and a method that is mounted anew at the same path
// begins empty. A method has roles, which say who may log in and what the tokens
// get: policies beside those of the principal, a time, a number of uses, addresses.
//
// # Who it is
//
// What a method proves is a name that it knows somebody by: the id of a role, the
// subject of a token. An alias leads from that name to a principal. Nobody is let
// in as another principal than the one that is linked; where none is, the first
// login makes a machine, as a change by the server, and links it. A principal that
// is disabled does not log in.
//
// A method knows a principal by one name, and keeps with it what the last login
// proved besides: templates of policies and of identity tokens refer to both, so
// each change raises the generation of the account. Links are changes of the user,
// which rules over users hold. What a link leads to is told from a later principal
// of the name. With the link, or the mount, end the tokens that came of it. Whoever
// writes the roles of a method decides who is let in by the names that it knows, and
// who is in the groups that it knows.
//
// # What is told
//
// A login that fails is answered alike, after as much work, whether the role, the
// user or the secret exists. Each attempt leaves a record: one that succeeds names
// the principal, and the method and role as its resource; one that fails is
// nobody's, and names what was claimed only when that is a name. Failures count
// against the address they come from, and too many of them are refused unseen.
//
// # What waits for review
//
// Roles and configurations are changes like any other: rules name them
// "login-role:MOUNT/NAME" and "login-method:MOUNT". Logins and secret ids are not;
// they leave audit records only.
//
// # Methods
//
// userpass takes the passwords that users sign in with, and a code where a user has
// an authenticator; its attempts count with those of package signin. Its principal
// is the user, with or without a role, which only says on what terms. JWT takes
// tokens by static keys, a key set or a discovery document, signed with a key that
// only the issuer has. Keys are kept a quarter of an hour, an hour when they cannot
// be fetched, and looked for again when one is not known, at most every ten
// seconds. What an address in a configuration leads to is judged by package egress.
// The groups in a token, where its role names the claim, are the external groups
// that have an alias of that name on that mount, and no others; the membership lasts
// until the next login by the mount, and no longer than the alias of the group and
// that of the principal. A renewal proves nothing new. Kubernetes asks the cluster, or verifies by
// its keys, or both. A certificate is trusted for itself or for its authority, and
// is not on a list of revoked ones; all roles of a mount vouch for the same names,
// so that authorities which do not trust each other belong into different mounts.
//
// Secret ids are kept as keyed hashes. Their uses are counted in the transaction
// that stores the token, so that one more is never let in. Expired ones are refused
// at once and removed by a job over the due index.
package login
