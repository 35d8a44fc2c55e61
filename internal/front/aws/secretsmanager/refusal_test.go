package secretsmanager

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"countersign/internal/core/audit"
	"countersign/internal/core/coretest"
	"countersign/internal/errs"
	"countersign/internal/front/aws/awstest"

	"github.com/google/go-cmp/cmp"
)

// valid is a request of each operation that a secret called s, with a value
// and a replica in no region, makes succeed or be refused for its state.
var valid = map[string]string{
	"BatchGetSecretValue":          `{"SecretIdList":["ID"]}`,
	"CancelRotateSecret":           `{"SecretId":"ID"}`,
	"CreateSecret":                 `{"Name":"ID","SecretString":"v","ClientRequestToken":"TOKEN"}`,
	"DeleteResourcePolicy":         `{"SecretId":"ID"}`,
	"DeleteSecret":                 `{"SecretId":"ID"}`,
	"DescribeSecret":               `{"SecretId":"ID"}`,
	"GetRandomPassword":            `{}`,
	"GetResourcePolicy":            `{"SecretId":"ID"}`,
	"GetSecretValue":               `{"SecretId":"ID"}`,
	"ListSecretVersionIds":         `{"SecretId":"ID"}`,
	"ListSecrets":                  `{}`,
	"PutResourcePolicy":            `{"SecretId":"ID","ResourcePolicy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"secretsmanager:PutSecretValue\",\"Resource\":\"*\"}]}"}`,
	"PutSecretValue":               `{"SecretId":"ID","SecretString":"v","ClientRequestToken":"TOKEN"}`,
	"RemoveRegionsFromReplication": `{"SecretId":"ID","RemoveReplicaRegions":["eu-west-1"]}`,
	"ReplicateSecretToRegions":     `{"SecretId":"ID","AddReplicaRegions":[{"Region":"eu-west-1"}]}`,
	"RestoreSecret":                `{"SecretId":"ID"}`,
	"RotateSecret":                 `{"SecretId":"ID","ClientRequestToken":"TOKEN","RotationLambdaARN":"arn:aws:lambda:us-east-1:111111111111:function:f","RotationRules":{"AutomaticallyAfterDays":30},"RotateImmediately":false}`,
	"StopReplicationToReplica":     `{"SecretId":"ID"}`,
	"TagResource":                  `{"SecretId":"ID","Tags":[{"Key":"k","Value":"v"}]}`,
	"UntagResource":                `{"SecretId":"ID","TagKeys":["k"]}`,
	"UpdateSecret":                 `{"SecretId":"ID","SecretString":"v","ClientRequestToken":"TOKEN"}`,
	"UpdateSecretVersionStage":     `{"SecretId":"ID","VersionStage":"mine","MoveToVersionId":"TOKEN"}`,
	"ValidateResourcePolicy":       `{"SecretId":"ID","ResourcePolicy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"secretsmanager:PutSecretValue\",\"Resource\":\"*\"}]}"}`,
}

// requestOf is the valid request of an operation on an id.
func requestOf(op, id string) string {
	return strings.NewReplacer("ID", id, "TOKEN", token("b")).Replace(valid[op])
}

