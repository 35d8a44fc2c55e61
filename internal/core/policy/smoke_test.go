package policy

import "testing"

func TestBuiltins(t *testing.T) {
	for _, b := range Builtins() {
		d, err := Parse([]byte(b.Document), Identity)
		if err != nil {
			t.Fatalf("%s: %v", b.Name, err)
		}
		if f := d.Validate(); len(f) > 0 {
			t.Errorf("%s: %v", b.Name, f)
		}
	}
}
