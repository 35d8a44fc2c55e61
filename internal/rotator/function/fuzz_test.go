package function

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"countersign/internal/rotator"
)

// FuzzAnswer: whatever a function answers, what is shown of it is short and plain, a
// value is one that can be kept, and what Lambda declares a failure is one.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"", "null", `"text"`, "{}", `{"SecretString":"v"}`, `{"SecretBinary":"AAE="}`, `{"SecretString":"\ud800"}`,
		`{"errorMessage":"m","errorType":"ValueError","stackTrace":[]}`, `{"errorMessage":null}`, "Task timed out after 3.00 seconds", `{"errorMessage":"a`} {
		f.Add([]byte(s))
	}
	declared := http.Header{"X-Amz-Function-Error": {"Unhandled"}}
	f.Fuzz(func(t *testing.T, b []byte) {
		was := bytes.Clone(b)
		if failure(http.StatusOK, declared, b) == nil {
			t.Error("a failure that is declared is none")
		}
		if why := failure(http.StatusOK, http.Header{}, b); why != nil && (len(why.code) > 64 || strings.ContainsAny(why.code, "\r\n <>\"'")) {
			t.Errorf("%q is shown", why.code)
		}
		v, err := valueOf(b)
		if err != nil && !v.Empty() || v.Data.Len() > rotator.MaxValue {
			t.Errorf("%d bytes, %v", v.Data.Len(), err)
		}
		if !bytes.Equal(b, was) {
			t.Error("what was answered is altered")
		}
	})
}
