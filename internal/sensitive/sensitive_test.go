package sensitive_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"countersign/internal/sensitive"
)

// holder has a value in a field that fmt does not call methods of.
type holder struct {
	name  string
	value sensitive.Bytes
	many  []sensitive.Bytes
	byKey map[string]sensitive.Bytes
}

// Shown has values where encoders see them.
type Shown struct {
	Value   sensitive.Bytes
	Pointer *sensitive.Bytes
	Any     any
}

func TestNothingPrintsIt(t *testing.T) {
	const canary = "canary-5e1f"
	v := sensitive.FromString(canary)
	shown := Shown{v, &v, v}
	hidden := holder{"n", v, []sensitive.Bytes{v}, map[string]sensitive.Bytes{"k": v}}
	var out bytes.Buffer
	for _, x := range []any{v, &v, shown, &shown, hidden, &hidden, []any{v}, map[string]any{"k": v}, errors.Join(fmt.Errorf("%v", v))} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%t", "%e", "%p", "%10.3s", "%T"} {
			fmt.Fprintf(&out, verb+"\n", x)
		}
		fmt.Fprint(&out, x)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "x", x)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "x", x)
		if b, err := json.Marshal(x); err == nil {
			out.Write(b)
		}
	}
	for _, trace := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprint([]byte(canary)),
		strings.Trim(fmt.Sprintf("%#v", []byte(canary)), "[]byte{}"), fmt.Sprintf("%o", []byte(canary))} {
		if strings.Contains(out.String(), strings.Trim(trace, "[]")) {
			t.Errorf("%q was printed", trace)
		}
	}
	if got := fmt.Sprintf("%v|%x|%s", v, v, v.String()); got != "[redacted]|[redacted]|[redacted]" {
		t.Errorf("printed %q", got)
	}
	if b, err := json.Marshal(Shown{Value: v}); err != nil || !strings.HasPrefix(string(b), `{"Value":"[redacted]"`) {
		t.Errorf("encoded %s, %v", b, err)
	}
}

func TestBytes(t *testing.T) {
	var zero sensitive.Bytes
	if zero.Len() != 0 || zero.Reveal() != nil || !zero.Equal(sensitive.New(nil)) || !zero.Equal(sensitive.FromString("")) {
		t.Error("the zero value is not empty")
	}
	a := sensitive.FromString("abc")
	if a.Len() != 3 || string(a.Reveal()) != "abc" {
		t.Errorf("holds %d bytes", a.Len())
	}
	for other, want := range map[string]bool{"abc": true, "abd": false, "ab": false, "": false} {
		if got := a.Equal(sensitive.FromString(other)); got != want {
			t.Errorf("equal to %q: %v", other, got)
		}
	}
}
