package dotenv

import (
	"bytes"
	"unicode/utf8"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// Parse reads a file. It keeps no reference to text. An error is of kind
// errs.Invalid or errs.Limit and begins with the line, where one is at fault.
func Parse(text []byte) (*File, error) {
	if len(text) > MaxSize {
		return nil, errs.New(errs.Limit, "the file is larger than %d bytes", MaxSize)
	}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return nil, refuse(lineOf(text, i), "a NUL, which no variable can hold")
	}
	if i := firstInvalid(text); i >= 0 {
		return nil, refuse(lineOf(text, i), "not UTF-8")
	}
	text, marked := bytes.CutPrefix(bytes.Clone(text), []byte(bom))
	nl := bytes.IndexByte(text, '\n')
	p := parser{text: text, line: 1, file: &File{
		bom:  marked,
		crlf: nl > 0 && text[nl-1] == '\r',
		at:   map[string]int{},
	}}
	if err := p.run(); err != nil {
		return nil, err
	}
	return p.file, nil
}

// refuse names a line. The arguments must not hold text of the file beside a
// valid key: a line that cannot be read may be the middle of a value.
func refuse(line int, format string, args ...any) error {
	return errs.New(errs.Invalid, "line %d: "+format, append([]any{line}, args...)...)
}

func lineOf(text []byte, i int) int { return 1 + bytes.Count(text[:i], []byte("\n")) }

