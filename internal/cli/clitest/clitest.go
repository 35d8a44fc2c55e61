// Package clitest gives tests of commands a server in memory and buffers for
// streams. There is no socket, so that tests can run in a synctest bubble.
package clitest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/cli/env"
	"countersign/internal/cli/settings"
	"countersign/internal/cli/streams"
	"countersign/internal/client"
)

// Run is what a command has around it in a test.
type Run struct {
	Env      *env.Env
	Out, Err *bytes.Buffer
	Client   *client.Client
	// Settings answer Env.Settings. Flags given to it win.
	Settings settings.Inputs
}

// New makes the surroundings of a command whose server is h. in is what
// standard input holds.
func New(t testing.TB, h http.Handler, in string) *Run {
	t.Helper()
	r := &Run{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}
	c, err := client.New(client.Config{Address: "http://127.0.0.1:1", Transport: transport{h}})
	if err != nil {
		t.Fatal(err)
	}
	r.Client = c
	r.Env = &env.Env{
		Streams: &streams.Streams{In: strings.NewReader(in), Out: r.Out, Err: r.Err},
		Connect: func() (*client.Client, error) { return c, nil },
		Settings: func(f settings.Flags) (settings.Resolved, error) {
			got := r.Settings
			got.Flags = f
			return settings.Resolve(got)
		},
	}
	return r
}

type transport struct{ h http.Handler }

// RoundTrip calls the handler.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	if req.Body == nil {
		req.Body = http.NoBody
	}
	t.h.ServeHTTP(w, req)
	return w.Result(), nil
}

// Routes answers each "METHOD /path" below /api/v1 with a body, or with what a
// function of the request says, and everything else with 404.
type Routes map[string]any

// ServeHTTP answers. A text that begins with a status and a space is a refusal:
// "409 {...}" has the members of the error.
func (m Routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, ok := m[r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v1")]
	if f, is := answer.(func(*http.Request) string); is {
		answer = f(r)
	}
	text, _ := answer.(string)
	if !ok || text == "" {
		text = `404 {"kind":"not-found","message":"there is no such thing"}`
	}
	if len(text) > 4 && text[3] == ' ' && text[0] >= '4' && text[0] <= '5' {
		status := int(text[0]-'0')*100 + int(text[1]-'0')*10 + int(text[2]-'0')
		w.WriteHeader(status)
		text = `{"error":` + text[4:] + `}`
	}
	_, _ = w.Write([]byte(text))
}
