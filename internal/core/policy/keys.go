package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
)

// Request is one question: may this caller do this to that?
type Request struct {
	Caller   caller.Caller
	Op       Op
	Resource string            // ARN, or AnyResource
	Account  string            // the account that owns the resource; never empty
	Tags     map[string]string // tags of the resource; not to be changed
	Extra    []Pair            // condition keys that only the operation knows
	// Under is set where a listing asks about one of the names that it would show:
	// the name, or the beginning of names that ends in a slash.
	Under string
	// Brief says that nobody will read why a refusal is one: it comes without
	// reasons, which cost more than the answer.
	Brief bool
}

// Pair is one value of a condition key. A key with several values has several
// pairs. Keys that Request computes from its other fields are not overridden.
type Pair struct{ Key, Value string }

// Condition keys that an operation gives in Request.Extra when it has them.
const (
	KeySecretID           = "secretsmanager:SecretId" // computed when absent
	KeySecretName         = "secretsmanager:Name"     // computed when absent
	KeyDescription        = "secretsmanager:Description"
	KeyKmsKeyID           = "secretsmanager:KmsKeyId"
	KeyVersionID          = "secretsmanager:VersionId"
	KeyVersionStage       = "secretsmanager:VersionStage"
	KeyRecoveryWindow     = "secretsmanager:RecoveryWindowInDays"
	KeyForceDelete        = "secretsmanager:ForceDeleteWithoutRecovery"
	KeyBlockPublicPolicy  = "secretsmanager:BlockPublicPolicy"
	KeyRotationLambdaARN  = "secretsmanager:RotationLambdaARN"
	KeyResourceLambdaARN  = "secretsmanager:resource/AllowRotationLambdaArn"
	KeyModifyRotation     = "secretsmanager:ModifyRotationRules"
	KeyRotateImmediately  = "secretsmanager:RotateImmediately"
	KeyAddReplicaRegions  = "secretsmanager:AddReplicaRegions"
	KeyForceOverwrite     = "secretsmanager:ForceOverwriteReplicaSecret"
	KeyPrimaryRegion      = "secretsmanager:SecretPrimaryRegion"
	KeyType               = "secretsmanager:Type"
	KeyTagKeys            = "aws:TagKeys"
	KeyRequestTagPrefix   = "aws:RequestTag/" // and the tag's key
	KeyPolicyARN          = "iam:PolicyARN"   // attach and detach
	KeyPermissionBoundary = "iam:PermissionsBoundary"
)

func extraKeys() []string {
	return []string{KeySecretID, KeySecretName, KeyDescription, KeyKmsKeyID, KeyVersionID, KeyVersionStage,
		KeyRecoveryWindow, KeyForceDelete, KeyBlockPublicPolicy, KeyRotationLambdaARN, KeyResourceLambdaARN,
		KeyModifyRotation, KeyRotateImmediately, KeyAddReplicaRegions, KeyForceOverwrite, KeyPrimaryRegion,
		KeyType, KeyTagKeys, KeyPolicyARN, KeyPermissionBoundary}
}

// keyID says where a condition key's value comes from.
type keyID uint8

const (
	keyExtra keyID = iota // Request.Extra, or nowhere
	keySecretID
	keySecretName
	keyResourceTag
	keyPrincipalTag
	keySourceIP
	keyCurrentTime
	keyEpochTime
	keySecureTransport
	keyMFAPresent
	keyMFAAge
	keyUsername
	keyUserID
	keyPrincipalARN
	keyPrincipalAccount
	keyPrincipalType
	keyPrincipalGroup
	keyPrincipalIsService
	keyRequestedRegion
	keyResourceAccount
	keyUserAgent
	keyViaService
	keyFront
	keyAccessKey
)

// computed lists the keys that follow from the fields of a Request, in lower
// case. Keys that end in a slash are followed by a tag's key.
var computed = [...]struct {
	name string
	id   keyID
}{
	{"secretsmanager:secretid", keySecretID},
	{"secretsmanager:name", keySecretName},
	{"secretsmanager:resourcetag/", keyResourceTag},
	{"aws:resourcetag/", keyResourceTag},
	{"iam:resourcetag/", keyResourceTag},
	{"aws:principaltag/", keyPrincipalTag},
	{"aws:sourceip", keySourceIP},
	{"aws:currenttime", keyCurrentTime},
	{"aws:epochtime", keyEpochTime},
	{"aws:securetransport", keySecureTransport},
	{"aws:multifactorauthpresent", keyMFAPresent},
	{"aws:multifactorauthage", keyMFAAge},
	{"aws:username", keyUsername},
	{"aws:userid", keyUserID},
	{"aws:principalarn", keyPrincipalARN},
	{"aws:principalaccount", keyPrincipalAccount},
	{"aws:principaltype", keyPrincipalType},
	{"aws:principalisawsservice", keyPrincipalIsService},
	{"aws:requestedregion", keyRequestedRegion},
	{"aws:resourceaccount", keyResourceAccount},
	{"aws:useragent", keyUserAgent},
	{"aws:viaawsservice", keyViaService},
	{"countersign:front", keyFront},
	{"countersign:principalgroup", keyPrincipalGroup},
	{"countersign:accesskeyid", keyAccessKey},
}

// keyRef is a condition key, resolved once when a policy is parsed.
type keyRef struct {
	id   keyID
	name string // as written, for keyExtra
	tag  string // the tag's key, for tag keys
}

