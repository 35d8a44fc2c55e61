// Package file reads files that declare secrets: what there is to be, whose it is
// and how it is rotated and protected, and never a value.
//
// Reading is strict. What the format does not know is refused, and so is what could
// mean two things: aliases, a key given twice, a secret declared twice. Each refusal
// names the file, the line and the column, and repeats no text of the file but the
// names of members and of secrets.
package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"countersign/internal/client"
)

// Limits of what is read.
const (
	MaxSize     = 1 << 20 // bytes of one file
	MaxSecrets  = 5000    // of all files together
	maxDepth    = 20      // of nested mappings and lists
	maxRefusals = 20      // that are told at once
)

// Position is a place in a file.
type Position struct {
	File         string
	Line, Column int
}

// String is file:line:column.
func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Refusal is one thing that is wrong with a file.
type Refusal struct {
	At   Position
	Text string
}

// Error is all that is wrong with the files, in the order in which it stands there.
type Error []Refusal

// Error has a line for each refusal.
func (e Error) Error() string {
	lines := make([]string, len(e))
	for i, r := range e {
		lines[i] = r.At.String() + ": " + r.Text
	}
	return strings.Join(lines, "\n")
}

// Source is a file as it was read.
type Source struct {
	Name string
	Text []byte
	// Read reads a file that it names, by a path from where it is. Nil: it cannot
	// name any.
	Read func(path string) ([]byte, error)
}

// File is what one or more files declare.
type File struct {
	Secrets []Secret
	Rules   []Rule
}

// Secret is a secret as it is to be. What is nil is not declared, and left as it is.
type Secret struct {
	At          Position
	Name        string
	Description *string
	KMSKey      *string
	Type        *string
	Tags        map[string]string // those to be set; others stay
	Replicas    []string          // all regions; nil when they are not declared
	Rotation    *client.RotationSettings
	Schema      *string // compact JSON; empty: there is to be none
}

// Rule is a protection rule as it is to be.
type Rule struct {
	At Position
	client.Rule
}

// TagOwner is the tag that holds who a secret belongs to.
const TagOwner = "owner"

// Parse reads files together, as if they were one; each has its own defaults and
// naming. The error is an Error.
func Parse(sources ...Source) (File, error) {
	var out File
	r := &reader{secrets: map[string]Position{}, rules: map[string]Position{}}
	for _, s := range sources {
		r.file, r.load = s.Name, s.Read
		r.read(s.Text, &out)
	}
	if len(r.refused) > 0 {
		return File{}, r.refused
	}
	return out, nil
}

// reader collects what is wrong.
type reader struct {
	file    string
	load    func(path string) ([]byte, error)
	refused Error
	secrets map[string]Position
	rules   map[string]Position
}

func (r *reader) at(n *yaml.Node) Position {
	if n == nil || n.Line == 0 {
		return Position{r.file, 1, 1}
	}
	return Position{r.file, n.Line, n.Column}
}

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	if len(r.refused) < maxRefusals {
		r.refused = append(r.refused, Refusal{r.at(n), fmt.Sprintf(format, args...)})
	}
}

func (r *reader) read(text []byte, out *File) {
	if len(text) > MaxSize {
		r.fail(nil, "the file is larger than %d bytes", MaxSize)
		return
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			r.fail(nil, "the file is empty")
		} else {
			r.syntax(err)
		}
		return
	}
	var more yaml.Node
	if err := d.Decode(&more); err == nil {
		r.fail(&more, "the file holds more than one document")
		return
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
		return
	}
	had := len(r.refused)
	if r.scan(doc.Content[0], 0, true); len(r.refused) > had {
		return // what is read further could repeat what must not be repeated
	}
	r.document(doc.Content[0], out)
}

var lineOf = regexp.MustCompile(`line (\d+): `)

// harmless are how messages of the YAML library begin that repeat nothing of the
// file.
var harmless = []string{"did not find expected", "could not find expected", "mapping values are not allowed", "found character that cannot start",
	"found a tab character", "found unexpected end of stream", "found unknown escape", "block sequence entries are not allowed", "control characters are not allowed"}

