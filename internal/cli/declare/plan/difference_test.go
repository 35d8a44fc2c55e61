package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/declare/file"
	"countersign/internal/client"
)

func TestCompare(t *testing.T) {
	text := func(s string) *string { return &s }
	idle := &client.RotationStatus{Enabled: true, RotationSettings: client.RotationSettings{Rotator: "random", Days: 90, Grace: "1d",
		Options: map[string]string{"password_length": "40"}}}
	off := *idle
	off.Enabled = false
	want := &file.Secret{Name: "a", Description: text("new"), KMSKey: text("k"), Tags: map[string]string{"env": "prod", "owner": "x"},
		Replicas: []string{"r2", "r1"}, Rotation: &client.RotationSettings{Rotator: "random", Days: 90, Grace: "24h", Options: map[string]string{"password_length": "40"}}}
	same := &client.Secret{Name: "a", Description: "new", KMSKey: "k", Tags: map[string]string{"env": "prod", "owner": "x", "more": "m"},
		Replicas: []client.Replica{{Region: "r1"}, {Region: "r2"}}}
	differs := &client.Secret{Name: "a", Description: "old", KMSKey: "k", Tags: map[string]string{"env": "dev"}, Replicas: []client.Replica{{Region: "r1"}}}
	for _, tt := range []struct {
		name string
		have *client.Secret
		rot  *client.RotationStatus
		want map[string][]Field
	}{
		{"the same", same, idle, map[string][]Field{}},
		{"fields", differs, idle, map[string][]Field{Update: {{"description", "old", "new"}}, Tags: {{"tag env", "dev", "prod"}, {"tag owner", "", "x"}},
			Replicas: {{"replicas", "r1", "r1, r2"}}}},
		{"rotation is off", same, &off, map[string][]Field{Rotation: {{"rotation", "off", "on"}}}},
		{"no rotation", same, &client.RotationStatus{}, map[string][]Field{Rotation: {{"rotation", "", "on"}, {"rotation rotator", "", "random"},
			{"rotation option password_length", "", "40"}, {"rotation days", "", "90"}, {"rotation grace", "", "24h"}}}},
	} {
		got := map[string][]Field{}
		for _, it := range compare(want, tt.have, tt.rot) {
			got[it.What] = it.Fields
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	if items := compare(&file.Secret{Name: "a"}, nil, nil); len(items) != 1 || items[0].What != Create {
		t.Errorf("a secret of a name alone: %v", items)
	}
	if items := compare(&file.Secret{Name: "a"}, differs, nil); len(items) != 0 {
		t.Errorf("what is not declared: %v", items)
	}
}

func TestCompareRule(t *testing.T) {
	want := &file.Rule{Rule: client.Rule{Name: "p", Match: []string{"a/*"}, MFA: true}}
	if it := compareRule(want, &client.Rule{Name: "p", Match: []string{"a/*"}, MFA: true}, 1); it != nil {
		t.Errorf("the same rule: %v", it)
	}
	it := compareRule(want, &client.Rule{Name: "p", Match: []string{"a/*"}, Signed: true}, 1)
	if d := cmp.Diff([]Field{{"mfa", "", "true"}, {"signed", "true", ""}}, it.Fields); d != "" {
		t.Error(d)
	}
}

func TestMark(t *testing.T) {
	a := &Item{What: Tags, Name: "a", Fields: []Field{{"tag x", "1", "2"}}, Revised: time.Now().String()}
	b := &Item{What: Tags, Name: "a", Fields: []Field{{"tag x", "7", "2"}}}
	c := &Item{What: Tags, Name: "a", Fields: []Field{{"tag x", "1", "3"}}}
	if a.Mark() != b.Mark() || a.Mark() == c.Mark() {
		t.Error("the mark is not that of what is asked for")
	}
	found := pick([]client.Change{{ID: "1", Reason: "why (" + c.Mark() + ")"}, {ID: "2", Reason: "why (" + a.Mark() + ")"}}, a.Mark())
	if found == nil || found.ID != "2" {
		t.Errorf("found %v", found)
	}
}

func TestLength(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "24h": 86400, "1d": 86400, "1h30m": 5400, "1w": 604800, "soon": -1, "5": -1, "h": -1} {
		if got := length(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
