package policy

import "strings"

// AnyResource is the resource of an operation that is about no single thing.
const AnyResource = "*"

// GroupARN names a group.
func GroupARN(account, name string) string { return "arn:aws:iam::" + account + ":group/" + name }

// PolicyARN names a policy.
func PolicyARN(account, name string) string { return "arn:aws:iam::" + account + ":policy/" + name }

// AccountARN names an account as a thing to manage.
func AccountARN(account string) string { return "arn:aws:countersign::" + account + ":account" }

// AuditARN names an account's audit log.
func AuditARN(account string) string { return "arn:aws:countersign::" + account + ":audit" }

// StoreARN names the store, as seen from an account.
func StoreARN(account string) string { return "arn:aws:countersign::" + account + ":store" }

// ChangeARN names a change.
func ChangeARN(account, id string) string {
	return "arn:aws:countersign::" + account + ":change/" + id
}

// ProjectARN names a project.
func ProjectARN(account, name string) string {
	return "arn:aws:countersign::" + account + ":project/" + name
}

// NotifyTargetARN names a target of notices.
func NotifyTargetARN(account, name string) string {
	return "arn:aws:countersign::" + account + ":notify-target/" + name
}

// MountARN names a mount: "secret", "auth/approle".
func MountARN(account, path string) string {
	return "arn:aws:countersign::" + account + ":mount/" + path
}

// TokenARN names the tokens of an account.
func TokenARN(account string) string { return "arn:aws:countersign::" + account + ":token" }

// TokenRoleARN names a role that tokens are made with.
func TokenRoleARN(account, name string) string {
	return "arn:aws:countersign::" + account + ":token-role/" + name
}

// LoginMethodARN names a login method by its mount, without "auth/".
func LoginMethodARN(account, mount string) string {
	return "arn:aws:countersign::" + account + ":login-method/" + mount
}

// LoginRoleARN names a role of a login method.
func LoginRoleARN(account, mount, name string) string {
	return "arn:aws:countersign::" + account + ":login-role/" + mount + "/" + name
}

// PasswordPolicyARN names a password policy.
func PasswordPolicyARN(account, name string) string {
	return "arn:aws:countersign::" + account + ":password-policy/" + name
}

// TransitKeyARN names a key that encrypts or signs for applications.
func TransitKeyARN(region, account, name string) string {
	return "arn:aws:kms:" + region + ":" + account + ":key/" + name
}

// AuditDeviceARN names an audit device.
func AuditDeviceARN(account, name string) string {
	return "arn:aws:countersign::" + account + ":audit-device/" + name
}

// IdentityTokenARN names a key or a role of identity tokens.
func IdentityTokenARN(account, name string) string {
	return "arn:aws:countersign::" + account + ":identity-token/" + name
}

// secretPart returns what follows "secret:" in a secret's ARN.
func secretPart(arn string) (string, bool) {
	if !strings.HasPrefix(arn, "arn:aws:secretsmanager:") {
		return "", false
	}
	_, full, ok := strings.Cut(arn, ":secret:")
	return full, ok
}

// secretName returns the friendly name in a secret's ARN: without the dash and
// six characters at its end.
func secretName(arn string) (string, bool) {
	full, ok := secretPart(arn)
	if !ok {
		return "", false
	}
	if n := len(full) - 7; n > 0 && full[n] == '-' {
		return full[:n], true
	}
	return full, true
}

// isAccountID reports whether s is twelve digits.
func isAccountID(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
