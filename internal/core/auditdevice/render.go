package auditdevice

import (
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"countersign/internal/core/audit"
	"countersign/internal/core/mount"
)

// line is one line of a device, with Vault's names for what a record knows.
type line struct {
	Time     string        `json:"time"`
	Type     string        `json:"type"` // request or response
	Auth     authPart      `json:"auth"`
	Request  requestPart   `json:"request"`
	Response *responsePart `json:"response,omitempty"`
	Error    string        `json:"error,omitempty"`
	Ours     oursPart      `json:"countersign"`
}

type authPart struct {
	Accessor    string `json:"accessor,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
}

type requestPart struct {
	ID         string              `json:"id"`
	Operation  string              `json:"operation,omitempty"`
	MountPoint string              `json:"mount_point,omitempty"`
	MountType  string              `json:"mount_type,omitempty"`
	Accessor   string              `json:"client_token_accessor,omitempty"`
	Namespace  namespacePart       `json:"namespace"`
	Path       string              `json:"path,omitempty"`
	Headers    map[string][]string `json:"headers,omitempty"`
	Remote     string              `json:"remote_address,omitempty"`
}

type namespacePart struct {
	ID   string `json:"id"`
	Path string `json:"path,omitempty"`
}

type responsePart struct {
	MountPoint string `json:"mount_point,omitempty"`
	MountType  string `json:"mount_type,omitempty"`
}

// oursPart is what a record knows and Vault has no name for. The id is that of
// the record, by which it is found in the log.
type oursPart struct {
	Record      string   `json:"record"`
	Account     string   `json:"account,omitempty"`
	Front       string   `json:"front,omitempty"`
	Operation   string   `json:"operation,omitempty"`
	Resource    string   `json:"resource,omitempty"`
	Region      string   `json:"region,omitempty"`
	Kind        string   `json:"principal_kind,omitempty"`
	Of          string   `json:"principal_account,omitempty"`
	Proof       string   `json:"proof,omitempty"`
	Outcome     string   `json:"outcome,omitempty"`
	Version     uint64   `json:"version,omitempty"`
	Keys        []string `json:"keys,omitempty"`
	KeysOmitted uint64   `json:"keys_omitted,omitempty"`
	Change      string   `json:"change,omitempty"`
	Decision    string   `json:"decision,omitempty"`
	Action      string   `json:"action,omitempty"`
}

// maxKeys bounds the names of keys in a line, in bytes: one line fits into one
// datagram, whatever it says.
const maxKeys = 4 << 10

// renderer makes the lines of one device.
type renderer struct {
	device *stored
	set    settings
	home   string
}

// lines appends the two lines of a record; without its request when that was
// written before.
func (x *renderer) lines(b []byte, rec *audit.Record, table *mount.Table, onlyResponse bool) []byte {
	at := locate(rec, table)
	out := line{Type: "request", Time: stamp(rec.Time), Auth: authPart{DisplayName: rec.Principal.Name},
		Request: requestPart{ID: rec.RequestID, Operation: at.operation, Path: at.path, MountPoint: at.point, MountType: at.kind,
			Remote: rec.Source, Namespace: namespacePart{ID: "root"}},
		Ours: ours(rec)}
	if out.Request.ID == "" {
		out.Request.ID = rec.ID
	}
	if a := rec.Account; a != "" && a != x.home {
		out.Request.Namespace = namespacePart{ID: a, Path: a + "/"}
	}
	if id := rec.Principal.KeyID; id != "" {
		if !x.set.plain {
			id = x.device.hash([]byte(id))
		}
		out.Auth.Accessor, out.Request.Accessor = id, id
	}
	if rec.Agent != "" {
		out.Request.Headers = map[string][]string{"user-agent": {rec.Agent}}
	}
	failure := failureOf(rec)
	if rec.Outcome == audit.Denied {
		out.Error = failure // the request went no further
	}
	result := out.Ours
	if !onlyResponse {
		// What came of it is not yet known.
		out.Ours.Outcome, out.Ours.Version, out.Ours.Keys, out.Ours.KeysOmitted, out.Ours.Change = "", 0, nil, 0, ""
		b = x.append(b, &out)
	}
	out.Type, out.Time, out.Error, out.Ours = "response", stamp(rec.Time.Add(rec.Duration)), failure, result
	out.Response = &responsePart{MountPoint: at.point, MountType: at.kind}
	return x.append(b, &out)
}

func ours(rec *audit.Record) oursPart {
	out := oursPart{Record: rec.ID, Account: rec.Account, Front: rec.Front, Operation: rec.Operation, Resource: rec.Resource, Region: rec.Region,
		Kind: rec.Principal.Kind, Of: rec.Principal.Account, Proof: rec.Principal.Proof, Outcome: string(rec.Outcome), Version: rec.Version,
		KeysOmitted: rec.KeysOmitted, Change: rec.Change}
	if d := rec.Decision; d != nil {
		out.Decision, out.Action = d.ID, d.Action
	}
	size := 0
	for i, k := range rec.Keys {
		if size += len(k); size > maxKeys {
			out.KeysOmitted += uint64(len(rec.Keys) - i)
			break
		}
		out.Keys = append(out.Keys, k)
	}
	return out
}

// failureOf says what came of a request that failed: in Vault's words where it has
// some, with the kind and code that the record has.
func failureOf(rec *audit.Record) string {
	switch {
	case rec.Outcome == audit.OK || rec.Error == "" && rec.Outcome == "":
		return ""
	case rec.Outcome == audit.Denied && rec.Error == "":
		return "permission denied"
	case rec.Outcome == audit.Denied:
		return "permission denied: " + rec.Error
	case rec.Error == "":
		return string(rec.Outcome)
	}
	return rec.Error
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (x *renderer) append(b []byte, l *line) []byte {
	text, err := json.Marshal(l)
	if err != nil {
		return b // plain strings and numbers: it always encodes
	}
	b = append(b, x.set.prefix...)
	b = appendEscaped(b, text)
	return append(b, '\n')
}

// appendEscaped appends JSON with the format characters in it escaped, which
// encoding/json leaves: among them are those that reverse the direction of text.
// Outside of strings JSON has ASCII only.
func appendEscaped(b, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r < 0x7f, r > 0x7f && !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			b = append(b, text[:n]...)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			b = appendUnicode(appendUnicode(b, hi), lo)
		default:
			b = appendUnicode(b, r)
		}
		text = text[n:]
	}
	return b
}

func appendUnicode(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// whole is what is read back of a line.
type whole struct {
	Type string `json:"type"`
	Ours struct {
		Record string `json:"record"`
	} `json:"countersign"`
}

// readBack tells which record a line is of. ok is false when it is none of ours.
func readBack(text []byte, prefix string) (id string, onlyRequest, ok bool) {
	rest, found := strings.CutPrefix(string(text), prefix)
	var w whole
	if !found || json.Unmarshal([]byte(rest), &w) != nil || w.Ours.Record == "" {
		return "", false, false
	}
	return w.Ours.Record, w.Type == "request", true
}
