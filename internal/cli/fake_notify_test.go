package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// fakeNotices answers what the commands of "notify" ask.
func fakeNotices(mux *http.ServeMux) {
	const target = `"name":"ops","type":"webhook","kinds":["change.*"],"host":"https://hooks.example/…","created":"2026-11-23T08:00:00Z","changed":"2026-11-23T08:00:00Z","changed_by":"arn:x","waiting":3,"why":"it answered with status 503"`
	const letter = `"id":"01JD.5f0c","target":"ops","type":"webhook","kind":"change.applied","name":"app/production","time":"2026-11-23T08:00:00Z","died":"2026-11-24T08:00:00Z","attempts":12,"why":"it took too long"`
	mux.HandleFunc("GET /api/v1/notify/targets", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"items":[{%s},{"name":"mail","type":"email","to":["audience"],"created":"2026-11-23T08:00:00Z","changed":"2026-11-23T08:00:00Z","changed_by":"arn:x","waiting":0,"last_delivered":"2026-11-23T08:00:00Z"}]}`, target)
	})
	mux.HandleFunc("PUT /api/v1/notify/targets/{name}", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Type, URL string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		if r.PathValue("name") != "ops" || body.URL != "https://hooks.example/s3cret" {
			refuse(w, 400, `"kind":"invalid","field":"url","message":"a URL begins with https://"`)
			return
		}
		fmt.Fprintf(w, `{%s,"secret":"whsec_k"}`, target)
	})
	mux.HandleFunc("DELETE /api/v1/notify/targets/{name}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") != "ops" || r.FormValue("reason") != "moved" {
			refuse(w, 404, `"kind":"not-found","code":"notify-target","message":"there is no such target"`)
			return
		}
		fmt.Fprint(w, `{}`)
	})
	mux.HandleFunc("POST /api/v1/notify/targets/{name}/test", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") == "ops" {
			fmt.Fprint(w, `{"delivered":true,"delivery":"01JD.77"}`)
			return
		}
		fmt.Fprint(w, `{"delivered":false,"delivery":"01JD.78","why":"it took too long"}`)
	})
	mux.HandleFunc("GET /api/v1/notify/dead-letters", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("page") == "" {
			fmt.Fprintf(w, `{"items":[{%s}],"next":"2"}`, letter)
			return
		}
		fmt.Fprint(w, `{"items":[]}`)
	})
	mux.HandleFunc("POST /api/v1/notify/dead-letters/{id}/replay", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != "01JD" {
			refuse(w, 404, `"kind":"not-found","code":"dead-letter","message":"there is no such dead letter"`)
			return
		}
		fmt.Fprintf(w, `{%s}`, letter)
	})
}