// syntax tells of what is no YAML, without the library's words where these could
// repeat the file's.
func (r *reader) syntax(err error) {
	at := Position{r.file, 1, 1}
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := lineOf.FindStringSubmatch(msg); m != nil {
		at.Line, _ = strconv.Atoi(m[1])
	}
	why := ""
	for _, h := range harmless {
		if i := strings.Index(msg, h); i >= 0 {
			why = ": " + msg[i:i+len(h)]
			if h == harmless[0] || h == harmless[1] {
				why = ": something is missing or indented wrongly"
			}
		}
	}
	if strings.Contains(msg, "unknown anchor") {
		why = ": aliases are not taken"
	}
	if len(r.refused) < maxRefusals {
		r.refused = append(r.refused, Refusal{at, "this is no YAML" + why})
	}
}

// neverMembers are members that hold a value elsewhere, in lower case and without
// the signs between words.
var neverMembers = map[string]bool{"value": true, "values": true, "valuebase64": true, "secretvalue": true, "secretstring": true, "secretbinary": true,
	"binary": true, "data": true, "stringdata": true, "string": true, "password": true, "passwd": true, "passphrase": true, "plaintext": true,
	"privatekey": true, "secretkey": true, "secretaccesskey": true, "apikey": true, "accesstoken": true, "credential": true, "credentials": true,
	"clientsecret": true, "token": true, "content": true, "payload": true}

// never tells whether a member of that name would hold a value.
func never(key string) bool {
	k := strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(key))
	return neverMembers[k] || strings.HasSuffix(k, "password") || strings.HasSuffix(k, "secretvalue")
}

const neverText = "a value never stands in a file: make the placeholder, and set it with countersign put"

// looksSecret finds texts that are secrets by their looks.
var looksSecret = []struct {
	what string
	is   *regexp.Regexp
}{
	{"a private key", regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY`)},
	{"an AWS access key", regexp.MustCompile(`\b(AKIA|ASIA)[0-9A-Z]{16}\b`)},
	{"a GitHub token", regexp.MustCompile(`\bgh[pousr]_[A-Za-z0-9]{16,}`)},
	{"a GitHub token", regexp.MustCompile(`\bgithub_pat_[A-Za-z0-9_]{16,}`)},
	{"a JSON Web Token", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*`)},
	{"a Stripe key", regexp.MustCompile(`\b[sr]k_live_[A-Za-z0-9]+`)},
	{"a Slack token", regexp.MustCompile(`\bxox[abeoprs]-[A-Za-z0-9-]+`)},
}

// scan refuses what stands nowhere in a file. It goes no further below a member
// that would hold a value. top is the outermost mapping, whose protection rules
// speak of names and tags that are there, and hold no secret.
func (r *reader) scan(n *yaml.Node, depth int, top bool) {
	switch {
	case depth > maxDepth:
		r.fail(n, "this is nested too deep")
		return
	case n.Kind == yaml.AliasNode:
		r.fail(n, "aliases are not taken")
		return
	case n.Anchor != "":
		r.fail(n, "anchors are not taken")
		return
	}
	switch n.Kind {
	case yaml.ScalarNode:
		r.looks(n, n.Value)
	case yaml.SequenceNode:
		for _, c := range n.Content {
			r.scan(c, depth+1, false)
		}
	case yaml.MappingNode:
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			switch {
			case k.Kind != yaml.ScalarNode || k.Tag == "!!merge":
				r.fail(k, "the name of a member is a text")
				continue
			case never(k.Value):
				r.fail(k, "%s: %s", k.Value, neverText)
				continue
			}
			r.scan(k, depth+1, false)
			if seen[k.Value] {
				r.fail(k, "this member is given twice in one mapping")
			}
			seen[k.Value] = true
			switch {
			case top && k.Value == "protection":
				r.scanRules(v, depth+1)
			case depth == depthOfSecret && k.Value == memberSchema:
				r.scanSchema(v, 0)
			default:
				r.scan(v, depth+1, false)
			}
		}
	}
}

// A schema stands in a secret, which stands in a list of the outermost mapping.
const (
	depthOfSecret = 2
	memberSchema  = "schema"
)

// scanRules is scan without a look at the names of members: tags are matched there.
func (r *reader) scanRules(n *yaml.Node, depth int) {
	switch {
	case depth > maxDepth:
		r.fail(n, "this is nested too deep")
		return
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.fail(n, "anchors and aliases are not taken")
		return
	}
	seen := map[string]bool{}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if c.Kind != yaml.ScalarNode || c.Tag == "!!merge" {
				r.fail(c, "the name of a member is a text")
				return
			}
			if seen[c.Value] {
				r.fail(c, "this member is given twice in one mapping")
			}
			seen[c.Value] = true
		}
		r.scanRules(c, depth+1)
	}
}
