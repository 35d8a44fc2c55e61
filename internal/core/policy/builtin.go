package policy

// builtins are the policies that every account has. Their names may not be taken
// and their documents do not change within an account. "root" and "default" are
// names that clients of the Vault protocol know.
var builtins = [...]struct{ name, about, document string }{
	{"AdministratorAccess", "everything", `{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}
  ]
}`},
	{"SecretsReadWrite", "every operation on secrets, nothing else", `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "Secrets",
      "Effect": "Allow",
      "Action": [
        "secretsmanager:*",
        "countersign:ReadSecretKeys",
        "countersign:PatchSecretValue",
        "countersign:*SecretVersion",
        "countersign:*SecretSchema"
      ],
      "Resource": "*"
    }
  ]
}`},
	{"SecretsReadOnly", "list, describe and read secrets and their values", `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "ReadSecrets",
      "Effect": "Allow",
      "Action": [
        "secretsmanager:GetSecretValue",
        "secretsmanager:BatchGetSecretValue",
        "secretsmanager:DescribeSecret",
        "secretsmanager:ListSecrets",
        "secretsmanager:ListSecretVersionIds",
        "secretsmanager:GetResourcePolicy",
        "secretsmanager:GetRandomPassword",
        "countersign:ReadSecretKeys",
        "countersign:GetSecretSchema"
      ],
      "Resource": "*"
    }
  ]
}`},
	{"SecurityAudit", "see what exists, who may do what and who did what; no values", `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "SeeWithoutValues",
      "Effect": "Allow",
      "Action": [
        "secretsmanager:DescribeSecret",
        "secretsmanager:ListSecrets",
        "secretsmanager:ListSecretVersionIds",
        "secretsmanager:GetResourcePolicy",
        "secretsmanager:ValidateResourcePolicy",
        "countersign:GetSecretSchema",
        "iam:Get*",
        "iam:List*",
        "iam:SimulatePrincipalPolicy",
        "countersign:ListAccounts",
        "countersign:QueryAudit",
        "countersign:VerifyAudit",
        "countersign:ExplainDecision",
        "countersign:Status",
        "countersign:ReadChange",
        "countersign:ListChanges",
        "countersign:ListRotations",
        "countersign:GetProtectionRules",
        "countersign:ReadBreakGlass",
        "countersign:GetProject",
        "countersign:ListProjects",
        "countersign:ListSessions",
        "countersign:GetSignInSettings",
        "countersign:GetIdentityProvider",
        "countersign:ListNotifyTargets",
        "countersign:ListDeadLetters",
        "countersign:ReadSecretKeys",
        "countersign:ListMounts",
        "countersign:GetMountConfig",
        "countersign:LookupToken",
        "countersign:LookupTokenAccessor",
        "countersign:ListTokenAccessors",
        "countersign:GetTokenRole",
        "countersign:ListTokenRoles",
        "countersign:GetLoginConfig",
        "countersign:GetLoginRole",
        "countersign:ListLoginRoles",
        "countersign:GetLoginRoleID",
        "countersign:ListLoginSecrets",
        "countersign:LookupLoginSecret",
        "countersign:GetPasswordPolicy",
        "countersign:ListPasswordPolicies",
        "kms:DescribeKey",
        "kms:ListKeys",
        "countersign:ListAuditDevices",
        "countersign:GetIdentityKey",
        "countersign:ListIdentityKeys",
        "countersign:GetIdentityRole",
        "countersign:ListIdentityRoles",
        "countersign:GetIdentityTokenConfig",
        "countersign:IntrospectIdentityToken"
      ],
      "Resource": "*"
    }
  ]
}`},
	{"Developer", "see secrets without their values, and propose, discuss and withdraw changes", `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "Propose",
      "Effect": "Allow",
      "Action": [
        "secretsmanager:DescribeSecret",
        "secretsmanager:ListSecrets",
        "secretsmanager:ListSecretVersionIds",
        "secretsmanager:GetRandomPassword",
        "countersign:GetSecretSchema",
        "countersign:ProposeChange",
        "countersign:WithdrawChange",
        "countersign:CommentChange",
        "countersign:ReadChange",
        "countersign:ListChanges",
        "countersign:GetProtectionRules",
        "countersign:GetProject",
        "countersign:ListProjects"
      ],
      "Resource": "*"
    }
  ]
}`},
	{"Approver", "see secrets without their values, and review changes to them", `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "Review",
      "Effect": "Allow",
      "Action": [
        "secretsmanager:DescribeSecret",
        "secretsmanager:ListSecrets",
        "secretsmanager:ListSecretVersionIds",
        "countersign:GetSecretSchema",
        "countersign:ReviewChange",
        "countersign:CommentChange",
        "countersign:ReadChange",
        "countersign:ListChanges",
        "countersign:GetProtectionRules",
        "countersign:GetProject",
        "countersign:ListProjects"
      ],
      "Resource": "*"
    }
  ]
}`},
	{"root", "everything, for tokens of the Vault protocol", `{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}
  ]
}`},
	{"default", "what a token of the Vault protocol may do with itself", `# Its own properties, for as long as it lives.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# What it may do.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}

# Who it stands for.
path "identity/entity/id/{{identity.entity.id}}" {
  capabilities = ["read"]
}
path "identity/entity/name/{{identity.entity.name}}" {
  capabilities = ["read"]
}

# Its own store.
path "cubbyhole/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# Wrapped answers that it makes or is given.
path "sys/wrapping/wrap" {
  capabilities = ["update"]
}
path "sys/wrapping/lookup" {
  capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}

# Leases whose id it knows.
path "sys/renew" {
  capabilities = ["update"]
}
path "sys/leases/renew" {
  capabilities = ["update"]
}
path "sys/leases/lookup" {
  capabilities = ["update"]
}

# Tools that need no secret.
path "sys/tools/hash" {
  capabilities = ["update"]
}
path "sys/tools/hash/*" {
  capabilities = ["update"]
}
path "sys/tools/random" {
  capabilities = ["update"]
}
path "sys/tools/random/*" {
  capabilities = ["update"]
}
`},
}

// Builtin is a policy that every account has.
type Builtin struct {
	Name     string
	About    string // one line, for people
	Dialect  Dialect
	Document string
}

// Builtins lists the built-in policies.
func Builtins() []Builtin {
	out := make([]Builtin, 0, len(builtins))
	for _, b := range builtins {
		out = append(out, Builtin{b.name, b.about, textDialect([]byte(b.document)), b.document})
	}
	return out
}
