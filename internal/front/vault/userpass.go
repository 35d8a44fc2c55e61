package vault

import (
	"context"
	"strings"

	"countersign/internal/core/login"
	"countersign/internal/core/policy"
	"countersign/internal/sensitive"
)

// userpassRows are the login method of people, by the password that they sign in
// with.
func userpassRows() []row {
	return []row{
		{methods: "POST", path: "login/{name}", op: policy.Login, open: true, takes: "password totp", do: loginUserpass},
		{methods: methodList, path: "users", op: policy.ListLoginRoles, do: listLoginUsers},
		{methods: "GET", path: "users/{name}", op: policy.GetLoginRole, do: readLoginUser},
		{methods: "POST", path: "users/{name}", op: policy.ResetPassword, do: writeLoginUser},
		{methods: "DELETE", path: "users/{name}", op: policy.ResetPassword, do: deleteLoginUser},
		{methods: "POST", path: "users/{name}/password", op: policy.ResetPassword, do: writePassword},
		{methods: "POST", path: "users/{name}/policies", op: policy.PutLoginRole, do: writeUserPolicies},
	}
}

func loginUserpass(ctx context.Context, c *call) (*answer, error) {
	req := login.UserpassLogin{User: c.vars[0], Password: sensitive.FromString(c.text("password")), Code: c.text("totp")}
	if req.Code == "" {
		req.Code = mfaCode(c.r.Header.Get("X-Vault-MFA"))
	}
	if c.err != nil {
		return nil, nil
	}
	return c.loggedIn(c.f.Logins.LoginUserpass(ctx, c.who, c.mount, req))
}

// mfaCode reads the code out of X-Vault-MFA: METHOD:CODE, or METHOD:passcode=CODE.
func mfaCode(header string) string {
	_, code, _ := strings.Cut(header, ":")
	return strings.TrimPrefix(strings.Trim(code, "()"), "passcode=")
}

func listLoginUsers(ctx context.Context, c *call) (*answer, error) {
	after, limit := c.page()
	if c.err != nil {
		return nil, nil
	}
	return keys(c.f.Logins.ListLoginUsers(ctx, c.who, c.mount, after, limit))
}

func readLoginUser(ctx context.Context, c *call) (*answer, error) {
	got, err := c.f.Logins.GetLoginUser(ctx, c.who, c.mount, c.vars[0])
	if err != nil {
		return nil, absent(err, login.CodeRole)
	}
	return ok(shownSettings(got)), nil
}

func writeLoginUser(ctx context.Context, c *call) (*answer, error) {
	if c.has("password_hash") {
		c.fail("password_hash", "a password is given itself: hashes of others are not taken")
	}
	c.unkept(refusedTerms)
	return c.putLoginUser(ctx, c.patch(login.RoleFields(c.mount.Type)))
}

func (c *call) putLoginUser(ctx context.Context, p login.Patch) (*answer, error) {
	req := login.LoginUser{Name: c.vars[0], Password: sensitive.FromString(c.text("password")), Terms: p}
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.Logins.PutLoginUser(ctx, c.who, c.mount, req))
}

func writePassword(ctx context.Context, c *call) (*answer, error) {
	if c.text("password") == "" {
		c.fail("password", "missing password")
	}
	return c.putLoginUser(ctx, nil)
}

func writeUserPolicies(ctx context.Context, c *call) (*answer, error) {
	n := "token_policies"
	if !c.has(n) {
		n = "policies"
	}
	p := login.Patch{"token_policies": append([]string{}, c.list(n)...)}
	if !c.has(n) {
		c.fail("token_policies", "missing token_policies")
	}
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.Logins.PutRole(ctx, c.who, c.mount, c.vars[0], p))
}

func deleteLoginUser(ctx context.Context, c *call) (*answer, error) {
	return c.done(c.f.Logins.DeleteLoginUser(ctx, c.who, c.mount, c.vars[0]))
}
