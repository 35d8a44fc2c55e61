// Package policy decides who may do what: the table of everything that can be
// done, two policy languages (IAM JSON, and the paths and capabilities of the
// Vault protocol in HCL), and the evaluation of policies in either with a reason
// for every answer.
//
// The package is pure. It reads no clock, store or network: what a decision
// depends on stands in the [Request] and in the policies given, so the same
// question always has the same answer, and a logged question can be asked
// again. Storing policies, attaching them to principals and writing decisions
// to the audit log are the work of others.
//
// # Operations
//
// An [Op] is one thing that can be done. [Op.Info] gives its row: the name in
// the audit log, the action in the IAM dialect, the capability and path in the
// Vault dialect, and the form of the resource that it is about. A policy is
// written in a dialect's names and holds at every front, because each front
// asks about the same Op. [SpotsAt] goes the other way, from a path to operations.
//
// Resources are named by ARN:
//
//	secret    arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX
//	user      arn:aws:iam::ACCOUNT:user/NAME       (machines share the users' namespace)
//	group     arn:aws:iam::ACCOUNT:group/NAME
//	policy    arn:aws:iam::ACCOUNT:policy/NAME
//	account   arn:aws:countersign::ACCOUNT:account
//	audit     arn:aws:countersign::ACCOUNT:audit
//	store     arn:aws:countersign::ACCOUNT:store
//	change    arn:aws:countersign::ACCOUNT:change/ID
//	*         the operation is about no single thing (a listing, a random password)
//
// As at AWS, only the pattern "*" (or a NotResource) covers an operation whose
// resource is "*".
//
// # Meaning
//
// A matching Deny refuses, whatever else matches. Otherwise, within one account,
// a matching Allow of an identity policy or of the resource's own policy is
// enough; a resource policy that names only the account (its root) delegates to
// the account's identity policies and grants nothing itself. Between accounts
// both must allow. Nothing matched is a refusal. A principal of kind system is
// judged like any other: whoever runs background jobs does not ask here.
//
// # The HCL dialect
//
// Of all rules of a principal those of one path are merged: their capabilities
// add up, a denial voids the rest. The most specific rule that is about a path
// decides: the exact path, otherwise the one whose first wildcard stands furthest
// on, and so on as Vault documents it; see merged.compare. A rule with the
// capability deny that decides is an explicit denial, for IAM statements too; one
// that allows is as good as an Allow of an identity policy.
//
// A request of the Vault protocol (Caller.Call) is about its literal path and
// capability. Every other one is about the path that the table gives the
// operation, with the mount and the rest of the name as [Mounts] has them, and so
// is what a listing asks about each name (Request.Under). Regions have no place in
// a path: a rule is about the secret of that name in all of them. What the table's
// path is denied is denied to both. A rule that asks for parameters or wrapping
// allows only requests that have them.
//
// Templates are filled when rules are compiled for a principal ([Scope]). What
// fills them is text, in which no character is a wildcard. A rule with a template
// of no value is about nothing; but when it denies, it denies every path that it
// could be about with some value.
//
// # IAM statements
//
// The rules of the language are those of the IAM User Guide. Where the guide is
// silent the safe side is taken: a policy variable that has no value (or several)
// matches nothing, and it makes an Allow statement that uses it in a NotResource
// or under a negated condition operator not apply.
//
// In a Resource, "?" and "*" stay within one of the segments between colons, but
// a "*" that ends its segment reaches past colons, and what follows the fifth
// colon is one segment. In ARN condition operators each of the six segments is
// compared on its own.
//
// # What it trusts
//
// The text of a policy is a stranger's: [Parse] bounds its size and depth and
// refuses what it does not know, with a message that names the statement and the
// element. Matching takes at most time proportional to pattern times text, so no
// pattern is a weapon. A [Request] is trusted: a caller of the package must fill
// Caller, Op, Resource and Account from what was authenticated and looked up,
// never from what a client claims, except for the condition keys that are
// defined as the client's claim (the requested region, the user agent, the tags
// of the request).
package policy
