package sdk

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
	vault "github.com/hashicorp/vault/api"
)

// value is what a secret holds.
type value struct {
	text   string
	binary bool
}

// door is one way to the store. What it reads is said in the same words at every
// door: a value, or why there is none.
type door struct {
	name    string
	write   func(id string, v value) // a new secret, or a new version
	read    func(id string, previous bool) (value, string)
	tag     func(id, key, val string)
	untag   func(id, key string)
	tags    func(id string) map[string]string
	number  func(id string) int // of versions
	names   func(prefix string) []string
	remove  func(id string) // so that it can be restored
	restore func(id string)
	destroy func(id string) // with every version
	// One version, deleted and brought back: nil where nobody has a word for it.
	removeVersion, restoreVersion func(id string, number int)
}

// TestFronts does what can be done with a secret at each front, and sees at every
// other that it was done.
func TestFronts(t *testing.T) {
	t.Parallel()
	s := start(t)
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range []struct {
		name string
		run  func(t *testing.T, doors []door, at door, prefix string)
	}{
		{"values", sameValues}, {"versions", sameVersions}, {"tags", sameTags}, {"lists", sameLists},
		{"deletion", sameDeletion}, {"version-deletion", sameVersionDeletion}, {"destruction", sameDestruction},
	} {
		t.Run(run.name, func(t *testing.T) {
			t.Parallel()
			all := func(t *testing.T) []door { return []door{awsDoor(t, cfg), vaultDoor(t), nativeDoor(t, s)} }
			for i, at := range all(t) {
				t.Run(at.name, func(t *testing.T) {
					t.Parallel()
					doors := all(t)
					run.run(t, doors, doors[i], "matrix/"+run.name+"/"+at.name+"/")
				})
			}
		})
	}
}

// expect reads a secret at every door.
func expect(t *testing.T, doors []door, id string, previous bool, want value) {
	t.Helper()
	for _, d := range doors {
		switch got, why := d.read(id, previous); {
		case why != "":
			t.Errorf("%s at %s: %s", id, d.name, why)
		case got != want:
			t.Errorf("%s at %s is not the value that was expected (bytes: %v, want %v)", id, d.name, got.binary, want.binary)
		}
	}
}

// sameValues writes each kind of value.
func sameValues(t *testing.T, doors []door, at door, prefix string) {
	for name, v := range map[string]value{
		"object":  {text: `{"password":"` + plant("pw") + `","port":5432,"user":"admin"}`},
		"text":    {text: plant("a plain text")},
		"lines":   {text: plant("one") + "\n\t\"two\" <three>\u2028é\n"},
		"json":    {text: `["` + plant("a list") + `"]`},
		"number":  {text: "7"},
		"like-it": {text: `{"SecretString":"` + plant("an object that looks like a text of another front") + `"}`},
		"bytes":   {text: canary + "\x00\xff\n", binary: true},
	} {
		at.write(prefix+name, v)
		expect(t, doors, prefix+name, false, v)
	}
}

// sameVersions writes a version after one of each other door.
func sameVersions(t *testing.T, doors []door, at door, prefix string) {
	for _, first := range doors {
		id := prefix + first.name
		one, two := value{text: plant("one")}, value{text: `{"v":"` + plant("two") + `"}`}
		first.write(id, one)
		at.write(id, two)
		expect(t, doors, id, false, two)
		expect(t, doors, id, true, one)
		for _, d := range doors {
			if n := d.number(id); n != 2 {
				t.Errorf("%s has %d versions at %s", id, n, d.name)
			}
		}
	}
}

// sameTags sets tags, changes one and removes one.
func sameTags(t *testing.T, doors []door, at door, prefix string) {
	id := prefix + "app"
	doors[0].write(id, value{text: plant("one")})
	see := func(want map[string]string) {
		t.Helper()
		for _, d := range doors {
			if got := d.tags(id); !maps.Equal(got, want) {
				t.Errorf("the tags at %s are %v, want %v", d.name, got, want)
			}
		}
	}
	at.tag(id, "team", "blue")
	at.tag(id, "stage", "prod")
	see(map[string]string{"team": "blue", "stage": "prod"})
	at.tag(id, "team", "red")
	at.untag(id, "stage")
	see(map[string]string{"team": "red"})
	expect(t, doors, id, false, value{text: plant("one")})
}

