package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
)

const (
	home     = "111122223333"
	abroad   = "444455556666"
	database = "arn:aws:secretsmanager:eu-west-1:" + home + ":secret:prod/db-a1B2c3"
)

// anna reads a secret of her own account.
func annaReads() *Request {
	return &Request{
		Caller: caller.Caller{Account: home, Kind: caller.User, Name: "anna", Groups: []string{"dev", "ops"}, Tags: map[string]string{"Team": "blue"},
			KeyID: "AKIAEXAMPLE", Front: "aws/secretsmanager", Region: "eu-west-1", Source: netip.MustParseAddr("192.0.2.4"),
			Agent: "aws-cli/2", Secure: true, Time: time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)},
		Op: ReadValue, Resource: database, Account: home, Tags: map[string]string{"env": "prod"},
	}
}

func identitySet(t testing.TB, docs ...string) *Set {
	t.Helper()
	var named []Named
	for i, d := range docs {
		named = append(named, Named{Name: "p" + string(rune('1'+i)), Doc: mustParse(t, Identity, d)})
	}
	return Compile(named...)
}

func resourceSet(t testing.TB, doc string) *Set {
	t.Helper()
	if doc == "" {
		return nil
	}
	return Compile(Named{Name: "resource policy", Doc: mustParse(t, Resource, doc)})
}

func TestEvaluateAccounts(t *testing.T) {
	allow := statementDoc(`"Action":"secretsmanager:GetSecretValue","Resource":"*"`)
	deny := `{"Statement":{"Sid":"No","Effect":"Deny","Action":"secretsmanager:Get*","Resource":"*"}}`
	grant := func(effect, element, principal string) string {
		return `{"Statement":{"Sid":"R","Effect":"` + effect + `","` + element + `":` + principal + `,"Action":"secretsmanager:*","Resource":"*"}}`
	}
	anna := `{"AWS":"arn:aws:iam::` + home + `:user/anna"}`
	root := `{"AWS":"arn:aws:iam::` + home + `:root"}`
	both := `{"AWS":["arn:aws:iam::` + home + `:user/anna","` + home + `"]}`
	tests := map[string]struct {
		identity []string
		resource string
		owner    string
		want     string // effect, policy and statement
	}{
		"nothing":                      {nil, "", home, "no-match  "},
		"identity":                     {[]string{allow}, "", home, "allow p1 #1"},
		"identity-second":              {[]string{statementDoc(`"Action":"iam:*","Resource":"*"`), allow}, "", home, "allow p2 #1"},
		"identity-deny-wins":           {[]string{allow, deny}, "", home, "explicit-deny p2 No"},
		"resource-names-user":          {nil, grant("Allow", "Principal", anna), home, "allow resource policy R"},
		"resource-names-everyone":      {nil, grant("Allow", "Principal", `"*"`), home, "allow resource policy R"},
		"resource-names-any-aws":       {nil, grant("Allow", "Principal", `{"AWS":"*"}`), home, "allow resource policy R"},
		"resource-names-account":       {nil, grant("Allow", "Principal", root), home, "no-match  "},
		"account-id-delegates":         {[]string{allow}, grant("Allow", "Principal", `{"AWS":"`+home+`"}`), home, "allow p1 #1"},
		"resource-names-service":       {nil, grant("Allow", "Principal", `{"Service":"lambda.amazonaws.com"}`), home, "no-match  "},
		"resource-denies-user":         {[]string{allow}, grant("Deny", "Principal", anna), home, "explicit-deny resource policy R"},
		"resource-denies-account":      {[]string{allow}, grant("Deny", "Principal", root), home, "explicit-deny resource policy R"},
		"resource-denies-others":       {[]string{allow}, grant("Deny", "Principal", `{"AWS":"`+abroad+`"}`), home, "allow p1 #1"},
		"not-principal-spares-named":   {[]string{allow}, grant("Deny", "NotPrincipal", both), home, "allow p1 #1"},
		"not-principal-account-alone":  {[]string{allow}, grant("Deny", "NotPrincipal", root), home, "explicit-deny resource policy R"},
		"not-principal-others":         {[]string{allow}, grant("Deny", "NotPrincipal", `{"AWS":"arn:aws:iam::`+home+`:user/bob"}`), home, "explicit-deny resource policy R"},
		"abroad-identity-only":         {[]string{allow}, "", abroad, "no-match  "},
		"abroad-resource-only":         {nil, grant("Allow", "Principal", anna), abroad, "no-match  "},
		"abroad-both":                  {[]string{allow}, grant("Allow", "Principal", anna), abroad, "allow p1 #1"},
		"abroad-both-by-account":       {[]string{allow}, grant("Allow", "Principal", root), abroad, "allow p1 #1"},
		"abroad-own-root-means-others": {[]string{allow}, grant("Allow", "Principal", `{"AWS":"`+abroad+`"}`), abroad, "no-match  "},
		"abroad-deny":                  {[]string{allow, deny}, grant("Allow", "Principal", anna), abroad, "explicit-deny p2 No"},
		"no-owner":                     {[]string{allow}, "", "", "no-match  "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			req := annaReads()
			req.Account = tt.owner
			got := Evaluate(identitySet(t, tt.identity...), resourceSet(t, tt.resource), req)
			if s := got.Effect + " " + got.Policy + " " + got.Statement; s != tt.want {
				t.Errorf("got %q, want %q (%q)", s, tt.want, got.Missing)
			}
			if got.Allowed != (got.Effect == EffectAllow) || got.Allowed != (len(got.Missing) == 0) {
				t.Errorf("decision does not agree with itself: %+v", got)
			}
		})
	}
}

