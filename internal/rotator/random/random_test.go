package random_test

import (
	"crypto/rand"
	"testing"

	"countersign/internal/rotator"
	"countersign/internal/rotator/random"
	"countersign/internal/rotator/rotatetest"
)

func job(options map[string]string, current string) rotator.Job {
	return rotator.Job{Name: "api-key", Options: options, Current: rotator.Text(current),
		Password: func() (string, error) { return rand.Text(), nil }}
}

func TestSuite(t *testing.T) {
	for name, j := range map[string]rotator.Job{
		"whole":  job(nil, "old"),
		"member": job(map[string]string{"key": "password"}, `{"username":"app","password":"old"}`),
	} {
		t.Run(name, func(t *testing.T) {
			rotatetest.Run(t, func(t *testing.T) *rotatetest.Target {
				return &rotatetest.Target{Kind: random.Kind(), Rotator: random.Kind().New(rotator.Env{}), Job: j}
			})
		})
	}
}

func TestCreate(t *testing.T) {
	r := random.Kind().New(rotator.Env{})
	made, err := r.Create(t.Context(), job(nil, ""))
	if err != nil || made.Value.Data.Len() != 26 {
		t.Errorf("a first value has %d bytes, %v", made.Value.Data.Len(), err)
	}
	made, err = r.Create(t.Context(), job(map[string]string{"key": "token"}, `{"user":"u", "n": 1.50}`))
	if err != nil {
		t.Fatal(err)
	}
	o, err := rotator.ParseObject(made.Value)
	if err != nil || o.Get("user") != "u" || o.Get("n") != "1.50" || len(o.Get("token")) != 26 {
		t.Errorf("the other members did not stay: %v", err)
	}
	if _, err := r.Create(t.Context(), job(map[string]string{"key": "token"}, `text`)); err == nil {
		t.Error("a member of a text was replaced")
	}
}