// sameLists lists names.
func sameLists(t *testing.T, doors []door, at door, prefix string) {
	var want []string
	for _, d := range doors {
		for _, name := range []string{"a", "dir/b"} {
			d.write(prefix+d.name+"/"+name, value{text: plant(name)})
			want = append(want, prefix+d.name+"/"+name)
		}
	}
	slices.Sort(want)
	if got := at.names(prefix); !slices.Equal(got, want) {
		t.Errorf("listed: %v, want %v", got, want)
	}
}

// marked is how each door says that a secret is marked for deletion, and gone that
// a version is deleted. Vault's own deletion is of a version.
var (
	marked = map[string]string{"aws": "InvalidRequestException", "vault": "deleted", "native": "exit 5"}
	gone   = map[string]string{"aws": "ResourceNotFoundException", "vault": "deleted", "native": "exit 3"}
)

// refuse reads a secret at every door, each of which says that in its own words.
func refuse(t *testing.T, doors []door, id string, want map[string]string) {
	t.Helper()
	for _, d := range doors {
		if _, why := d.read(id, false); why != want[d.name] {
			t.Errorf("%s is %q at %s, want %q", id, why, d.name, want[d.name])
		}
	}
}

// sameDeletion deletes a secret, and restores it at each door.
func sameDeletion(t *testing.T, doors []door, at door, prefix string) {
	want := marked
	if at.name == "vault" {
		want = gone
	}
	for _, other := range doors {
		id := prefix + other.name
		one, two := value{text: plant("one")}, value{text: plant("two")}
		at.write(id, one)
		at.write(id, two)
		at.remove(id)
		refuse(t, doors, id, want)
		switch {
		case at.name != "vault":
			other.restore(id)
		case other.restoreVersion == nil:
			continue
		default:
			other.restoreVersion(id, 2)
		}
		expect(t, doors, id, false, two)
		expect(t, doors, id, true, one)
	}
}

// sameVersionDeletion deletes the current version, and brings it back at each door.
func sameVersionDeletion(t *testing.T, doors []door, at door, prefix string) {
	if at.removeVersion == nil {
		return // it has no word for that
	}
	for _, other := range doors {
		if other.restoreVersion == nil {
			continue
		}
		id := prefix + other.name
		one, two := value{text: plant("one")}, value{text: plant("two")}
		other.write(id, one)
		other.write(id, two)
		at.removeVersion(id, 2)
		refuse(t, doors, id, gone)
		expect(t, doors, id, true, one)
		other.restoreVersion(id, 2)
		expect(t, doors, id, false, two)
		at.removeVersion(id, 1)
		expect(t, doors, id, false, two)
		other.restoreVersion(id, 1)
		expect(t, doors, id, true, one)
	}
}

// sameDestruction removes a secret for good, and makes one of its name.
func sameDestruction(t *testing.T, doors []door, at door, prefix string) {
	for _, other := range doors {
		id := prefix + other.name
		other.write(id, value{text: plant("one")})
		at.destroy(id)
		for _, d := range doors {
			want := gone[d.name]
			if d.name == "vault" {
				want = "absent"
			}
			if _, why := d.read(id, false); why != want {
				t.Errorf("%s, destroyed, is %q at %s, want %q", id, why, d.name, want)
			}
		}
		again := value{text: plant("again")}
		other.write(id, again)
		expect(t, doors, id, false, again)
	}
}

// must ends the test at an error, which may not hold a value.
func must(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case strings.Contains(err.Error(), canary):
		t.Fatal("an error tells the value")
	default:
		t.Fatal(err)
	}
}

