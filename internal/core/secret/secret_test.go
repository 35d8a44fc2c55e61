package secret_test

import (
	"context"
	"testing"

	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/sensitive"
)

const token1 = "11111111-1111-1111-1111-111111111111"

func TestSmoke(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	ctx := context.Background()
	w, err := c.Secrets.Create(ctx, c.Admin, secret.CreateRequest{Name: "myapp/database", VersionID: token1,
		Value: &secret.Input{Data: sensitive.FromString(`{"a":1}`)}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Secrets.ReadValue(ctx, c.Admin, secret.ReadRequest{ID: coretest.ID(t, w.ARN)})
	if err != nil {
		t.Fatal(err)
	}
	if string(v.Data.Reveal()) != `{"a":1}` || v.VersionID != token1 || v.Number != 1 {
		t.Errorf("read %v", v)
	}
	for _, r := range c.Records(t) {
		t.Logf("%s %s %s %s v%d %s", r.ID, r.Operation, r.Resource, r.Outcome, r.Version, r.Principal.Name)
	}
}
