package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// fakeDevices answers what the commands of "audit device" ask.
func fakeDevices(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/audit/devices", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"items":[{"name":"file","type":"file","options":{"file_path":"audit.log","mode":"0640"},"created":"2026-11-23T08:00:00Z","created_by":"arn:x","state":"writing","last_written":"2026-11-23T08:00:00Z","behind_ms":0},`+
			`{"name":"far","type":"socket","options":{},"created":"2026-11-23T08:00:00Z","created_by":"arn:x","state":"failing","behind_ms":61400,"why":"connection refused"}]}`)
	})
	mux.HandleFunc("PUT /api/v1/audit/devices/{name}", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Type    string
			Options map[string]string
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		if body.Type != "file" || body.Options["file_path"] != "audit.log" {
			refuse(w, 400, `"kind":"invalid","code":"audit-device-option","field":"file_path","message":"name the file"`)
			return
		}
		if r.PathValue("name") == "to/review" {
			fmt.Fprint(w, `{"change":"01JD","status":"pending"}`)
			return
		}
		fmt.Fprint(w, `{"change":"01JC","status":"applied"}`)
	})
	mux.HandleFunc("DELETE /api/v1/audit/devices/{name}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") != "file" || r.FormValue("reason") != "moved" {
			refuse(w, 404, `"kind":"not-found","code":"audit-device","message":"there is no such audit device"`)
			return
		}
		fmt.Fprint(w, `{"change":"01JC","status":"applied"}`)
	})
	mux.HandleFunc("POST /api/v1/audit/devices/{name}/hash", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Input string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		fmt.Fprintf(w, `{"hash":"hmac-sha256:%x"}`, body.Input)
	})
}