// awsDoor is the AWS SDK for Go.
func awsDoor(t *testing.T, cfg aws.Config) door {
	ctx, sm := t.Context(), secretsmanager.NewFromConfig(cfg)
	return door{
		name: "aws",
		write: func(id string, v value) {
			in := &secretsmanager.CreateSecretInput{Name: &id}
			if v.binary {
				in.SecretBinary = []byte(v.text)
			} else {
				in.SecretString = &v.text
			}
			_, err := sm.CreateSecret(ctx, in)
			if there := (*types.ResourceExistsException)(nil); errors.As(err, &there) {
				_, err = sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: in.SecretString, SecretBinary: in.SecretBinary})
			}
			must(t, err)
		},
		read: func(id string, previous bool) (value, string) {
			in := &secretsmanager.GetSecretValueInput{SecretId: &id}
			if previous {
				in.VersionStage = aws.String("AWSPREVIOUS")
			}
			out, err := sm.GetSecretValue(ctx, in)
			if api := smithy.APIError(nil); errors.As(err, &api) {
				return value{}, api.ErrorCode()
			}
			must(t, err)
			if out.SecretString == nil {
				return value{string(out.SecretBinary), true}, ""
			}
			return value{text: *out.SecretString}, ""
		},
		tag: func(id, key, val string) {
			_, err := sm.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: &id, Tags: []types.Tag{{Key: &key, Value: &val}}})
			must(t, err)
		},
		untag: func(id, key string) {
			_, err := sm.UntagResource(ctx, &secretsmanager.UntagResourceInput{SecretId: &id, TagKeys: []string{key}})
			must(t, err)
		},
		tags: func(id string) map[string]string {
			out, err := sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &id})
			must(t, err)
			all := map[string]string{}
			for _, tag := range out.Tags {
				all[*tag.Key] = *tag.Value
			}
			return all
		},
		number: func(id string) int {
			out, err := sm.ListSecretVersionIds(ctx, &secretsmanager.ListSecretVersionIdsInput{SecretId: &id, IncludeDeprecated: aws.Bool(true)})
			must(t, err)
			return len(out.Versions)
		},
		names: func(prefix string) (all []string) {
			in := &secretsmanager.ListSecretsInput{Filters: []types.Filter{filter("name", prefix)}, SortBy: types.SortByTypeName, SortOrder: types.SortOrderTypeAsc}
			for p := secretsmanager.NewListSecretsPaginator(sm, in); p.HasMorePages(); {
				out, err := p.NextPage(ctx)
				must(t, err)
				for _, s := range out.SecretList {
					all = append(all, *s.Name)
				}
			}
			return all
		},
		remove: func(id string) {
			_, err := sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &id})
			must(t, err)
		},
		restore: func(id string) {
			_, err := sm.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: &id})
			must(t, err)
		},
		destroy: func(id string) {
			_, err := sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &id, ForceDeleteWithoutRecovery: aws.Bool(true)})
			must(t, err)
		},
	}
}

// vaultDoor is Vault's client for Go, at the mount that is there from the start.
func vaultDoor(t *testing.T) door {
	client, err := vault.NewClient(nil)
	must(t, err)
	ctx, kv := t.Context(), client.KVv2("secret")
	current := func(id string) *vault.KVMetadata {
		m, err := kv.GetMetadata(ctx, id)
		must(t, err)
		return m
	}
	custom := func(id string, change map[string]any) {
		must(t, kv.PatchMetadata(ctx, id, vault.KVMetadataPatchInput{CustomMetadata: change}))
	}
	var walk func(path string) []string
	walk = func(path string) (all []string) {
		list, err := client.Logical().ListWithContext(ctx, "secret/metadata/"+path)
		must(t, err)
		if list == nil {
			return nil
		}
		for _, k := range list.Data["keys"].([]any) {
			if name := path + k.(string); strings.HasSuffix(name, "/") {
				all = append(all, walk(name)...)
			} else {
				all = append(all, name)
			}
		}
		return all
	}
	return door{
		name: "vault",
		write: func(id string, v value) {
			_, err := kv.Put(ctx, id, inKV(v))
			must(t, err)
		},
		read: func(id string, previous bool) (value, string) {
			var got *vault.KVSecret
			var err error
			if previous {
				got, err = kv.GetVersion(ctx, id, current(id).CurrentVersion-1)
			} else {
				got, err = kv.Get(ctx, id)
			}
			switch {
			case errors.Is(err, vault.ErrSecretNotFound):
				return value{}, "absent"
			case err == nil && got.Data == nil:
				return value{}, "deleted"
			}
			must(t, err)
			return ofKV(t, got.Data), ""
		},
		tag:   func(id, key, val string) { custom(id, map[string]any{key: val}) },
		untag: func(id, key string) { custom(id, map[string]any{key: nil}) },
		tags: func(id string) map[string]string {
			all := map[string]string{}
			for k, v := range current(id).CustomMetadata {
				all[k] = v.(string)
			}
			return all
		},
		number:         func(id string) int { return len(current(id).Versions) },
		names:          walk,
		remove:         func(id string) { must(t, kv.Delete(ctx, id)) },
		restore:        func(id string) { must(t, kv.Undelete(ctx, id, []int{current(id).CurrentVersion})) },
		destroy:        func(id string) { must(t, kv.DeleteMetadata(ctx, id)) },
		removeVersion:  func(id string, n int) { must(t, kv.DeleteVersions(ctx, id, []int{n})) },
		restoreVersion: func(id string, n int) { must(t, kv.Undelete(ctx, id, []int{n})) },
	}
}

