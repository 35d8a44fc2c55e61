package name

import (
	"regexp"
	"strings"

	"countersign/internal/errs"
)

// SuffixLen is the number of random characters after the hyphen that ends a
// secret's ARN.
const SuffixLen = 6

// UnknownSuffix stands for the suffix of a secret that does not exist, when
// policy is asked about it.
const UnknownSuffix = "??????"

const (
	arnPrefix  = "arn:aws:secretsmanager:"
	arnMiddle  = ":secret:"
	maxARN     = 2048
	accountLen = 12
)

// ARN returns the secret's Amazon Resource Name with the given suffix.
func (s Secret) ARN(suffix string) string {
	return arnPrefix + s.Region + ":" + s.Account + arnMiddle + s.Name + "-" + suffix
}

// Function is what the ARN of a Lambda function names.
type Function struct {
	Region, Account string
	Name            string
	Qualifier       string // a version or an alias; may be empty
}

var functionARN = regexp.MustCompile(`^arn:aws(?:-[a-z]{1,16}){0,3}:lambda:([a-z0-9-]{1,32}):([0-9]{12}):function:([A-Za-z0-9_-]{1,64})(?::([A-Za-z0-9$_-]{1,128}))?$`)

// ParseFunction reads the ARN of a function.
func ParseFunction(s string) (Function, error) {
	m := functionARN.FindStringSubmatch(s)
	if m == nil || Region(m[1]) != nil {
		return Function{}, errs.InvalidField("function", "the ARN is not one of a function, such as arn:aws:lambda:us-east-1:111122223333:function:NAME")
	}
	return Function{Region: m[1], Account: m[2], Name: m[3], Qualifier: m[4]}, nil
}

// SecretID is how a request names a secret: by name, by full ARN, or by an ARN
// without the suffix.
type SecretID struct {
	Account, Region string // empty when the id is a plain name
	// Name is the name, or of an ARN everything after ":secret:".
	Name string
	// IsARN says that Name may end in a hyphen and a suffix.
	IsARN bool
}

// ParseSecretID reads a SecretId. It checks the shape of names and ARNs, not
// whether the thing exists.
func ParseSecretID(s string) (SecretID, error) {
	if len(s) > maxARN {
		return SecretID{}, &errs.Error{Kind: errs.Invalid, Code: CodeTooLong, Field: "SecretId", Msg: "a secret id has at most 2048 characters"}
	}
	if !strings.HasPrefix(s, "arn:") {
		if err := SecretName(s); err != nil {
			return SecretID{}, err
		}
		return SecretID{Name: s}, nil
	}
	rest, ok := strings.CutPrefix(s, arnPrefix)
	if !ok {
		return SecretID{}, badName("the ARN is not one of a secret")
	}
	region, rest, _ := strings.Cut(rest, ":")
	account, n, ok := strings.Cut(rest, arnMiddle)
	if !ok || Region(region) != nil || Account(account) != nil || len(account) != accountLen {
		return SecretID{}, badName("the ARN is not one of a secret")
	}
	plain := n
	if base, _, ok := CutSuffix(n); ok {
		plain = base
	}
	if err := SecretName(plain); err != nil {
		return SecretID{}, err
	}
	return SecretID{Account: account, Region: region, Name: n, IsARN: true}, nil
}

// CutSuffix splits NAME-XXXXXX, the end of a full ARN. ok is false when s does
// not end in a hyphen and six letters or digits.
func CutSuffix(s string) (base, suffix string, ok bool) {
	i := len(s) - SuffixLen - 1
	if i < 1 || s[i] != '-' || !only(s[i+1:], isAlnum) {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// String spells the id: the name, or the ARN that it was read from.
func (id SecretID) String() string {
	if !id.IsARN {
		return id.Name
	}
	return arnPrefix + id.Region + ":" + id.Account + arnMiddle + id.Name
}
