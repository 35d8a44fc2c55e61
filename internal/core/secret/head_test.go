package secret_test

import (
	"bytes"
	"reflect"
	"testing"

	"countersign/internal/core/secret"
)

// A head that reads itself reads what reflection does, or refuses what it
// refuses.
func checkHead(t *testing.T, b []byte) {
	t.Helper()
	direct, errDirect, reflected, errReflected := secret.ReadHead(b)
	if (errDirect == nil) != (errReflected == nil) {
		t.Fatalf("%x: %v, by reflection %v", b, errDirect, errReflected)
	}
	if errDirect == nil && !reflect.DeepEqual(direct, reflected) {
		t.Fatalf("%x: %+v, by reflection %+v", b, direct, reflected)
	}
}

func TestHeadReadsItself(t *testing.T) {
	for _, b := range secret.Heads() {
		checkHead(t, b)
		checkHead(t, append(bytes.Clone(b), 0))
		for i := range b {
			checkHead(t, b[:i])
			for bit := range 8 {
				changed := bytes.Clone(b)
				changed[i] ^= 1 << bit
				checkHead(t, changed)
			}
		}
	}
}

func FuzzHead(f *testing.F) {
	for _, b := range secret.Heads() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkHead(t, b) })
}
