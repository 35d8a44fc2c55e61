package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		kind Kind
		doc  string
		want []string
	}{
		"clean":            {Identity, statementDoc(anything), nil},
		"unknown-action":   {Identity, statementDoc(`"Action":"secretsmanager:GetSecret","Resource":"*"`), []string{"UnknownAction"}},
		"foreign-action":   {Identity, statementDoc(`"Action":["s3:*","iam:*"],"Resource":"*"`), []string{"ForeignAction"}},
		"not-on-secret":    {Resource, statementDoc(`"Action":["iam:*","secretsmanager:GetSecretValue"],"Resource":"*","Principal":{"AWS":"111122223333"}`), []string{"ActionNotOnSecret"}},
		"unknown-key":      {Identity, statementDoc(anything + `,"Condition":{"StringEquals":{"aws:usrname":"x","aws:requesttag/x":"y","secretsmanager:versionstage":"z"}}`), []string{"UnknownConditionKey"}},
		"unknown-variable": {Identity, statementDoc(`"Action":"*","Resource":"arn:aws:iam::1:user/${aws:usrname}"`), []string{"UnknownVariable"}},
		"old-variable":     {Identity, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::1:user/${aws:username}"}}`, []string{"VariableInOldVersion"}},
		"not-elements":     {Identity, statementDoc(`"NotAction":"iam:*","NotResource":"arn:aws:iam::1:user/x"`), []string{"AllowWithNotAction", "AllowWithNotResource"}},
		"service":          {Resource, statementDoc(anything + `,"Principal":{"Service":"x.amazonaws.com"}`), []string{"UnsupportedPrincipal"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range mustParse(t, tt.kind, tt.doc).Validate() {
				got = append(got, f.CheckName)
				if f.Severity != SeverityWarning || !strings.HasPrefix(f.Message, `statement "#1": `) {
					t.Errorf("finding %+v", f)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPublicAccess(t *testing.T) {
	everyone := func(condition string) string {
		return statementDoc(anything + `,"Principal":{"AWS":["111122223333","*"]},"Condition":` + condition)
	}
	tests := map[string]struct {
		doc    string
		public bool
	}{
		"star":              {statementDoc(anything + `,"Principal":"*"`), true},
		"aws-star":          {everyone(`{}`), true},
		"named":             {statementDoc(anything + `,"Principal":{"AWS":"444455556666"}`), false},
		"deny":              {`{"Statement":{"Effect":"Deny","Principal":"*",` + anything + `}}`, false},
		"account":           {everyone(`{"StringEquals":{"aws:PrincipalAccount":"111122223333"}}`), false},
		"account-if-exists": {everyone(`{"StringEqualsIfExists":{"aws:PrincipalAccount":"111122223333"}}`), true},
		"account-negated":   {everyone(`{"StringNotEquals":{"aws:PrincipalAccount":"111122223333"}}`), true},
		"account-all":       {everyone(`{"ForAllValues:StringEquals":{"aws:PrincipalAccount":"111122223333"}}`), true},
		"account-like":      {everyone(`{"StringLike":{"aws:PrincipalAccount":"1*"}}`), true},
		"account-variable":  {everyone(`{"StringEquals":{"aws:PrincipalAccount":"${aws:PrincipalAccount}"}}`), true},
		"account-null":      {everyone(`{"Null":{"aws:PrincipalAccount":"false"}}`), true},
		"arn":               {everyone(`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:user/*"}}`), false},
		"arn-any-account":   {everyone(`{"ArnLike":{"aws:PrincipalArn":["arn:aws:iam::111122223333:user/*","arn:aws:iam::*:user/a"]}}`), true},
		"organization":      {everyone(`{"StringEquals":{"aws:principalorgid":"o-abc"}}`), false},
		"addresses":         {everyone(`{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]}}`), false},
		"world":             {everyone(`{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","0.0.0.0/1"]}}`), true},
		"world-v6":          {everyone(`{"IpAddress":{"aws:SourceIp":"2000::/3"}}`), true},
		"transport":         {everyone(`{"Bool":{"aws:SecureTransport":"true"}}`), true},
		"username":          {everyone(`{"StringEquals":{"aws:username":"anna"}}`), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := mustParse(t, Resource, tt.doc).PublicAccess()
			if (len(got) > 0) != tt.public {
				t.Errorf("findings %+v", got)
			}
		})
	}
}
