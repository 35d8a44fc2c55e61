package secretsmanager

import (
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/front/aws"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// Names of errors that this front gives as codes of its own refusals.
const (
	invalidParameter = "InvalidParameterException"
	invalidRequest   = "InvalidRequestException"
)

const invalidNameText = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"

func refuse(code, text string) error { return errs.Coded(errs.Invalid, code, "%s", text) }

// secretInput is a request that names a secret; most embed it.
type secretInput struct {
	SecretId aws.String
	id       name.SecretID
}

func (in *secretInput) Member(r *aws.Reader, member []byte) {
	if string(member) == "SecretId" {
		r.String(&in.SecretId)
		return
	}
	r.Skip()
}

func (in *secretInput) check(c *aws.Checks) {
	c.Required("secretId", in.SecretId.Set)
	in.checkShape(c)
}

// checkShape is check for an id that may be left out.
func (in *secretInput) checkShape(c *aws.Checks) {
	c.Length("secretId", in.SecretId, 1, 2048)
	if in.SecretId.Set && c.Sound() {
		var err error
		if in.id, err = name.ParseSecretID(in.SecretId.Value); err != nil {
			c.Fail(refuse(aws.CodeValidation, invalidNameText))
		}
	}
}

func (in *secretInput) said() aws.Said { return aws.Said{Resource: in.SecretId.Value} }

// checkVersionID holds a version id to the model.
func checkVersionID(c *aws.Checks, path string, id aws.String) { c.Length(path, id, 32, 64) }

func checkLabel(path string, c *aws.Checks, s aws.String) { c.Length(path, s, 1, name.MaxLabel) }

// valueInput is the part of a request that can hold a value.
type valueInput struct {
	ClientRequestToken aws.String
	SecretString       aws.Blob
	SecretBinary       aws.Blob
}

// member reads a member of this part, and reports whether it was one.
func (in *valueInput) member(r *aws.Reader, member []byte) bool {
	switch string(member) {
	case "ClientRequestToken":
		r.String(&in.ClientRequestToken)
	case "SecretString":
		r.Text(&in.SecretString)
	case "SecretBinary":
		r.Base64(&in.SecretBinary)
	default:
		return false
	}
	return true
}

// check holds the value and its token to the model and to AWS's rules. An
// empty value that was sent is refused like one that was needed and not sent.
func (in *valueInput) check(c *aws.Checks, needed bool) {
	checkToken(c, in.ClientRequestToken)
	c.Size("secretString", in.SecretString, MaxValue)
	c.Size("secretBinary", in.SecretBinary, MaxValue)
	text, binary := len(in.SecretString.Data) > 0, len(in.SecretBinary.Data) > 0
	sent := in.SecretString.Set || in.SecretBinary.Set
	switch {
	case text && binary:
		c.Fail(refuse(invalidParameter, "You can't specify both a binary secret value and a string secret value in the same secret."))
	case !text && !binary && (needed || sent):
		c.Fail(refuse(invalidRequest, "You must provide either SecretString or SecretBinary."))
	case !in.ClientRequestToken.Set:
		c.Fail(refuse(invalidRequest, noToken))
	}
}

const noToken = "You must provide a ClientRequestToken value. We recommend a UUID-type value."

// checkToken holds a ClientRequestToken to the model, and to what can be a
// version id.
func checkToken(c *aws.Checks, token aws.String) {
	c.Length("clientRequestToken", token, name.MinToken, name.MaxToken)
	if token.Set && c.Sound() && name.Token("ClientRequestToken", token.Value) != nil {
		c.Fail(refuse(invalidParameter, "The ClientRequestToken must consist of printable ASCII characters without spaces."))
	}
}

// value is the value that was sent, nil when none was.
func (in *valueInput) value() *secret.Input {
	switch {
	case len(in.SecretString.Data) > 0:
		return &secret.Input{Data: sensitive.New(in.SecretString.Data)}
	case len(in.SecretBinary.Data) > 0:
		return &secret.Input{Data: sensitive.New(in.SecretBinary.Data), Binary: true}
	}
	return nil
}

// tagInput is one tag.
type tagInput struct{ Key, Value aws.String }

func (in *tagInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "Key":
		r.String(&in.Key)
	case "Value":
		r.String(&in.Value)
	default:
		r.Skip()
	}
}