// TestBadInput sends every operation what it must refuse, and holds that
// nothing in the store changed and that each refusal is in the audit log.
func TestBadInput(t *testing.T) {
	f := newFixture(t, coretest.Config{}, false)
	f.create(t, "s", "value")
	deep := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	var tags []string
	for i := range 10_000 {
		tags = append(tags, fmt.Sprintf(`{"Key":"k%d","Value":"v"}`, i))
	}
	manyTags := strings.Join(tags, ",")
	before := f.Dump(t)
	sent := len(f.Records(t))
	for _, r := range operations() {
		op := r(&front{}).Name
		whole := requestOf(op, "s")
		with := func(member string) string {
			return `{` + member + strings.Replace(strings.TrimPrefix(whole, "{"), "}", "}", 1)
		}
		bad := map[string]string{
			"not-json":     `{"SecretId"`,
			"list":         `[` + whole + `]`,
			"two":          whole + whole,
			"deep":         with(`"X":` + deep + `,`),
			"deep-list":    strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
			"invalid-utf8": with("\"X\":\"\xff\","),
			"control":      with("\"X\":\"\x01\","),
			"surrogate":    with(`"X":"\udc00",`),
		}
		if strings.Contains(whole, `"s"`) {
			bad["number"] = strings.Replace(whole, `"s"`, `7`, 1)
			bad["dots"] = strings.Replace(whole, `"s"`, `"a/../s"`, 1)
			bad["nul"] = strings.Replace(whole, `"s"`, `"s\u0000"`, 1)
			if op != "ValidateResourcePolicy" { // whose SecretId may be left out
				bad["null"] = strings.Replace(whole, `"s"`, `null`, 1)
			}
			bad["empty"] = strings.Replace(whole, `"s"`, `""`, 1)
			bad["space"] = strings.Replace(whole, `"s"`, `" s"`, 1)
			bad["long"] = strings.Replace(whole, `"s"`, `"`+strings.Repeat("s", 3000)+`"`, 1)
			bad["foreign-arn"] = strings.Replace(whole, `"s"`, `"arn:aws:s3:::bucket"`, 1)
		}
		if strings.Contains(whole, token("b")) {
			bad["short-token"] = strings.Replace(whole, token("b"), "short", 1)
			bad["spaced-token"] = strings.Replace(whole, token("b"), strings.Repeat(" ", 32), 1)
		}
		switch op {
		case "TagResource", "CreateSecret":
			bad["10000-tags"] = `{"SecretId":"s","Name":"t","ClientRequestToken":"` + token("b") + `","Tags":[` + manyTags + `]}`
		case "PutSecretValue", "UpdateSecret":
			bad["large"] = `{"SecretId":"s","ClientRequestToken":"` + token("b") + `","SecretString":"` + strings.Repeat("x", MaxValue+1) + `"}`
		}
		for what, in := range bad {
			t.Run(op+"/"+what, func(t *testing.T) {
				a := f.admin.Do(op, []byte(in))
				sent++
				b := object(t, a)
				if a.Status != http.StatusBadRequest || !strings.HasSuffix(b.text("__type"), "Exception") ||
					b.text("Message")+b.text("message") == "" {
					t.Errorf("status %d\n%s", a.Status, a.Body)
				}
				if strings.Contains(string(a.Body), "xxxx") {
					t.Errorf("a value was repeated")
				}
			})
		}
		t.Run(op+"/over-1-MiB", func(t *testing.T) {
			a := f.admin.Do(op, bytes.Repeat([]byte(" "), 1<<20+1))
			sent++
			if a.Status != http.StatusRequestEntityTooLarge || object(t, a).text("__type") != "RequestEntityTooLargeException" {
				t.Errorf("status %d\n%s", a.Status, a.Body)
			}
		})
	}
	if diff := cmp.Diff(before, f.Dump(t)); diff != "" {
		t.Errorf("the store changed:\n%s", diff)
	}
	records := f.Records(t)
	if len(records) != sent {
		t.Errorf("%d records, want %d", len(records), sent)
	}
	for _, r := range records[len(records)-100:] {
		if r.Outcome != audit.Refused || r.Operation == "" || r.Front != Front {
			t.Errorf("record %+v", r)
		}
	}
}

// TestLargestValue holds the limit from both sides, in bytes.
func TestLargestValue(t *testing.T) {
	f := newFixture(t, coretest.Config{}, false)
	for what, value := range map[string]string{"ascii": strings.Repeat("x", MaxValue), "wide": strings.Repeat("é", MaxValue/2)} {
		ok(t, f.admin, "CreateSecret", `{"Name":"`+what+`","ClientRequestToken":"`+token("a")+`","SecretString":"`+value+`"}`)
		if got := ok(t, f.admin, "GetSecretValue", `{"SecretId":"`+what+`"}`).text("SecretString"); got != value {
			t.Errorf("%s: the value came back with %d bytes", what, len(got))
		}
		text := refused(t, f.admin, "PutSecretValue", `{"SecretId":"`+what+`","ClientRequestToken":"`+token("b")+`","SecretString":"x`+value+`"}`, "ValidationException")
		if want := "1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have length less than or equal to 65536"; text != want {
			t.Errorf("%s: %s", what, text)
		}
	}
}

