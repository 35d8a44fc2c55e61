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