func TestEvaluateSystemCallerNeedsItsOwnARN(t *testing.T) {
	doc := `{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + home + `:%s/rotation"},"Action":"*","Resource":"*"}}`
	req := annaReads()
	req.Caller = caller.ForSystem(home, "rotation", "r", time.Unix(0, 0))
	if d := Evaluate(nil, resourceSet(t, strings.Replace(doc, "%s", "user", 1)), req); d.Allowed {
		t.Error("a user of the same name stands for the system caller")
	}
	if d := Evaluate(nil, resourceSet(t, strings.Replace(doc, "%s", "service", 1)), req); !d.Allowed {
		t.Errorf("refused: %q", d.Missing)
	}
}

func TestAnyResource(t *testing.T) {
	for res, want := range map[string]bool{
		`"Resource":"*"`: true,
		`"Resource":"arn:aws:secretsmanager:*:*:secret:*"`:    false,
		`"Resource":"arn:aws:secretsmanager:*"`:               false,
		`"NotResource":"arn:aws:secretsmanager:*:*:secret:*"`: true,
	} {
		req := annaReads()
		req.Op, req.Resource = ListSecrets, AnyResource
		if got := Evaluate(identitySet(t, statementDoc(`"Action":"*",`+res)), nil, req); got.Allowed != want {
			t.Errorf("%s: %+v", res, got)
		}
	}
}