// TestAuthentication holds what is answered to who cannot prove who it is, and
// that each is recorded as nobody's.
func TestAuthentication(t *testing.T) {
	f := newFixture(t, coretest.Config{}, false)
	f.create(t, "s", "value")
	f.Records(t) // the record of a write may come after its answer, so wait for it
	base := f.admin
	for name, c := range map[string]struct {
		alter func(*awstest.Client)
		typ   string
		op    string
	}{
		"unsigned":      {func(c *awstest.Client) { c.Unsigned = true }, "MissingAuthenticationTokenException", ""},
		"bad-signature": {func(c *awstest.Client) { c.BreakIt = true }, "InvalidSignatureException", ""},
		"wrong-secret":  {func(c *awstest.Client) { c.Secret += "x" }, "InvalidSignatureException", ""},
		"unknown-key":   {func(c *awstest.Client) { c.ID = "AKIAAAAAAAAAAAAAAAAA" }, "UnrecognizedClientException", ""},
		"odd-key":       {func(c *awstest.Client) { c.ID = "x" }, "UnrecognizedClientException", ""},
		"late":          {func(c *awstest.Client) { c.Skew = -16 * 60e9 }, "InvalidSignatureException", ""},
		"early":         {func(c *awstest.Client) { c.Skew = 16 * 60e9 }, "InvalidSignatureException", ""},
		"region":        {func(c *awstest.Client) { c.Region = "mars-1" }, "InvalidSignatureException", ""},
		"service":       {func(c *awstest.Client) { c.Service = "ssm" }, "InvalidSignatureException", ""},
		"session-token": {func(c *awstest.Client) { c.Token = "t" }, "UnrecognizedClientException", ""},
		"method":        {func(c *awstest.Client) { c.OtherMethod = "GET" }, "UnknownOperationException", "-"},
		"target":        {func(c *awstest.Client) { c.Target = "AmazonSSM" }, "UnknownOperationException", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			client := *base
			c.alter(&client)
			refused(t, &client, "GetSecretValue", `{"SecretId":"s"}`, c.typ)
			records := f.Records(t)
			r := records[len(records)-1]
			want := "ReadValue"
			if c.op == "-" {
				want = ""
			}
			if r.Operation != want || r.Principal != (audit.Principal{}) || r.Outcome == audit.OK {
				t.Errorf("record %+v", r)
			}
		})
	}
}

