package vault

import (
	"context"

	"countersign/internal/core/password"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// passwordRows are the policies that passwords are made by.
func passwordRows() []row {
	return []row{
		{methods: "GET LIST", path: "policies/password", op: policy.ListPasswordPolicies, do: listPasswordPolicies},
		{methods: "GET", path: "policies/password/{name}", op: policy.GetPasswordPolicy, do: readPasswordPolicy},
		{methods: "POST", path: "policies/password/{name}", op: policy.PutPasswordPolicy, do: putPasswordPolicy},
		{methods: "DELETE", path: "policies/password/{name}", op: policy.DeletePasswordPolicy, do: deletePasswordPolicy},
		{methods: "GET", path: "policies/password/{name}/generate", op: policy.GeneratePassword, do: generatePassword},
	}
}

// absent is a plain 404 for what is not there under a code.
func absent(err error, code string) error {
	if e := errs.As(err); e != nil && e.Kind == errs.NotFound && e.Code == code {
		return errs.New(errs.NotFound, "")
	}
	return err
}

func listPasswordPolicies(ctx context.Context, c *call) (*answer, error) {
	names, err := c.f.Passwords.List(ctx, c.who)
	return keys(names, err)
}

// keys is the answer to a listing; an empty one is 404.
func keys(names []string, err error) (*answer, error) {
	if err == nil && len(names) == 0 {
		err = errs.New(errs.NotFound, "")
	}
	if err != nil {
		return nil, err
	}
	return ok(map[string][]string{"keys": names}), nil
}

func readPasswordPolicy(ctx context.Context, c *call) (*answer, error) {
	text, err := c.f.Passwords.Get(ctx, c.who, c.vars[0])
	if err != nil {
		return nil, absent(err, password.CodePolicy)
	}
	return ok(map[string]string{"policy": text}), nil
}

func putPasswordPolicy(ctx context.Context, c *call) (*answer, error) {
	text := c.text("policy")
	if text == "" {
		c.fail("policy", "missing policy")
	}
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.Passwords.Put(ctx, c.who, c.vars[0], plainPolicy(text)))
}

func deletePasswordPolicy(ctx context.Context, c *call) (*answer, error) {
	return c.done(c.f.Passwords.Delete(ctx, c.who, c.vars[0]))
}

func generatePassword(ctx context.Context, c *call) (*answer, error) {
	b, err := c.f.Passwords.Generate(ctx, c.who, c.vars[0])
	if err != nil {
		return nil, absent(err, password.CodePolicy)
	}
	return ok(map[string]string{"password": string(b.Reveal())}), nil
}
