// Package dotenv reads and writes the files of variables that are usually
// called .env, and loses nothing: a file that was read and not changed is
// written byte for byte, and what is changed touches its own line alone.
//
// # Grammar
//
// A file is UTF-8 without NUL, perhaps with a byte order mark. Lines end with
// LF or CRLF; the last may end with neither. A blank is a space or a tab.
//
//		file       = { line }
//		line       = [blanks] ( comment | assignment | nothing ) end
//		comment    = "#" anything up to the end of the line
//		assignment = ["export" blanks] key [blanks] "=" [blanks] value [blanks comment | blanks]
//		key        = (A-Z | a-z | "_") { A-Z | a-z | 0-9 | "_" }
//		value      = unquoted | '...' | "..." | `...`
//
//	  - Unquoted: up to the end of the line or a "#" that follows a blank,
//	    without blanks around it. Every character stands for itself, quotes and
//	    backslashes within the value included. It may be empty.
//	  - '...' and `...`: everything up to the next such quote, line ends too,
//	    stands for itself. Nothing escapes.
//	  - "...": may have line ends. \n \r \t are line feed, carriage return and
//	    tab; \\ \" \$ \` are the character after the backslash; any other
//	    backslash stands for itself, and so does the character that follows it.
//
// A $ is a $: no variable or command is put in, in any kind of value. A key
// occurs once. A carriage return outside quotes is part of a CRLF.
//
// # Where other readers disagree
//
// There is no specification. These are the differences between the shell (set
// -a; . file), node's dotenv 16, python-dotenv and Docker Compose that matter,
// and what is decided here.
//
//   - Variables: the shell, Compose and python-dotenv put in $NAME or ${NAME}
//     outside single quotes (python-dotenv ${NAME} inside them too); node does
//     not, nor does this package, because a secret with a $ is a secret.
//   - Backslashes in "...": the shell knows \\ \" \$ \` and no \n; node knows
//     \n and \r and nothing else; Compose and python-dotenv know both. All of
//     them are read here.
//   - '...': for node and python-dotenv \' does not end the value, for the
//     shell it does, as here; what then follows is refused, not guessed at.
//   - `...`: node quotes with it, the shell runs a command. It is read as node
//     does, and never written.
//   - a#b: node cuts an unquoted value at the "#"; nobody else does, nor this
//     package.
//   - A CRLF within quotes is kept, as the shell does; others make it LF.
//   - KEY without "=", KEY: value, text after a closing quote, an unterminated
//     quote and a repeated key mean something different to each, if anything.
//     They are refused. So are keys that a shell does not take, such as a.b.
//
// # Writing
//
// A value is spelled in the first of these ways that the shell and node read
// as this package does: bare when it is made of letters, digits and
// punctuation that means nothing anywhere; in single quotes; in double quotes
// with backslashes. Two sorts of value have no spelling that both read:
// one with an apostrophe and any of \ " $ `, which is written for the shell,
// and one with a carriage return, which is written as \r, since a raw one does
// not survive editors and version control and node would not read it. In a
// file of CRLF lines, line feeds are written as \n for the same reason. Shell,
// the function, writes every value for the shell. (python-dotenv takes a
// backslash at the end of a value in single quotes for an escape.)
//
// # Secrets
//
// Values, and comments since they often hold yesterday's value, are
// sensitive.Bytes. No error holds any part of a value, nor of a line that
// could not be read: only its number, and the key when that is one.
//
// A File must not be used by several goroutines at once while one changes it.
package dotenv

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// Limits of what is read and written. Passing one is an error of kind
// errs.Limit.
const (
	MaxSize = 4 << 20 // bytes of a file
	MaxKeys = 4096    // variables of a file
	MaxKey  = 256     // bytes of a key
)

// Pair is a variable.
type Pair struct {
	Key   string
	Value sensitive.Bytes
}

// File is a file of variables with everything that stands around them. The
// zero File is an empty one.
type File struct {
	bom   bool
	crlf  bool // how the first line ends, and so every line that is added
	items []item
	at    map[string]int // key -> index in items
}

// item is an assignment, or a run of comments and blank lines.
type item struct {
	key     string          // empty for comments and blank lines
	before  string          // of an assignment: everything before the value
	spelled sensitive.Bytes // the value as it stands in the file
	after   sensitive.Bytes // what follows up to the next item, line end included
	value   sensitive.Bytes
	line    int // where it was read; 0 when it was added
}

// Get returns the value of a key, and whether there is one.
func (f *File) Get(key string) (sensitive.Bytes, bool) {
	i, ok := f.at[key]
	if !ok {
		return sensitive.Bytes{}, false
	}
	return f.items[i].value, true
}

// Keys are the keys in the order of the file.
func (f *File) Keys() []string {
	out := make([]string, 0, len(f.at))
	for _, it := range f.items {
		if it.key != "" {
			out = append(out, it.key)
		}
	}
	return out
}

// Pairs are the variables in the order of the file.
func (f *File) Pairs() []Pair {
	out := make([]Pair, 0, len(f.at))
	for _, it := range f.items {
		if it.key != "" {
			out = append(out, Pair{it.key, it.value})
		}
	}
	return out
}

// Bytes is the text of the file: of one that was not changed, what Parse got.
func (f *File) Bytes() sensitive.Bytes {
	out := make([]byte, 0, f.size())
	if f.bom {
		out = append(out, bom...)
	}
	for _, it := range f.items {
		out = append(out, it.before...)
		out = append(out, it.spelled.Reveal()...)
		out = append(out, it.after.Reveal()...)
	}
	return sensitive.New(out)
}

// bom is the byte order mark that some editors begin a file with.
const bom = "\uFEFF"

