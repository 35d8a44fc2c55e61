// Package token keeps the tokens of the Vault protocol: service tokens, batch
// tokens, the roles that they are made with, cubbyholes and wrapped responses.
//
// A token stands for a principal and is allowed what that is, with the policies
// that its login granted, and, when it is narrowed, only what those policies allow
// too. It hangs on one thing: the token, access key or session that it was made
// with, or, an orphan, on the principal itself. It is valid while that is, and
// while it has time and uses left. One that came of a login, by way of others too,
// is valid only while that login would still find the same principal. A token with the policy "root" is one that is
// not narrowed, of a principal that may do everything; nobody else can make one.
//
// A service token has a record, found by a keyed hash of the token; the token
// itself is nowhere. What is removed with a tree is not looked for when it is
// revoked: authentication checks all that a token hangs on, so that the whole tree
// is invalid from the next request on, and a job over the due index removes the
// records afterwards. Nothing is read when the server starts, and nothing is kept
// in memory but what was used lately.
//
// A batch token has no record: it is one, sealed under the account's key. It
// cannot be renewed or revoked by itself, and ends with what it hangs on, when the
// account's batch tokens are ended, or when the account's keys were rotated and
// everything in the store was wrapped anew.
//
// A wrapping token gives one answer once, and is good for nothing else.
//
// Making, renewing and revoking tokens leaves records in the audit log, which name
// a token by its accessor, and no changes: nothing waits for review. Roles do, as
// they are about what may be done; rules name them "token-role:NAME".
//
// Authenticate does not audit; it is what audited operations rest on. Unknown,
// expired, revoked and used tokens, and those that come from a wrong address, get
// the same answer.
package token