// isKey reports whether s has the form of a condition key: a service, a colon
// and a name. What follows a slash may be any tag key.
func isKey(s string) bool {
	service, rest, ok := strings.Cut(s, ":")
	if !ok || service == "" || rest == "" || len(s) > 256 || strings.ContainsAny(s, "${}*?") {
		return false
	}
	for i := range len(service) {
		if !isWord(service[i]) {
			return false
		}
	}
	name, tag, tagged := strings.Cut(rest, "/")
	for i := range len(name) {
		if !isWord(name[i]) && name[i] != ':' {
			return false
		}
	}
	return name != "" && (!tagged || tag != "")
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func parseKey(name string) keyRef {
	for _, k := range computed {
		if strings.HasSuffix(k.name, "/") {
			if n := len(k.name); len(name) > n && strings.EqualFold(name[:n], k.name) {
				return keyRef{id: k.id, tag: name[n:]}
			}
		} else if strings.EqualFold(name, k.name) {
			return keyRef{id: k.id, name: name}
		}
	}
	return keyRef{id: keyExtra, name: name}
}

// knownKey reports whether a key can ever have a value here.
func knownKey(name string) bool {
	if parseKey(name).id != keyExtra {
		return true
	}
	n := len(KeyRequestTagPrefix)
	if len(name) > n && strings.EqualFold(name[:n], KeyRequestTagPrefix) {
		return true
	}
	return slices.ContainsFunc(extraKeys(), func(k string) bool { return strings.EqualFold(k, name) })
}

// Lookup returns the values of a condition key, and whether it has any. Keys are
// the same in upper and lower case, tag keys included.
func (r *Request) Lookup(key string) (values []string, ok bool) {
	values = r.values(parseKey(key), nil)
	return values, len(values) > 0
}

// values appends the values of a key to buf.
func (r *Request) values(k keyRef, buf []string) []string {
	switch k.id {
	case keyExtra:
		return r.extra(k.name, buf)
	case keySecretID, keySecretName:
		return r.secret(k, buf)
	case keyResourceTag:
		return tagValues(r.Tags, k.tag, buf)
	case keyPrincipalTag:
		return tagValues(r.Caller.Tags, k.tag, buf)
	case keyPrincipalGroup:
		return append(buf, r.Caller.Groups...)
	case keySourceIP, keyCurrentTime, keyEpochTime, keySecureTransport, keyMFAPresent, keyMFAAge:
		return present(buf, r.circumstance(k.id))
	case keyRequestedRegion:
		return present(buf, r.Caller.Region)
	case keyResourceAccount:
		return present(buf, r.Account)
	case keyUserAgent:
		return present(buf, r.Caller.Agent)
	case keyFront:
		return present(buf, r.Caller.Front)
	case keyAccessKey:
		return present(buf, r.Caller.KeyID)
	case keyViaService, keyPrincipalIsService:
		return append(buf, "false")
	}
	return present(buf, r.principal(k.id))
}

func present(buf []string, v string) []string {
	if v == "" {
		return buf
	}
	return append(buf, v)
}

// principal returns a key about who is asking; all are absent without a name.
func (r *Request) principal(id keyID) string {
	c := &r.Caller
	if c.Name == "" || c.Account == "" {
		return ""
	}
	switch id {
	case keyUsername, keyUserID:
		return c.Name
	case keyPrincipalARN:
		return c.ARN()
	case keyPrincipalAccount:
		return c.Account
	case keyPrincipalType:
		if c.Kind == caller.System {
			return "Service"
		}
		return "User"
	}
	return ""
}

// circumstance returns a key about how and when the request came. As in IAM, the
// two keys about a second factor are absent when none was shown.
func (r *Request) circumstance(id keyID) string {
	c := &r.Caller
	switch id {
	case keySourceIP:
		if c.Source.IsValid() {
			return c.Source.Unmap().WithZone("").String()
		}
	case keyCurrentTime:
		if !c.Time.IsZero() {
			return c.Time.UTC().Format(time.RFC3339)
		}
	case keyEpochTime:
		if !c.Time.IsZero() {
			return strconv.FormatInt(c.Time.Unix(), 10)
		}
	case keySecureTransport:
		return strconv.FormatBool(c.Secure)
	case keyMFAPresent:
		if !c.MFA.IsZero() {
			return "true"
		}
	case keyMFAAge:
		if !c.MFA.IsZero() && !c.Time.IsZero() {
			return strconv.FormatInt(max(0, int64(c.Time.Sub(c.MFA)/time.Second)), 10)
		}
	}
	return ""
}

func (r *Request) extra(name string, buf []string) []string {
	for i := range r.Extra {
		if strings.EqualFold(r.Extra[i].Key, name) {
			buf = append(buf, r.Extra[i].Value)
		}
	}
	return buf
}

// secret returns the two keys that follow from a secret's ARN unless the
// operation gives them.
func (r *Request) secret(k keyRef, buf []string) []string {
	if vals := r.extra(k.name, buf); len(vals) > len(buf) {
		return vals
	}
	if k.id == keySecretID {
		if _, ok := secretPart(r.Resource); ok {
			return append(buf, r.Resource)
		}
		return buf
	}
	if name, ok := secretName(r.Resource); ok {
		return append(buf, name)
	}
	return buf
}

// tagValues returns the value of a tag. Tag keys that differ only in case are
// one condition key with several values.
func tagValues(tags map[string]string, key string, buf []string) []string {
	n := len(buf)
	for k, v := range tags {
		if strings.EqualFold(k, key) {
			buf = append(buf, v)
		}
	}
	if len(buf) > n+1 {
		slices.Sort(buf[n:])
	}
	return buf
}