// inKV is a value as the key-value engine takes it: an object as it is, text and
// bytes under the names that they have at the AWS front.
func inKV(v value) map[string]any {
	if v.binary {
		return map[string]any{"SecretBinary": base64.StdEncoding.EncodeToString([]byte(v.text))}
	}
	var object map[string]any
	err := json.Unmarshal([]byte(v.text), &object)
	if _, like := object["SecretString"]; err != nil || like && len(object) == 1 {
		return map[string]any{"SecretString": v.text}
	}
	return object
}

// ofKV is what the key-value engine shows, as the value that is kept.
func ofKV(t *testing.T, data map[string]any) value {
	t.Helper()
	if text, is := data["SecretString"].(string); is && len(data) == 1 {
		return value{text: text}
	}
	if text, is := data["SecretBinary"].(string); is && len(data) == 1 {
		raw, err := base64.StdEncoding.DecodeString(text)
		must(t, err)
		return value{string(raw), true}
	}
	text, err := json.Marshal(data)
	must(t, err)
	return value{text: string(text)}
}

// nativeDoor is the command line of Countersign, which speaks the native API.
func nativeDoor(t *testing.T, s *server) door {
	shown := func(what any, args ...string) {
		must(t, json.Unmarshal(s.countersign(t, "", append(args, "--json")...), what))
	}
	return door{
		name: "native",
		write: func(id string, v value) {
			args := []string{"put", id}
			if v.binary {
				args = append(args, "--binary")
			}
			s.countersign(t, v.text, args...)
		},
		read: func(id string, previous bool) (value, string) {
			args := []string{"get", id, "--json"}
			if previous {
				args = append(args, "--label", "AWSPREVIOUS")
			}
			out, said, code := s.exec(t, "", args...)
			if strings.Contains(string(said), canary) {
				t.Error("the command says the value")
			}
			if code != 0 {
				return value{}, fmt.Sprintf("exit %d", code)
			}
			var got struct {
				Value  *string `json:"value"`
				Binary []byte  `json:"binary"`
			}
			must(t, json.Unmarshal(out, &got))
			if got.Value == nil {
				return value{string(got.Binary), true}, ""
			}
			return value{text: *got.Value}, ""
		},
		tag:   func(id, key, val string) { s.countersign(t, "", "tag", id, key+"="+val) },
		untag: func(id, key string) { s.countersign(t, "", "untag", id, key) },
		tags: func(id string) map[string]string {
			var got struct {
				Tags map[string]string `json:"tags"`
			}
			shown(&got, "describe", id)
			return got.Tags
		},
		number: func(id string) int {
			var got []struct{}
			shown(&got, "versions", id)
			return len(got)
		},
		names: func(prefix string) (all []string) {
			var got []struct {
				Name string `json:"name"`
			}
			shown(&got, "list", prefix)
			for _, s := range got {
				all = append(all, s.Name)
			}
			return all
		},
		remove:         func(id string) { s.countersign(t, "", "delete", id) },
		restore:        func(id string) { s.countersign(t, "", "restore", id) },
		destroy:        func(id string) { s.countersign(t, "", "delete", id, "--force") },
		removeVersion:  func(id string, n int) { s.countersign(t, "", "delete", id, "--version", strconv.Itoa(n)) },
		restoreVersion: func(id string, n int) { s.countersign(t, "", "restore", id, "--version", strconv.Itoa(n)) },
	}
}
