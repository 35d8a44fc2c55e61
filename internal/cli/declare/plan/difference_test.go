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
			Replicas: {{"replica r2", "", "InSync"}}}},
		{"rotation is off", same, &off, map[string][]Field{Rotation: {{"rotation", "off", "on"}}}},
		{"no rotation", same, &client.RotationStatus{}, map[string][]Field{Rotation: {{"rotation", "", "on"}, {"rotation rotator", "", "random"},
			{"rotation option password_length", "", "40"}, {"rotation days", "", "90"}, {"rotation grace", "", "24h"}}}},
	} {
		got := map[string][]Field{}
		for _, it := range compare(want, tt.have, tt.rot, "") {
			got[it.What] = it.Fields
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	if items := compare(&file.Secret{Name: "a"}, nil, nil, ""); len(items) != 1 || items[0].What != Create {
		t.Errorf("a secret of a name alone: %v", items)
	}
	if items := compare(&file.Secret{Name: "a"}, differs, nil, "{}"); len(items) != 0 {
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

func TestReplicas(t *testing.T) {
	have := []client.Replica{{Region: "r1", Status: "InSync"}, {Region: "r2", Status: "Failed", Message: "why"}, {Region: "r4", Status: "InSync"}, {Region: "r3", Status: "InSync"}}
	added, ended := replicas([]string{"r5", "r2", "r1"}, have)
	if d := cmp.Diff([]Field{{"replica r2", "Failed", "InSync"}, {"replica r5", "", "InSync"}}, added); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Field{{"replica r3", "InSync", ""}, {"replica r4", "InSync", ""}}, ended); d != "" {
		t.Error(d)
	}
	it := &Item{What: NoReplicas, Fields: ended}
	if d := cmp.Diff([]string{"r3", "r4"}, it.Regions()); d != "" {
		t.Error(d)
	}
}

func TestSchemas(t *testing.T) {
	const have = `{"type":"object","required":["a","b"],"properties":{"a/b":{"type":"string"},"c":{}},"anyOf":[{"type":"string"},true]}`
	for _, tt := range []struct {
		name, have, want string
		diff             []Field
	}{
		{"the same", have, have, nil},
		{"another order", `{"a":1,"b":{"c":true}}`, "{ \"b\": {\"c\":true},\n\"a\":1}", nil},
		{"none", "", "", nil},
		{"gone", `{"type":"string"}`, "", []Field{{"schema /type", `"string"`, ""}}},
		{"new", "", `{"pattern":"<a>"}`, []Field{{"schema /pattern", "", `"<a>"`}}},
		{"new and empty", "", `{}`, []Field{{"schema", "", "{}"}}},
		{"rules", have, `{"type":"object","required":["a"],"properties":{"a/b":{"type":"integer"}},"anyOf":[{"type":"string"},false]}`, []Field{
			{"schema /anyOf/1", "true", "false"}, {"schema /properties/a~1b/type", `"string"`, `"integer"`}, {"schema /properties/c", "{}", ""},
			{"schema /required", `["a","b"]`, `["a"]`}}},
	} {
		if d := cmp.Diff(tt.diff, schemas(tt.have, tt.want)); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	// The mark is that of the whole schema, whatever of it is there already.
	want := have
	s := &file.Secret{Name: "a", Schema: &want}
	a := compare(s, &client.Secret{Name: "a"}, nil, "")[0]
	b := compare(s, &client.Secret{Name: "a"}, nil, `{"type":"object"}`)[0]
	if a.What != Schema || a.Mark() != b.Mark() {
		t.Errorf("the marks are %s and %s", a.Mark(), b.Mark())
	}
}