// Each condition stands in an Allow statement, and alone decides.
func TestConditions(t *testing.T) {
	tests := map[string]bool{
		// A key that is absent: only negated operators, IfExists, ForAllValues and Null hold.
		`{"StringEquals":{"aws:none":"x"}}`:                 false,
		`{"StringNotEquals":{"aws:none":"x"}}`:              true,
		`{"StringEqualsIfExists":{"aws:none":"x"}}`:         true,
		`{"NumericNotEquals":{"aws:none":1}}`:               true,
		`{"NumericLessThan":{"aws:none":1}}`:                false,
		`{"DateNotEquals":{"aws:none":"2020-01-01"}}`:       true,
		`{"NotIpAddress":{"aws:none":"10.0.0.0/8"}}`:        true,
		`{"ArnNotLike":{"aws:none":"arn:*:*:*:*:*"}}`:       true,
		`{"Bool":{"aws:none":"false"}}`:                     false,
		`{"ForAllValues:StringEquals":{"aws:none":"x"}}`:    true,
		`{"ForAnyValue:StringEquals":{"aws:none":"x"}}`:     false,
		`{"ForAnyValue:StringNotEquals":{"aws:none":"x"}}`:  false,
		`{"Null":{"aws:none":"true"}}`:                      true,
		`{"Null":{"aws:none":false}}`:                       false,
		`{"Null":{"aws:username":"false"}}`:                 true,
		`{"Null":{"aws:username":["true","false"]}}`:        true,
		`{"Bool":{"aws:MultiFactorAuthPresent":"false"}}`:   false,
		`{"Null":{"aws:MultiFactorAuthAge":"true"}}`:        true,
		`{"BoolIfExists":{"aws:MultiFactorAuthPresent":0}}`: true, // refused by Parse; see below
		// Text.
		`{"StringEquals":{"aws:username":["bob","anna"]}}`:                 true,
		`{"StringEquals":{"aws:username":"Anna"}}`:                         false,
		`{"StringEquals":{"aws:username":"an*"}}`:                          false,
		`{"StringEqualsIgnoreCase":{"aws:username":"ANNA"}}`:               true,
		`{"StringNotEquals":{"aws:username":["bob","anna"]}}`:              false,
		`{"StringLike":{"aws:username":"a??a"}}`:                           true,
		`{"StringLike":{"aws:username":"A*"}}`:                             false,
		`{"StringLike":{"aws:username":"${*}nna"}}`:                        false,
		`{"StringNotLike":{"aws:username":"b*"}}`:                          true,
		`{"StringEquals":{"AWS:UserName":"anna","aws:PrincipalType":"x"}}`: false,
		// Variables.
		`{"StringEquals":{"aws:PrincipalTag/team":"${aws:PrincipalTag/TEAM}"}}`:     true,
		`{"StringEquals":{"aws:username":"${aws:PrincipalTag/none}"}}`:              false,
		`{"StringNotEquals":{"aws:username":"${aws:PrincipalTag/none}"}}`:           false,
		`{"StringNotEquals":{"aws:username":["bob","${aws:PrincipalTag/none}"]}}`:   false,
		`{"StringNotEquals":{"aws:username":"${aws:PrincipalTag/none, 'nobody'}"}}`: true,
		// Several values.
		`{"ForAllValues:StringEquals":{"aws:TagKeys":["env","team","x"]}}`:   true,
		`{"ForAllValues:StringEquals":{"aws:TagKeys":["env"]}}`:              false,
		`{"ForAnyValue:StringEquals":{"aws:TagKeys":["env"]}}`:               true,
		`{"ForAllValues:StringNotEquals":{"aws:TagKeys":["env"]}}`:           false,
		`{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["env"]}}`:            true,
		`{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["env","team"]}}`:     false,
		`{"StringEquals":{"aws:TagKeys":"env"}}`:                             true,
		`{"StringNotEquals":{"aws:TagKeys":"env"}}`:                          false,
		`{"ForAnyValue:StringEquals":{"countersign:PrincipalGroup":"ops"}}`:  true,
		`{"StringEquals":{"aws:ResourceTag/Env":"prod"}}`:                    true,
		`{"StringEquals":{"secretsmanager:ResourceTag/env":"prod"}}`:         true,
		`{"StringEquals":{"secretsmanager:VersionStage":"AWSCURRENT"}}`:      true,
		`{"StringEquals":{"secretsmanager:Name":"prod/db"}}`:                 true,
		`{"ArnEquals":{"secretsmanager:SecretId":"` + database + `"}}`:       true,
		`{"StringEquals":{"aws:RequestTag/team":"x"}}`:                       true,
		`{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}`:               true,
		`{"StringEquals":{"aws:ResourceAccount":"${aws:PrincipalAccount}"}}`: true,
		`{"StringLike":{"aws:UserAgent":"aws-cli/*"}}`:                       true,
		`{"StringEquals":{"countersign:Front":"aws/secretsmanager"}}`:        true,
		`{"Bool":{"aws:ViaAWSService":"false"}}`:                             true,
		`{"Bool":{"aws:SecureTransport":"True"}}`:                            true,
		`{"StringEquals":{"aws:userid":"anna"}}`:                             true,
		`{"StringEquals":{"countersign:AccessKeyId":"AKIAEXAMPLE"}}`:         true,
		// Addresses.
		`{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.0.2.0/24"]}}`: true,
		`{"IpAddress":{"aws:SourceIp":"::ffff:192.0.2.4"}}`:            true,
		`{"IpAddress":{"aws:SourceIp":"::ffff:192.0.2.0/120"}}`:        true,
		`{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}`:               false,
		`{"NotIpAddress":{"aws:SourceIp":"192.0.2.5"}}`:                true,
		`{"NotIpAddress":{"aws:SourceIp":"${aws:PrincipalTag/none}"}}`: false,
		`{"ForAllValues:IpAddress":{"aws:SourceIp":"192.0.2.4/32"}}`:   true,
		`{"StringEquals":{"aws:SourceIp":"192.0.2.4"}}`:                true,
		// Times.
		`{"DateGreaterThan":{"aws:CurrentTime":"2026-03-01T11:59:59Z"}}`:                                       true,
		`{"DateEquals":{"aws:CurrentTime":"2026-03-01T13:00:00+01:00"}}`:                                       true,
		`{"DateLessThan":{"aws:CurrentTime":"2026-03-01"}}`:                                                    false,
		`{"DateLessThanEquals":{"aws:EpochTime":"1772366400"}}`:                                                true,
		`{"NumericEquals":{"aws:EpochTime":1772366400}}`:                                                       true,
		`{"DateGreaterThanEquals":{"aws:CurrentTime":["2027","2026-03"]}}`:                                     true,
		`{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01"},"DateLessThan":{"aws:CurrentTime":"2026-02-01"}}`: false,
		// ARNs, segment by segment.
		`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/a*"}}`:      true,
		`{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::*:user/a*"}}`:    true,
		`{"ArnLike":{"aws:PrincipalArn":"arn:aws:*:*:*:*"}}`:             true,
		`{"ArnLike":{"aws:PrincipalArn":"arn:aws:*:*:user/anna:*"}}`:     false,
		`{"ArnLike":{"aws:PrincipalArn":"${aws:PrincipalArn}"}}`:         true,
		`{"ArnLike":{"aws:username":"arn:aws:*:*:*:*"}}`:                 false,
		`{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::*:user/b*"}}`: true,
		// Numbers and bytes.
		`{"NumericGreaterThanEquals":{"secretsmanager:RecoveryWindowInDays":"7"}}`: true,
		`{"NumericLessThanEquals":{"secretsmanager:RecoveryWindowInDays":6.9}}`:    false,
		`{"NumericEquals":{"aws:username":1}}`:                                     false,
		`{"NumericNotEquals":{"aws:username":1}}`:                                  true,
		`{"BinaryEquals":{"aws:bytes":"QUJD"}}`:                                    true,
		`{"BinaryEquals":{"aws:bytes":"QUJE"}}`:                                    false,
	}
	for cond, want := range tests {
		d, err := Parse([]byte(statementDoc(anything+`,"Condition":`+cond)), Identity)
		if strings.Contains(cond, `Present":0`) {
			if err == nil {
				t.Errorf("%s is accepted", cond)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", cond, err)
			continue
		}
		req := annaReads()
		req.Extra = []Pair{{KeyTagKeys, "env"}, {KeyTagKeys, "team"}, {KeyVersionStage, "AWSCURRENT"}, {"aws:RequestTag/Team", "x"},
			{KeyRecoveryWindow, "7"}, {"aws:bytes", "QUJD"}, {"aws:username", "intruder"}}
		if got := Evaluate(Compile(Named{"p", d}), nil, req); got.Allowed != want {
			t.Errorf("%s: allowed %v, want %v (%q)", cond, got.Allowed, want, got.Missing)
		}
	}
}

// In a Deny, a value that cannot be known denies where the operator is negated.
func TestUnknownVariableFailsSafe(t *testing.T) {
	allow := statementDoc(anything)
	for members, want := range map[string]bool{
		anything + `,"Condition":{"StringNotEquals":{"aws:username":"${aws:PrincipalTag/none}"}}`:   false,
		anything + `,"Condition":{"StringEquals":{"aws:username":"${aws:PrincipalTag/none}"}}`:      true,
		`"Action":"*","NotResource":"arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/none}/*"`: false,
		`"Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/none}*"`:     true,
	} {
		deny := strings.Replace(statementDoc(members), "Allow", "Deny", 1)
		if got := Evaluate(identitySet(t, allow, deny), nil, annaReads()); got.Allowed != want {
			t.Errorf("deny %s: %+v", members, got)
		}
	}
	spread := statementDoc(`"Action":"*","NotResource":"arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/none}/*"`)
	if got := Evaluate(identitySet(t, spread), nil, annaReads()); got.Allowed {
		t.Error("an unknown NotResource grants")
	}
}

func TestOldVersionHasNoVariables(t *testing.T) {
	doc := `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:username":"${aws:username}"}}}}`
	if got := Evaluate(identitySet(t, doc), nil, annaReads()); got.Allowed {
		t.Error("a variable was replaced")
	}
}

func TestLookup(t *testing.T) {
	req := annaReads()
	req.Caller.MFA = req.Caller.Time.Add(-90 * time.Second)
	req.Extra = []Pair{{KeyTagKeys, "a"}, {"AWS:tagkeys", "b"}}
	for key, want := range map[string][]string{
		"aws:tagkeys":                {"a", "b"},
		"aws:MultiFactorAuthPresent": {"true"},
		"aws:MultiFactorAuthAge":     {"90"},
		"AWS:CURRENTTIME":            {"2026-03-01T12:00:00Z"},
		"aws:PrincipalArn":           {"arn:aws:iam::111122223333:user/anna"},
		"aws:principaltag/TEAM":      {"blue"},
		"secretsmanager:secretid":    {database},
		"aws:TokenIssueTime":         nil,
		"nonsense":                   nil,
	} {
		got, ok := req.Lookup(key)
		if diff := cmp.Diff(want, got); diff != "" || ok != (want != nil) {
			t.Errorf("Lookup(%q) = %q, %v, want %q", key, got, ok, want)
		}
	}
}

// seesReviews is what everybody may who takes part in reviews.
func seesReviews(op Op) bool {
	switch op {
	case Describe, GetSchema, ListSecrets, ListVersions, ReadChange, ListChanges, GetRules, GetProject, ListProjects:
		return true
	}
	return false
}

// onSecrets is every operation of the Secrets Manager API and those on keys,
// versions and schema of a secret.
func onSecrets(op Op) bool {
	return strings.HasPrefix(op.Action(), "secretsmanager:") || op >= ReadKeys && op <= DestroyVersion || op >= GetSchema && op <= DeleteSchema
}

// disclosing are the operations that read what an auditor is not shown: values,
// and what is somebody's own.
var disclosing = map[Op]bool{VerifyValue: true, ReadValue: true, BatchReadValue: true, RandomPassword: true, Backup: true,
	LookupOwnToken: true, OwnCapabilities: true, ReadCubbyhole: true, ListCubbyhole: true, LookupWrapping: true,
	GeneratePassword: true, AuditHash: true, IssueIdentityToken: true}

func TestBuiltins(t *testing.T) {
	allowed := map[string]func(Op) bool{
		"AdministratorAccess": func(Op) bool { return true },
		"SecretsReadWrite":    onSecrets,
		"SecretsReadOnly": func(op Op) bool {
			return onSecrets(op) && (op.Info().Access == AccessRead || op.Info().Access == AccessList)
		},
		"SecurityAudit": func(op Op) bool {
			a := op.Info().Access
			return !disclosing[op] && (a == AccessRead || a == AccessList || op == ValidateResourcePolicy)
		},
		"Developer": func(op Op) bool {
			return seesReviews(op) || op == RandomPassword || op == ProposeChange || op == WithdrawChange || op == CommentChange
		},
		"Approver": func(op Op) bool { return seesReviews(op) || op == ReviewChange || op == CommentChange },
		"root":     func(Op) bool { return true },
		"default": func(op Op) bool {
			own := []Op{LookupOwnToken, RenewOwnToken, RevokeOwnToken, OwnCapabilities, ReadCubbyhole, ListCubbyhole,
				WriteCubbyhole, DeleteCubbyhole, WrapResponse, Unwrap, LookupWrapping}
			return slices.Contains(own, op)
		},
	}
	for _, b := range Builtins() {
		d := mustParse(t, Identity, b.Document)
		if f := d.Validate(); len(f) > 0 || b.About == "" {
			t.Errorf("%s: %v", b.Name, f)
		}
		set := Compile(Named{b.Name, d})
		for _, op := range Operations() {
			req := annaReads()
			req.Op, req.Resource = op, AnyResource
			if got, want := Evaluate(set, nil, req).Allowed, allowed[b.Name](op); got != want {
				t.Errorf("%s: %s allowed %v, want %v", b.Name, op, got, want)
			}
		}
		delete(allowed, b.Name)
	}
	if len(allowed) > 0 {
		t.Errorf("missing: %v", allowed)
	}
}

func TestExplain(t *testing.T) {
	office := `{"Version":"2012-10-17","Statement":[
		{"Sid":"ReadOnlyOffice","Effect":"Allow","Action":"secretsmanager:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}},
		{"Effect":"Allow","Action":"secretsmanager:Get*","Resource":"arn:aws:secretsmanager:*:*:secret:dev/*"}]}`
	tests := map[string]struct {
		identity, resource string
		edit               func(*Request)
		want               []string
	}{
		"nothing-attached": {"", "", nil, []string{"no policy of the principal has a statement that allows secretsmanager:GetSecretValue"}},
		"other-actions":    {statementDoc(`"Action":"iam:*","Resource":"*"`), "", nil, []string{"no policy of the principal has a statement that allows secretsmanager:GetSecretValue"}},
		"near-misses": {office, "", nil, []string{
			`statement "ReadOnlyOffice" of policy "p1" would allow it if aws:SourceIp matched IpAddress [10.0.0.0/8]; it is 192.0.2.4`,
			`statement "#2" of policy "p1" allows secretsmanager:GetSecretValue on [arn:aws:secretsmanager:*:*:secret:dev/*]`}},
		"absent-key": {statementDoc(anything + `,"Condition":{"StringEquals":{"aws:ResourceTag/x":["a","b","c","d e","f"]}}`), "", nil,
			[]string{`statement "#1" of policy "p1" would allow it if aws:ResourceTag/x matched StringEquals [a b c and 2 more]; it is absent`}},
		"several-values": {statementDoc(anything + `,"Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":"x y"}}`), "",
			func(r *Request) { r.Extra = []Pair{{KeyTagKeys, "a"}, {KeyTagKeys, "b\n"}} },
			[]string{`statement "#1" of policy "p1" would allow it if aws:TagKeys matched ForAllValues:StringEquals ["x y"]; it is [a "b\n"]`}},
		"denied": {statementDoc(anything), `{"Statement":{"Sid":"Night","Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2026"}}}}`, nil,
			[]string{`statement "Night" of policy "resource policy" denies secretsmanager:GetSecretValue`,
				`it would not if its condition did not hold: aws:CurrentTime matched DateGreaterThan [2026]; it is 2026-03-01T12:00:00Z`}},
		"delegated": {"", `{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + home + `"},"Action":"*","Resource":"*"}}`, nil,
			[]string{`statement "#1" of policy "resource policy" names the account and so leaves it to identity policies; none allows it`}},
		"others-named": {"", `{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + abroad + `"},"Action":"*","Resource":"*"}}`, nil,
			[]string{`statement "#1" of policy "resource policy" does not name this principal`}},
		"abroad": {statementDoc(anything), "", func(r *Request) { r.Account = abroad },
			[]string{`policy "p1" allows it, but the resource is of account 444455556666 and its policy does not allow this principal`}},
		"not-resource": {statementDoc(`"Action":"*","NotResource":"arn:aws:secretsmanager:*:*:secret:prod/*"`), "", nil,
			[]string{`statement "#1" of policy "p1" allows secretsmanager:GetSecretValue except on [arn:aws:secretsmanager:*:*:secret:prod/*]`}},
		"no-operation": {statementDoc(anything), "", func(r *Request) { r.Op = 0 }, []string{"the request names no operation or no account"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			req := annaReads()
			if tt.edit != nil {
				tt.edit(req)
			}
			var identity *Set
			if tt.identity != "" {
				identity = identitySet(t, tt.identity)
			}
			got := Evaluate(identity, resourceSet(t, tt.resource), req)
			if diff := cmp.Diff(tt.want, got.Missing); diff != "" {
				t.Errorf("reasons differ (-want +got):\n%s", diff)
			}
		})
	}
}

// A refusal stays small and quick, whatever the policy says.
func TestExplainIsBounded(t *testing.T) {
	long := strings.Repeat("é", 900)
	var list []string
	for range 8 {
		list = append(list, `{"Effect":"Allow",`+anything+`,"Condition":{"StringEquals":{"aws:ResourceTag/`+long[:200]+`":["`+long+`"]}}}`)
	}
	got := Evaluate(identitySet(t, `{"Statement":[`+strings.Join(list, ",")+`]}`), nil, annaReads())
	if len(got.Missing) != maxReasons {
		t.Errorf("%d reasons", len(got.Missing))
	}
	for _, m := range got.Missing {
		if len(m) > maxReasonBytes {
			t.Errorf("a reason of %d bytes", len(m))
		}
	}
}
