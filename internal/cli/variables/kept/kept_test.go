package kept_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/change/which"
	"countersign/internal/cli/clitest"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/variables/kept"
	"countersign/internal/dotenv"
	"countersign/internal/sensitive"
)

func pairs(kv ...string) (out []dotenv.Pair) {
	for i := 0; i < len(kv); i += 2 {
		out = append(out, dotenv.Pair{Key: kv[i], Value: sensitive.FromString(kv[i+1])})
	}
	return out
}

func TestCompare(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b []dotenv.Pair
		want string
		code exit.Code
	}{
		{"equal", pairs("A", "1", "B", ""), pairs("B", "", "A", "1"), "", exit.OK},
		{"both-empty", nil, nil, "", exit.OK},
		{"all", pairs("GONE", "canary", "SAME", "x", "K", "canary"), pairs("K", "canary2", "SAME", "x", "NEW", "canary"), "-\tGONE\n+\tNEW\n~\tK\n", exit.Differs},
		{"empty-is-no-absence", pairs("A", ""), nil, "-\tA\n", exit.Differs},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := clitest.New(t, clitest.Routes{}, "")
			err := kept.Compare("l", "r", tt.a, tt.b).Print(r.Env.Streams, false)
			if exit.Of(t.Context(), err) != tt.code || exit.Message(t.Context(), err) != "" {
				t.Errorf("got %v, want code %d", err, tt.code)
			}
			if d := cmp.Diff(tt.want, r.Out.String()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRead(t *testing.T) {
	place := which.Place{Project: "api", Env: "dev", Secret: "s"}
	for _, tt := range []struct {
		name, answer string
		want         []dotenv.Pair
		any          bool
		code         exit.Code
	}{
		{"object", `{"value":"{\"B\":\"x\",\"A\":1.50,\"O\":{\"k\":[1]}}"}`, pairs("B", "x", "A", "1.50", "O", `{"k":[1]}`), false, exit.OK},
		{"text", `{"value":"plain"}`, nil, false, exit.Usage},
		{"bytes", `{"binary":"e30="}`, nil, false, exit.Usage},
		{"absent", "", nil, false, exit.NotFound},
		{"absent-counts-as-none", "", nil, true, exit.OK},
		{"denied", `403 {"kind":"denied","message":"no"}`, nil, true, exit.Denied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := clitest.New(t, clitest.Routes{"GET /secret/value": tt.answer}, "")
			read := kept.Read
			if tt.any {
				read = kept.ReadAny
			}
			got, err := read(t.Context(), r.Client, place)
			if exit.Of(t.Context(), err) != tt.code {
				t.Fatalf("got %v, want code %d", err, tt.code)
			}
			if d := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b sensitive.Bytes) bool { return a.Equal(b) })); d != "" {
				t.Error(d)
			}
		})
	}
}