func (f *File) size() int {
	n := 0
	if f.bom {
		n = len(bom)
	}
	for _, it := range f.items {
		n += len(it.before) + it.spelled.Len() + it.after.Len()
	}
	return n
}

// Set gives a key a value. An existing one keeps its place, its "export" and
// its comment, and its very spelling when the value is the same; a new one
// goes to the end. After an error the file is as it was.
func (f *File) Set(key string, value sensitive.Bytes) error {
	if err := checkPair(Pair{key, value}); err != nil {
		return err
	}
	next := f.clone()
	next.put(Pair{key, value})
	return f.become(next)
}

// Unset removes a key with its line, and reports whether there was one.
func (f *File) Unset(key string) bool {
	i, ok := f.at[key]
	if ok {
		f.items = slices.Delete(f.items, i, i+1)
		f.index()
	}
	return ok
}

// Changes are the keys that an update touched, each list in its file's order.
type Changes struct {
	Added, Changed, Removed []string
}

// Update makes a file hold exactly the variables of want: what is there and
// differs is changed in place, what is missing goes to the end in the order of
// want, what is not wanted is dropped with its line. Comments and blank lines
// stay. After an error the file is as it was.
func Update(f *File, want []Pair) (Changes, error) {
	if err := checkPairs(want); err != nil {
		return Changes{}, err
	}
	wanted := make(map[string]bool, len(want))
	for _, p := range want {
		wanted[p.Key] = true
	}
	var done Changes
	next := f.clone()
	next.items = slices.DeleteFunc(next.items, func(it item) bool {
		drop := it.key != "" && !wanted[it.key]
		if drop {
			done.Removed = append(done.Removed, it.key)
		}
		return drop
	})
	next.index()
	changed := map[string]bool{}
	for _, p := range want {
		old, ok := next.Get(p.Key)
		switch {
		case !ok:
			done.Added = append(done.Added, p.Key)
		case !old.Equal(p.Value):
			changed[p.Key] = true
		}
		next.put(p)
	}
	for _, k := range next.Keys() {
		if changed[k] {
			done.Changed = append(done.Changed, k)
		}
	}
	if err := f.become(next); err != nil {
		return Changes{}, err
	}
	return done, nil
}

// Encode is a new file of these variables.
func Encode(pairs []Pair) (sensitive.Bytes, error) {
	var f File
	if _, err := Update(&f, pairs); err != nil {
		return sensitive.Bytes{}, err
	}
	return f.Bytes(), nil
}

func (f *File) clone() *File {
	next := &File{bom: f.bom, crlf: f.crlf, items: slices.Clone(f.items)}
	next.index()
	return next
}

// become takes over a changed clone unless it passes a limit, so that what is
// written can be read again.
func (f *File) become(next *File) error {
	if len(next.at) > MaxKeys {
		return errs.New(errs.Limit, "more than %d variables", MaxKeys)
	}
	if next.size() > MaxSize {
		return errs.New(errs.Limit, "the file would be larger than %d bytes", MaxSize)
	}
	*f = *next
	return nil
}

func (f *File) index() {
	f.at = make(map[string]int, len(f.items))
	for i, it := range f.items {
		if it.key != "" {
			f.at[it.key] = i
		}
	}
}

// put sets a pair that was checked.
func (f *File) put(p Pair) {
	if i, ok := f.at[p.Key]; ok {
		it := &f.items[i]
		if !it.value.Equal(p.Value) {
			it.value, it.spelled = p.Value, sensitive.New(spell(p.Value.Reveal(), f.crlf))
		}
		return
	}
	end := "\n"
	if f.crlf {
		end = "\r\n"
	}
	if n := len(f.items); n > 0 {
		last := &f.items[n-1]
		if text := last.after.Reveal(); !bytes.HasSuffix(text, []byte("\n")) {
			last.after = sensitive.New(append(slices.Clip(text), end...))
		}
	}
	f.items = append(f.items, item{
		key:     p.Key,
		before:  p.Key + "=",
		spelled: sensitive.New(spell(p.Value.Reveal(), f.crlf)),
		after:   sensitive.FromString(end),
		value:   p.Value,
	})
	f.at[p.Key] = len(f.items) - 1
}

// checkPairs refuses what no file and no environment can hold.
func checkPairs(pairs []Pair) error {
	if len(pairs) > MaxKeys {
		return errs.New(errs.Limit, "more than %d variables", MaxKeys)
	}
	seen := make(map[string]bool, len(pairs))
	for _, p := range pairs {
		if err := checkPair(p); err != nil {
			return err
		}
		if seen[p.Key] {
			return errs.New(errs.Invalid, "key %q is given twice", p.Key)
		}
		seen[p.Key] = true
	}
	return nil
}

func checkPair(p Pair) error {
	switch v := p.Value.Reveal(); {
	case len(p.Key) > MaxKey:
		return errs.New(errs.Limit, "a key of %d bytes is longer than %d", len(p.Key), MaxKey)
	case !ValidKey(p.Key):
		return errs.New(errs.Invalid, "%q is no name of a variable: %s", p.Key, keyRule)
	case bytes.IndexByte(v, 0) >= 0:
		return errs.New(errs.Invalid, "%s: the value has a NUL, which no variable can hold", p.Key)
	case !utf8.Valid(v):
		return errs.New(errs.Invalid, "%s: the value is not UTF-8", p.Key)
	}
	return nil
}

const keyRule = "letters, digits and _ of ASCII, and no digit first"

// ValidKey reports whether a shell, and so this package, takes a name for that
// of a variable. It says nothing of the length.
func ValidKey(key string) bool {
	for i := range len(key) {
		c := key[i]
		if !(c == '_' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || i > 0 && '0' <= c && c <= '9') {
			return false
		}
	}
	return key != ""
}