// TestRevokedAndExpired holds that a key counts from one request to the next.
func TestRevokedAndExpired(t *testing.T) {
	f := newFixture(t, coretest.Config{}, false)
	_, key := f.User(t, "anna", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	c := f.client(key)
	ok(t, c, "ListSecrets", `{}`)
	if _, err := f.Authn.RevokeKey(t.Context(), f.Admin, "anna", key.ID); err != nil {
		t.Fatal(err)
	}
	refused(t, c, "ListSecrets", `{}`, "UnrecognizedClientException")
}

// TestHeaders holds the envelope of an answer.
func TestHeaders(t *testing.T) {
	f := newFixture(t, coretest.Config{}, false)
	a := f.admin.Do("ListSecrets", []byte(`{}`))
	var id []string
	for name, values := range a.Header {
		if name == "x-amzn-RequestId" { // as AWS spells it, not as net/http would
			id = values
		}
	}
	if a.Header.Get("Content-Type") != "application/x-amz-json-1.1" || len(id) != 1 || len(id[0]) != 36 {
		t.Errorf("headers %v", a.Header)
	}
	records := f.Records(t)
	if got := records[len(records)-1].RequestID; got != id[0] {
		t.Errorf("the record has request id %s, the answer %s", got, id[0])
	}
}

// TestLenient holds the switch that infers where a label is.
func TestLenient(t *testing.T) {
	for _, lenient := range []bool{false, true} {
		f := newFixture(t, coretest.Config{}, lenient)
		f.create(t, "s", "one")
		ok(t, f.admin, "PutSecretValue", `{"SecretId":"s","SecretString":"two","ClientRequestToken":"`+token("b")+`","VersionStages":["AWSPENDING"]}`)
		in := `{"SecretId":"s","VersionStage":"AWSCURRENT","MoveToVersionId":"` + token("b") + `"}`
		if !lenient {
			refused(t, f.admin, "UpdateSecretVersionStage", in, "InvalidParameterException")
			continue
		}
		ok(t, f.admin, "UpdateSecretVersionStage", in)
		if got := ok(t, f.admin, "GetSecretValue", `{"SecretId":"s"}`).text("SecretString"); got != "two" {
			t.Errorf("the current value is %q", got)
		}
	}
}

// TestIsolation calls every operation as another account's administrator with
// every spelling of an id, before and after the first account has the secret.
// The answers must not differ.
func TestIsolation(t *testing.T) {
	f := newFixture(t, coretest.Config{}, false)
	_, key := f.Stranger(t)
	stranger := f.client(key)
	arn := "arn:aws:secretsmanager:us-east-1:" + coretest.Home + ":secret:s"
	ids := []string{"s", arn, arn + "-abcdef", "arn:aws:secretsmanager:eu-west-1:" + coretest.Home + ":secret:s",
		"arn:aws:secretsmanager:us-east-1:333333333333:secret:s"}
	ask := func(ids []string) map[string]string {
		out := map[string]string{}
		for _, r := range operations() {
			op := r(&front{}).Name
			for i, id := range ids {
				if id == "s" && (op == "CreateSecret" || op == "GetRandomPassword" || strings.HasPrefix(op, "Replicate")) || op == "GetRandomPassword" {
					continue // acts on the stranger's own account
				}
				a := stranger.Do(op, []byte(requestOf(op, id)))
				out[fmt.Sprint(op, " ", i)] = fmt.Sprint(a.Status, " ", strings.ReplaceAll(string(normal(a.Body)), id, "ID"))
				if i > 0 && a.Status == http.StatusOK && op != "ListSecrets" && op != "BatchGetSecretValue" {
					t.Errorf("%s on %s: %s", op, id, a.Body)
				}
			}
		}
		return out
	}
	without := ask(ids)
	for at, answer := range without {
		if op, is := strings.CutSuffix(at, " 1"); is && answer != without[op+" 4"] {
			t.Errorf("%s tells which accounts there are:\n%s\n%s", op, answer, without[op+" 4"])
		}
	}
	created := f.create(t, "s", "value")
	ids[2] = created.text("ARN")
	if diff := cmp.Diff(without, ask(ids)); diff != "" {
		t.Errorf("the answers tell whether the secret exists (-without +with):\n%s", diff)
	}
	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"secretsmanager:*","Resource":"*","Condition":{"StringNotEquals":{"aws:PrincipalAccount":"` + coretest.Home + `"}}}]}`
	text, err := json.Marshal(deny)
	if err != nil {
		t.Fatal(err)
	}
	ok(t, f.admin, "PutResourcePolicy", `{"SecretId":"s","ResourcePolicy":`+string(text)+`}`)
	if diff := cmp.Diff(without, ask(ids)); diff != "" {
		t.Errorf("a resource policy that denies tells that the secret exists (-without +with):\n%s", diff)
	}
	for _, r := range f.Records(t) {
		if r.Account == coretest.Home && r.Principal.Account == coretest.Other && r.Outcome == audit.OK {
			t.Errorf("record %+v", r)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	core := coretest.New(t, coretest.Config{})
	for name, c := range map[string]Config{
		"nothing":    {},
		"no-keys":    {Secrets: core.Secrets, Gate: core.Gate, Regions: []string{coretest.Region}},
		"no-gate":    {Secrets: core.Secrets, Authn: core.Authn, Regions: []string{coretest.Region}},
		"no-regions": {Secrets: core.Secrets, Authn: core.Authn, Gate: core.Gate},
	} {
		if _, err := New(c); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
