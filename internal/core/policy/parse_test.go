package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/errs"
)

// mustParse parses a policy of a test.
func mustParse(t testing.TB, kind Kind, doc string) *Document {
	t.Helper()
	d, err := Parse([]byte(doc), kind)
	if err != nil {
		t.Fatalf("parsing %s: %v", doc, err)
	}
	return d
}

// statementDoc is a document of the new version with one statement, given as the
// members after Effect Allow.
func statementDoc(members string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow",` + members + `}}`
}

const anything = `"Action":"*","Resource":"*"`

func TestParseAccepts(t *testing.T) {
	tests := map[string]struct {
		kind Kind
		doc  string
	}{
		"single-statement":     {Identity, statementDoc(anything)},
		"no-version":           {Identity, `{"Statement":[{"Effect":"Allow",` + anything + `}]}`},
		"old-version":          {Identity, `{"Version":"2008-10-17","Id":"x","Statement":[{"Effect":"Deny",` + anything + `}]}`},
		"version-last":         {Identity, `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:${aws:username}/*"}],"Version":"2012-10-17"}`},
		"empty-sid":            {Identity, statementDoc(`"Sid":"",` + anything)},
		"foreign-action":       {Identity, statementDoc(`"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"`)},
		"any-service":          {Identity, statementDoc(`"Action":"*:*","Resource":"*"`)},
		"star-for-the-rest":    {Identity, statementDoc(`"Action":"*","Resource":"arn:aws:secretsmanager:*"`)},
		"not-elements":         {Identity, statementDoc(`"NotAction":["iam:*"],"NotResource":["arn:aws:secretsmanager:*:*:secret:a-??????"]`)},
		"unquoted-values":      {Identity, statementDoc(anything + `,"Condition":{"Bool":{"aws:SecureTransport":true},"NumericLessThan":{"aws:MultiFactorAuthAge":3600}}`)},
		"empty-condition":      {Identity, statementDoc(anything + `,"Condition":{}`)},
		"escaped-wildcard":     {Identity, statementDoc(`"Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:${*}${?}${$}{x}"`)},
		"variable-default":     {Identity, statementDoc(`"Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team, 'it''s}'}/*"`)},
		"principal-everyone":   {Resource, statementDoc(anything + `,"Principal":"*"`)},
		"principal-kinds":      {Resource, statementDoc(anything + `,"Principal":{"AWS":["111122223333","arn:aws:iam::111122223333:root","arn:aws:iam::111122223333:user/a","*"],"Service":"lambda.amazonaws.com"}`)},
		"not-principal":        {Resource, `{"Statement":{"Effect":"Deny",` + anything + `,"NotPrincipal":{"AWS":"arn:aws:iam::111122223333:role/r"}}}`},
		"value-with-variable":  {Identity, statementDoc(anything + `,"Condition":{"IpAddress":{"aws:SourceIp":"${aws:PrincipalTag/net}"}}`)},
		"dates":                {Identity, statementDoc(anything + `,"Condition":{"DateGreaterThan":{"aws:CurrentTime":["2020-01-01T00:00:00Z","2020-01-01","2020","1577836800"]}}`)},
		"old-braces-are-text":  {Identity, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::1:user/${"}}`},
		"biggest":              {Identity, pad(MaxBytes)},
		"most-statements":      {Identity, many(MaxStatements)},
		"tag-key-with-colon":   {Identity, statementDoc(anything + `,"Condition":{"StringEquals":{"aws:ResourceTag/a:b/c d":"x"}}`)},
		"any-arn-in-condition": {Identity, statementDoc(anything + `,"Condition":{"ArnLike":{"aws:PrincipalArn":"*"}}`)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := mustParse(t, tt.kind, tt.doc)
			if d.Kind() != tt.kind || d.Len() < 1 {
				t.Errorf("kind %q, %d statements", d.Kind(), d.Len())
			}
			out, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "est") || name == "most-statements" {
				return // writing it out makes it longer than the limit
			}
			again := mustParse(t, tt.kind, string(out))
			out2, err := json.Marshal(again)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(out), string(out2)); diff != "" {
				t.Errorf("writing it twice differs:\n%s", diff)
			}
		})
	}
}