func checkTags(c *aws.Checks, tags aws.Items[tagInput]) {
	for i, t := range tags.Values {
		at := aws.Element("tags", i)
		c.Required(at+".key", t.Key.Set)
		c.Length(at+".key", t.Key, 1, name.MaxTagKey)
		c.Length(at+".value", t.Value, 0, name.MaxTagValue)
	}
}

func tagsOf(in aws.Items[tagInput]) []secret.Tag {
	var tags []secret.Tag
	for _, t := range in.Values {
		tags = append(tags, secret.Tag{Key: t.Key.Value, Value: t.Value.Value})
	}
	return tags
}

// replicaInput is a region to replicate to.
type replicaInput struct{ Region, KmsKeyId aws.String }

func (in *replicaInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "Region":
		r.String(&in.Region)
	case "KmsKeyId":
		r.String(&in.KmsKeyId)
	default:
		r.Skip()
	}
}

func checkReplicas(c *aws.Checks, list aws.Items[replicaInput]) {
	c.Count("addReplicaRegions", list.Set, len(list.Values), 1, 1<<20)
	for i, r := range list.Values {
		at := aws.Element("addReplicaRegions", i)
		c.Required(at+".region", r.Region.Set)
		checkRegion(at+".region", c, r.Region)
		c.Length(at+".kmsKeyId", r.KmsKeyId, 0, 2048)
	}
}

func checkRegion(path string, c *aws.Checks, s aws.String) {
	c.Length(path, s, 1, 128)
	c.Pattern(path, s, isRegion, `^([a-z]+-)+\d+$`)
}

// isRegion reports whether s matches the model's pattern of regions.
func isRegion(s string) bool {
	i := len(s)
	for i > 0 && s[i-1] >= '0' && s[i-1] <= '9' {
		i--
	}
	if i == len(s) || i < 2 || s[i-1] != '-' || s[0] == '-' {
		return false
	}
	for j := range i {
		if c := s[j]; c != '-' && (c < 'a' || c > 'z') || c == '-' && s[j+1] == '-' {
			return false
		}
	}
	return true
}

func replicasOf(in aws.Items[replicaInput]) []secret.Replica {
	var out []secret.Replica
	for _, r := range in.Values {
		out = append(out, secret.Replica{Region: r.Region.Value, KMSKey: r.KmsKeyId.Value})
	}
	return out
}

// filterInput is one filter of a listing.
type filterInput struct {
	Key    aws.String
	Values aws.Strings
}

func (in *filterInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "Key":
		r.String(&in.Key)
	case "Values":
		r.Strings(&in.Values)
	default:
		r.Skip()
	}
}

func checkFilters(c *aws.Checks, list aws.Items[filterInput]) {
	c.Count("filters", list.Set, len(list.Values), 0, 10)
	for i, f := range list.Values {
		at := aws.Element("filters", i)
		c.Enum(at+".key", f.Key, string(secret.ByDescription), string(secret.ByName), string(secret.ByTagKey), string(secret.ByTagValue),
			string(secret.ByPrimaryRegion), string(secret.ByOwningService), string(secret.ByAll))
		c.Count(at+".values", f.Values.Set, len(f.Values.Values), 1, 10)
		c.Each(at+".values", f.Values, func(path string, s aws.String) {
			c.Length(path, s, 0, 512)
			c.Pattern(path, s, isFilterValue, `^\!?[a-zA-Z0-9 :_@\/\+\=\.\-\!]*$`)
		})
		switch {
		case !f.Key.Set:
			c.Fail(refuse(invalidParameter, "Invalid filter key"))
		case !f.Values.Set:
			c.Fail(refuse(invalidParameter, "Invalid filter values for key: "+f.Key.Value))
		}
	}
}

func isFilterValue(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == ' ', c == ':', c == '_', c == '@', c == '/', c == '+', c == '=', c == '.', c == '-', c == '!':
		default:
			return false
		}
	}
	return true
}

func filtersOf(in aws.Items[filterInput]) []secret.Filter {
	var out []secret.Filter
	for _, f := range in.Values {
		out = append(out, secret.Filter{Key: secret.FilterKey(f.Key.Value), Values: textsOf(f.Values)})
	}
	return out
}

func textsOf(in aws.Strings) []string {
	var out []string
	for _, s := range in.Values {
		out = append(out, s.Value)
	}
	return out
}

// optional is a text for a request in which nil leaves a thing as it is.
func optional(s aws.String) *string {
	if !s.Set {
		return nil
	}
	return &s.Value
}
