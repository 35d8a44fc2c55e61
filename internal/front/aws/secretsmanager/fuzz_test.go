package secretsmanager

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"countersign/internal/core/coretest"
)

// FuzzBody sends any body to any operation. The answer is always JSON of status
// 200, or of a 400-class status with AWS's members, and a value that is stored
// is never in an error.
func FuzzBody(f *testing.F) {
	fx := newFixture(f, coretest.Config{}, false)
	const planted = "canary-3f9d2c"
	fx.create(f, "s", planted)
	var names []string
	for _, r := range operations() {
		names = append(names, r(&front{}).Name)
	}
	slices.Sort(names)
	for i, op := range names {
		f.Add(uint8(i), []byte(requestOf(op, "s")))
		f.Add(uint8(i), []byte(`{"SecretId":"s","NextToken":"AAAA","MaxResults":1,"Filters":[{"Key":"name","Values":["a"]}]}`))
	}
	f.Fuzz(func(t *testing.T, which uint8, in []byte) {
		op := names[int(which)%len(names)]
		a := fx.admin.Do(op, in)
		b := body{}
		if len(a.Body) > 0 {
			if err := json.Unmarshal(a.Body, &b); err != nil {
				t.Fatalf("%s: the answer is not JSON: %v", op, err)
			}
		}
		switch {
		case a.Status == http.StatusOK:
		case a.Status < 400 || a.Status > 499:
			t.Fatalf("%s: status %d\n%s", op, a.Status, a.Body)
		case b.text("__type") == "" || b.text("Message")+b.text("message") == "":
			t.Fatalf("%s: an error without its members\n%s", op, a.Body)
		case strings.Contains(string(a.Body), planted) && !strings.Contains(string(in), planted):
			t.Fatalf("%s: a stored value in an error", op)
		}
	})
}

// FuzzID sends any id and page token to the reads. What is answered with 200
// names the secret that was asked for.
func FuzzID(f *testing.F) {
	fx := newFixture(f, coretest.Config{}, false)
	arn := fx.create(f, "s-abcdef", "v").text("ARN")
	for _, id := range []string{"s-abcdef", arn, arn[:len(arn)-7], arn + "x", "arn:aws:secretsmanager:::secret:", "a//b", "..", "\x00"} {
		f.Add(id, "")
		f.Add(id, "AAAA")
	}
	f.Fuzz(func(t *testing.T, id, token string) {
		in, err := json.Marshal(map[string]string{"SecretId": id})
		if err != nil {
			t.Fatal(err)
		}
		if a := fx.admin.Do("GetSecretValue", in); a.Status == http.StatusOK && id != "s-abcdef" && id != arn {
			t.Fatalf("%q answered with\n%s", id, a.Body)
		}
		in, err = json.Marshal(map[string]any{"NextToken": token})
		if err != nil {
			t.Fatal(err)
		}
		if a := fx.admin.Do("ListSecrets", in); a.Status != http.StatusBadRequest {
			t.Fatalf("token %q: status %d", token, a.Status)
		}
	})
}
