package browser

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestCallback(t *testing.T) {
	for what, x := range map[string]struct {
		method, target string
		status         int
		code           string
		refused        bool
	}{
		"good":          {"GET", "/callback?state=s&code=c", 200, "c", false},
		"refused":       {"GET", "/callback?state=s&error=access_denied", 200, "", true},
		"another-state": {"GET", "/callback?state=t&code=c", 404, "", false},
		"no-state":      {"GET", "/callback?code=c", 404, "", false},
		"another-path":  {"GET", "/?state=s&code=c", 404, "", false},
		"post":          {"POST", "/callback?state=s&code=c", 404, "", false},
	} {
		t.Run(what, func(t *testing.T) {
			got := make(chan answer, 1)
			h := callback("s", got)
			for range 2 { // the second is not taken, and does not hang
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(x.method, x.target, http.NoBody))
				if w.Code != x.status {
					t.Errorf("status %d", w.Code)
				}
			}
			select {
			case a := <-got:
				if string(a.code.Reveal()) != x.code || (a.err != nil) != x.refused || x.status != 200 {
					t.Errorf("took %q, %v", a.code.Reveal(), a.err)
				}
			default:
				if x.status == 200 {
					t.Error("nothing was taken")
				}
			}
		})
	}
}