// firstInvalid is the offset of what is no UTF-8, or -1.
func firstInvalid(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

type parser struct {
	text []byte
	pos  int
	line int // of pos
	file *File
}

func (p *parser) run() error {
	gap := 0 // where the comments and blank lines before the line begin
	for p.pos < len(p.text) {
		start := p.pos
		p.blanks()
		if c := p.peek(); c != 0 && c != '#' && c != '\n' && c != '\r' {
			p.gap(gap, start)
			if err := p.assignment(start); err != nil {
				return err
			}
			gap = p.pos
			continue
		}
		if _, err := p.body(); err != nil {
			return err
		}
		p.end()
	}
	p.gap(gap, len(p.text))
	return nil
}

// gap keeps comments and blank lines.
func (p *parser) gap(from, to int) {
	if from < to {
		p.file.items = append(p.file.items, item{after: p.part(from, to)})
	}
}

func (p *parser) part(from, to int) sensitive.Bytes { return sensitive.New(p.text[from:to:to]) }

// peek is the next byte, or 0 at the end of the file, which has no other NUL.
func (p *parser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func (p *parser) blanks() {
	for isBlank(p.peek()) {
		p.pos++
	}
}

// body is the rest of the line without its end; p stays before it.
func (p *parser) body() ([]byte, error) {
	rest := p.text[p.pos:]
	if n := bytes.IndexByte(rest, '\n'); n >= 0 {
		rest = bytes.TrimSuffix(rest[:n], []byte("\r"))
	}
	if bytes.IndexByte(rest, '\r') >= 0 {
		return nil, refuse(p.line, "a carriage return within the line, which some readers take for its end")
	}
	return rest, nil
}

// end goes behind the end of the line.
func (p *parser) end() {
	n := bytes.IndexByte(p.text[p.pos:], '\n')
	if n < 0 {
		p.pos = len(p.text)
		return
	}
	p.pos += n + 1
	p.line++
}

// assignment reads one that begins, with its indentation, at start.
func (p *parser) assignment(start int) error {
	it := item{line: p.line}
	var err error
	if it.key, err = p.key(); err != nil {
		return err
	}
	if i, twice := p.file.at[it.key]; twice {
		return refuse(p.line, "key %q again: it is on line %d already", it.key, p.file.items[i].line)
	}
	if len(p.file.at) == MaxKeys {
		return errs.New(errs.Limit, "line %d: more than %d variables", p.line, MaxKeys)
	}
	assigned := p.pos
	p.blanks()
	from := p.pos
	switch c := p.peek(); c {
	case '\'', '"', '`':
		it.value, err = p.quoted(it.key, c)
	default:
		if it.value, err = p.unquoted(assigned); it.value.Len() == 0 {
			from, p.pos = assigned, assigned // the blanks belong to what follows
		}
	}
	if err != nil {
		return err
	}
	it.before, it.spelled = string(p.text[start:from]), p.part(from, p.pos)
	tail := p.pos
	p.end()
	it.after = p.part(tail, p.pos)
	p.file.at[it.key] = len(p.file.items)
	p.file.items = append(p.file.items, it)
	return nil
}

// key reads everything up to "=", which it passes.
func (p *parser) key() (string, error) {
	line, err := p.body()
	if err != nil {
		return "", err
	}
	left, _, ok := bytes.Cut(line, []byte("="))
	if !ok {
		return "", refuse(p.line, `neither KEY=VALUE nor a comment; a value of several lines stands in quotes, a comment begins with "#"`)
	}
	p.pos += len(left) + 1
	name := bytes.TrimRight(left, " \t")
	if rest, ok := bytes.CutPrefix(name, []byte("export")); ok && len(rest) > 0 && isBlank(rest[0]) {
		name = bytes.TrimLeft(rest, " \t")
	}
	switch {
	case !ValidKey(string(name)):
		return "", refuse(p.line, `what stands before "=" is no name of a variable: %s`, keyRule)
	case len(name) > MaxKey:
		return "", errs.New(errs.Limit, "line %d: the key is longer than %d bytes", p.line, MaxKey)
	}
	return string(name), nil
}

// unquoted reads a value, whose "=" ends at assigned, and stops behind it.
func (p *parser) unquoted(assigned int) (sensitive.Bytes, error) {
	from := p.pos
	v, err := p.body()
	if err != nil {
		return sensitive.Bytes{}, err
	}
	for i, c := range v {
		if c == '#' && from+i > assigned && isBlank(p.text[from+i-1]) {
			v = v[:i]
			break
		}
	}
	v = bytes.TrimRight(v, " \t")
	p.pos += len(v)
	return p.part(from, p.pos), nil
}

// quoted reads a value from its opening quote on, and stops behind the closing
// one, whose line must have nothing more than a comment.
func (p *parser) quoted(key string, quote byte) (sensitive.Bytes, error) {
	opened, from := p.line, p.pos+1
	to := closing(p.text, from, quote)
	if to < 0 {
		return sensitive.Bytes{}, refuse(opened, "%s: the quote %c that begins the value is not closed", key, quote)
	}
	value := p.part(from, to)
	if quote == '"' {
		value = sensitive.New(unescape(p.text[from:to]))
	}
	p.line += bytes.Count(p.text[from:to], []byte("\n"))
	p.pos = to + 1
	rest, err := p.body()
	if err != nil {
		return sensitive.Bytes{}, err
	}
	text := bytes.TrimLeft(rest, " \t")
	if len(text) == 0 || text[0] == '#' && len(text) < len(rest) {
		return value, nil
	}
	hint := ""
	if quote != '"' {
		hint = `; a backslash escapes in double quotes only`
	}
	return sensitive.Bytes{}, refuse(p.line, "%s: text after the quote %c that closes the value, which began on line %d%s", key, quote, opened, hint)
}

// closing is the offset of the quote that ends a value, or -1.
func closing(text []byte, from int, quote byte) int {
	for i := from; i < len(text); i++ {
		switch {
		case text[i] == quote:
			return i
		case text[i] == '\\' && quote == '"':
			i++
		}
	}
	return -1
}

// escapes are what a backslash and a character stand for within double quotes.
var escapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '"': '"', '$': '$', '`': '`'}

func unescape(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			if c, ok := escapes[text[i+1]]; ok {
				out = append(out, c)
				i++
				continue
			}
		}
		out = append(out, text[i])
	}
	return out
}