// pad is a policy of n bytes.
func pad(n int) string {
	doc := statementDoc(anything + `,"Sid":""`)
	return doc + strings.Repeat(" ", n-len(doc))
}

// many is a policy of n statements.
func many(n int) string {
	one := `{"Effect":"Allow",` + anything + `}`
	return `{"Statement":[` + strings.Repeat(one+",", n-1) + one + `]}`
}

func TestParseRefuses(t *testing.T) {
	cond := func(c string) string { return statementDoc(anything + `,"Condition":` + c) }
	principal := func(p string) string { return statementDoc(anything + `,"Principal":` + p) }
	resource := func(r string) string { return statementDoc(`"Action":"*","Resource":` + r) }
	tests := map[string]struct {
		kind Kind
		doc  string
		want string
	}{
		"empty":               {Identity, ``, "the document is not JSON: at byte 0"},
		"not-json":            {Identity, `{"Version":}`, "the document is not JSON: at byte 12"},
		"two-documents":       {Identity, `{} {}`, "the document is not JSON: at byte 4"},
		"not-utf8":            {Identity, "{\"Id\":\"\xff\"}", "the document is not UTF-8 text"},
		"list":                {Identity, `[]`, "the document is a list, not an object"},
		"null":                {Identity, `null`, "the document is null, not an object"},
		"too-long":            {Identity, pad(MaxBytes + 1), "the document has 20481 bytes; the most is 20480"},
		"too-deep":            {Identity, `{"Statement":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "the document is nested deeper than 8 levels"},
		"too-many":            {Identity, many(MaxStatements + 1), "Statement has 257 items; the most is 256"},
		"repeated-member":     {Identity, `{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}`, `member "Version" stands twice in one object`},
		"repeated-escaped":    {Identity, statementDoc(`"Action":"*","\u0041ction":"*","Resource":"*"`), `member "Action" stands twice in one object`},
		"unknown-member":      {Identity, `{"version":"2012-10-17"}`, `"version" is not a member of a policy: use Version, Id and Statement`},
		"version":             {Identity, `{"Version":"2012-10-18","Statement":[]}`, `Version is "2012-10-18"; use "2012-10-17"`},
		"version-type":        {Identity, `{"Version":2012,"Statement":[]}`, `Version is a number, not a string`},
		"id-type":             {Identity, `{"Id":null,"Statement":[]}`, `Id is null, not a string`},
		"no-statement":        {Identity, `{"Version":"2012-10-17"}`, `Statement is missing`},
		"empty-statements":    {Identity, `{"Statement":[]}`, `Statement is empty`},
		"statement-type":      {Identity, `{"Statement":"x"}`, `Statement is a string, not an object or a list`},
		"statement-item":      {Identity, `{"Statement":[{"Effect":"Allow",` + anything + `},1]}`, `statement 2: it is a number, not an object`},
		"statement-member":    {Identity, statementDoc(`"action":"*","Resource":"*"`), `statement 1: "action" is not a member of a statement`},
		"sid":                 {Identity, statementDoc(`"Sid":"a b",` + anything), `statement 1: Sid "a b" may hold letters and digits only, at most 128`},
		"sid-twice":           {Identity, `{"Statement":[{"Sid":"a","Effect":"Allow",` + anything + `},{"Sid":"a","Effect":"Deny",` + anything + `}]}`, `statement 2: Sid "a" is that of statement 1 too`},
		"effect":              {Identity, `{"Statement":{"Effect":"allow",` + anything + `}}`, `statement 1: Effect is "allow"; use "Allow" or "Deny"`},
		"no-effect":           {Identity, `{"Statement":{` + anything + `}}`, `statement 1: Effect is missing`},
		"no-action":           {Identity, statementDoc(`"Resource":"*"`), `statement 1: Action is missing`},
		"both-actions":        {Identity, statementDoc(anything + `,"NotAction":"*"`), `statement 1: it has both Action and NotAction`},
		"empty-action":        {Identity, statementDoc(`"Action":[],"Resource":"*"`), `statement 1: Action is empty`},
		"action-type":         {Identity, statementDoc(`"Action":[1],"Resource":"*"`), `statement 1: Action holds a number, not strings only`},
		"action-object":       {Identity, statementDoc(`"Action":{},"Resource":"*"`), `statement 1: Action is an object, not a string or a list`},
		"action-form":         {Identity, statementDoc(`"Action":"GetSecretValue","Resource":"*"`), `statement 1: Action "GetSecretValue" is not SERVICE:ACTION or "*"`},
		"action-service":      {Identity, statementDoc(`"Action":"secrets*:Get","Resource":"*"`), `statement 1: Action "secrets*:Get" is not SERVICE:ACTION or "*"`},
		"action-variable":     {Identity, statementDoc(`"Action":"iam:${aws:username}","Resource":"*"`), `statement 1: Action "iam:${aws:username}" is not SERVICE:ACTION or "*"`},
		"no-resource":         {Identity, statementDoc(`"Action":"*"`), `statement 1: Resource is missing`},
		"no-resource-either":  {Resource, statementDoc(`"Action":"*","Principal":"*"`), `statement 1: Resource is missing`},
		"both-resources":      {Identity, statementDoc(anything + `,"NotResource":"*"`), `statement 1: it has both Resource and NotResource`},
		"resource-form":       {Identity, resource(`"myapp/*"`), `statement 1: Resource "myapp/*" is neither an ARN nor "*"`},
		"resource-service":    {Identity, resource(`"arn:aws:*:*:*:secret:x"`), `statement 1: Resource "arn:aws:*:*:*:secret:x" does not name a service: arn:aws:SERVICE:REGION:ACCOUNT:...`},
		"resource-short":      {Identity, resource(`"arn:aws:secretsmanager:eu-west-1:1"`), `statement 1: Resource "arn:aws:secretsmanager:eu-west-1:1" is not a whole ARN: six parts between colons`},
		"early-variable":      {Identity, resource(`"arn:aws:secretsmanager:*:${aws:PrincipalAccount}:secret:x"`), `statement 1: Resource variable ${aws:PrincipalAccount} stands before the fifth colon`},
		"open-variable":       {Identity, resource(`"arn:aws:iam::1:user/${aws:username"`), `statement 1: Resource variable "${aws:username" has no closing brace`},
		"odd-variable":        {Identity, resource(`"arn:aws:iam::1:user/${username}"`), `statement 1: Resource "${username}" is not a policy variable`},
		"odd-default":         {Identity, resource(`"arn:aws:iam::1:user/${aws:username, x}"`), `statement 1: Resource the default of variable "aws:username" is not in single quotes`},
		"principal-identity":  {Identity, principal(`"*"`), `statement 1: a Principal has no place in an identity policy`},
		"no-principal":        {Resource, statementDoc(anything), `statement 1: Principal is missing`},
		"both-principals":     {Resource, `{"Statement":{"Effect":"Deny",` + anything + `,"Principal":"*","NotPrincipal":"*"}}`, `statement 1: it has both Principal and NotPrincipal`},
		"not-principal-allow": {Resource, statementDoc(anything + `,"NotPrincipal":{"AWS":"111122223333"}`), `statement 1: NotPrincipal needs the Effect "Deny"`},
		"principal-text":      {Resource, principal(`"111122223333"`), `statement 1: Principal is neither "*" nor an object`},
		"principal-empty":     {Resource, principal(`{}`), `statement 1: Principal is empty`},
		"principal-kind":      {Resource, principal(`{"aws":"*"}`), `statement 1: Principal: "aws" is not a kind of principal`},
		"principal-short":     {Resource, principal(`{"AWS":"1234"}`), `statement 1: Principal AWS "1234" is not an account, the ARN of a principal, or "*"`},
		"principal-wildcard":  {Resource, principal(`{"AWS":"arn:aws:iam::111122223333:user/*"}`), `statement 1: Principal AWS "arn:aws:iam::111122223333:user/*" is not the ARN of one principal`},
		"principal-group":     {Resource, principal(`{"AWS":"arn:aws:iam::111122223333:group/g"}`), `statement 1: Principal AWS "arn:aws:iam::111122223333:group/g": a group cannot be a principal`},
		"condition-type":      {Identity, cond(`[]`), `statement 1: Condition is a list, not an object`},
		"operator":            {Identity, cond(`{"StringEqualz":{"aws:username":"x"}}`), `statement 1: Condition StringEqualz is not a known operator`},
		"operator-case":       {Identity, cond(`{"stringEquals":{"aws:username":"x"}}`), `statement 1: Condition stringEquals is not a known operator`},
		"null-if-exists":      {Identity, cond(`{"NullIfExists":{"aws:username":"true"}}`), `statement 1: Condition "NullIfExists": Null takes no prefix and no IfExists`},
		"operator-type":       {Identity, cond(`{"StringEquals":"x"}`), `statement 1: Condition StringEquals is a string, not an object`},
		"condition-key":       {Identity, cond(`{"StringEquals":{"username":"x"}}`), `statement 1: Condition StringEquals: "username" is not a condition key`},
		"no-values":           {Identity, cond(`{"StringEquals":{"aws:username":[]}}`), `statement 1: Condition StringEquals aws:username: the list of values is empty`},
		"value-type":          {Identity, cond(`{"StringEquals":{"aws:username":[null]}}`), `statement 1: Condition StringEquals aws:username: a value is null`},
		"value-number":        {Identity, cond(`{"NumericEquals":{"aws:x":"0x10"}}`), `statement 1: Condition NumericEquals aws:x: "0x10" is not a number`},
		"value-date":          {Identity, cond(`{"DateEquals":{"aws:CurrentTime":"yesterday"}}`), `statement 1: Condition DateEquals aws:CurrentTime: "yesterday" is not a date: use 2006-01-02T15:04:05Z, or seconds since 1970`},
		"value-bool":          {Identity, cond(`{"Bool":{"aws:SecureTransport":"yes"}}`), `statement 1: Condition Bool aws:SecureTransport: "yes" is not true or false`},
		"value-address":       {Identity, cond(`{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}`), `statement 1: Condition IpAddress aws:SourceIp: "10.0.0.0/33" is not an IP address or a CIDR block`},
		"value-arn":           {Identity, cond(`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::1"}}`), `statement 1: Condition ArnLike aws:PrincipalArn: "arn:aws:iam::1" is not an ARN: six parts between colons`},
		"value-binary":        {Identity, cond(`{"BinaryEquals":{"aws:x":"%"}}`), `statement 1: Condition BinaryEquals aws:x: "%" is not base64`},
		"long-text":           {Identity, `{"Version":"` + strings.Repeat("é", 500) + `","Statement":[]}`, `Version is "` + strings.Repeat("é", 30) + `..."; use "2012-10-17"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, err := Parse([]byte(tt.doc), tt.kind)
			if err == nil || d != nil {
				t.Fatalf("accepted %s", tt.doc)
			}
			e := errs.As(err)
			want := fmt.Sprint(errs.Invalid, " ", CodeMalformed, " ", tt.want)
			if got := fmt.Sprint(e.Kind, " ", e.Code, " ", e.Msg); got != want {
				t.Errorf("error\n %s\nwant\n %s", got, want)
			}
		})
	}
}
