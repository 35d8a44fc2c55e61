package config

import "testing"

func TestNames(t *testing.T) {
	c, err := Parse([]byte(least+"names:\n  convention: \"/{environment}/{service}/{secret-type}/{secret-name}\"\n  values: {environment: [prod, staging, dev]}\n"), "/")
	if err != nil {
		t.Fatal(err)
	}
	names, err := c.Names.Parse()
	if err != nil || names.Check("/prod/cognito/app-client/secret") != nil || names.Check("/qa/cognito/app-client/secret") == nil {
		t.Errorf("%v, %v", names, err)
	}
	if c, err = Parse([]byte(least), "/"); err != nil {
		t.Fatal(err)
	}
	if names, err = c.Names.Parse(); err != nil || names != nil {
		t.Errorf("without a convention: %v, %v", names, err)
	}
}
