package rotator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"countersign/internal/rotator"
)

func TestObject(t *testing.T) {
	o, err := rotator.ParseObject(rotator.Text(` {"host":"db","port": 5432, "password":"old","note":{"a":[1,2]},"big":12345678901234567890}`))
	if err != nil {
		t.Fatal(err)
	}
	if o.Get("user", "host") != "db" || o.Get("port") != "5432" || o.Get("note") != "" || o.Get("none") != "" {
		t.Errorf("got %q %q %q", o.Get("user", "host"), o.Get("port"), o.Get("note"))
	}
	if _, err := o.Need("username", "user"); err == nil || !strings.Contains(err.Error(), `"username"`) {
		t.Errorf("Need: %v", err)
	}
	if o.Has("dbname", "host") != "host" || o.Has("dbname", "database") != "dbname" {
		t.Error("Has")
	}
	o.Set("password", `a"<b>&\`)
	o.Set("username", "app")
	const want = `{"host":"db","port":5432,"password":"a\"<b>&\\","note":{"a":[1,2]},"big":12345678901234567890,"username":"app"}`
	if got := string(o.Value().Data.Reveal()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestObjectJSON(t *testing.T) {
	o := rotator.NewObject()
	o.SetJSON("set", json.RawMessage(` { "keys" : [ 1 , "a<b" ] } `))
	o.Set("text", "x")
	o.SetJSON("text", json.RawMessage(`null`))
	const want = `{"set":{"keys":[1,"a<b"]},"text":null}`
	if got := string(o.Value().Data.Reveal()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if string(o.JSON("set")) != `{"keys":[1,"a<b"]}` || o.JSON("none") != nil || o.Get("set") != "" {
		t.Errorf("JSON: %s", o.JSON("set"))
	}
	defer func() {
		if r := recover(); r == nil || strings.Contains(fmt.Sprint(r), "hunter2") {
			t.Errorf("what is no JSON was put, or quoted: %v", r)
		}
	}()
	o.SetJSON("bad", json.RawMessage(`{"password":"hunter2"`))
}

func TestCreated(t *testing.T) {
	o := rotator.NewObject()
	o.Set("note", strings.Repeat("x", rotator.MaxValue-len(`{"note":""}`)))
	if made, err := o.Created(); err != nil || made.Value.Data.Len() != rotator.MaxValue {
		t.Errorf("the longest value: %v", err)
	}
	o.Set("n", "")
	_, err := o.Created()
	if class, msg := rotator.Why(err); class != rotator.Unsuitable || !strings.Contains(msg, "65536") {
		t.Errorf("a value that is too long: %s, %s", class, msg)
	}
}

func TestNoObject(t *testing.T) {
	for _, text := range []string{"", "text", "[]", "1", `{"a":1`, `{"a":1} x`, `{"a":1}{}`, `{"a":1,"a":2}`, `{"a"}`, "null", `{1:2}`} {
		_, err := rotator.ParseObject(rotator.Text(text))
		var f *rotator.Failure
		if !errors.As(err, &f) || f.Class != rotator.Unsuitable {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzObject(f *testing.F) {
	f.Add(`{"a":"b","c":[1,{"d":null}]}`, "a", "x")
	f.Add(`{}`, "", "\xff")
	f.Fuzz(func(t *testing.T, text, member, to string) {
		o, err := rotator.ParseObject(rotator.Text(text))
		if err != nil {
			return
		}
		o.Set(member, to)
		out := o.Value()
		if !json.Valid(out.Data.Reveal()) {
			t.Fatalf("%q became %q", text, out.Data.Reveal())
		}
		again, err := rotator.ParseObject(out)
		if err != nil {
			t.Fatalf("%q: %v", out.Data.Reveal(), err)
		}
		if utf8.ValidString(member) && utf8.ValidString(to) && again.Get(member) != to {
			t.Fatalf("set %q, got %q", to, again.Get(member))
		}
	})
}

func TestWhy(t *testing.T) {
	secret := errors.New("hunter2")
	for _, tt := range []struct {
		err   error
		class rotator.Class
	}{
		{rotator.Fail(rotator.Permission, secret, "no"), rotator.Permission},
		{fmt.Errorf("setting: %w", rotator.Fail(rotator.Credentials, secret, "no")), rotator.Credentials},
		{context.DeadlineExceeded, rotator.Unreachable},
		{context.Canceled, rotator.Unreachable},
		{secret, rotator.Broken},
	} {
		class, msg := rotator.Why(tt.err)
		if class != tt.class || msg == "" || strings.Contains(msg, "hunter2") {
			t.Errorf("%v: %s, %s", tt.err, class, msg)
		}
	}
}
