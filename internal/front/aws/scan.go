package aws

import (
	"unicode/utf16"
	"unicode/utf8"
)

// number moves past a number and returns its text (RFC 8259 section 6).
func (r *Reader) number() []byte {
	start := r.pos
	digits := func() bool {
		at := r.pos
		for c := r.peek(); c >= '0' && c <= '9'; c = r.peek() {
			r.pos++
		}
		return r.pos > at
	}
	if r.peek() == '-' {
		r.pos++
	}
	switch {
	case r.peek() == '0':
		r.pos++
	case !digits():
		r.syntax()
		return nil
	}
	if r.peek() == '.' {
		r.pos++
		if !digits() {
			r.syntax()
			return nil
		}
	}
	if c := r.peek(); c == 'e' || c == 'E' {
		r.pos++
		if c := r.peek(); c == '+' || c == '-' {
			r.pos++
		}
		if !digits() {
			r.syntax()
			return nil
		}
	}
	return r.b[start:r.pos]
}

// text moves past a string and returns what it says: a part of the body, or a
// copy when it has escapes. The reader stands at the opening quote.
func (r *Reader) text() []byte {
	start := r.pos + 1
	wide := false
	for i := start; i < len(r.b); i++ {
		switch c := r.b[i]; {
		case c == '"':
			out := r.b[start:i]
			if wide && !utf8.Valid(out) {
				r.fail("The request body is not valid UTF-8")
				return nil
			}
			r.pos = i + 1
			return out
		case c == '\\':
			return r.escaped(start, i)
		case c < ' ':
			r.pos = i
			r.syntax()
			return nil
		case c >= utf8.RuneSelf:
			wide = true
		}
	}
	r.pos = len(r.b)
	r.syntax()
	return nil
}

// escaped is text for a string whose first backslash is at i.
func (r *Reader) escaped(start, i int) []byte {
	out := append(make([]byte, 0, len(r.b)-start), r.b[start:i]...)
	for i < len(r.b) {
		c := r.b[i]
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				r.fail("The request body is not valid UTF-8")
				return nil
			}
			r.pos = i + 1
			return out
		case c < ' ':
			r.pos = i
			r.syntax()
			return nil
		case c != '\\':
			out = append(out, c)
			i++
		default:
			var n int
			if out, n = unescape(out, r.b[i:]); n == 0 {
				r.pos = i
				r.syntax()
				return nil
			}
			i += n
		}
	}
	r.pos = len(r.b)
	r.syntax()
	return nil
}

// unescape appends what the escape at the beginning of b stands for, and
// returns how long it is, or 0 when it is none.
func unescape(out, b []byte) ([]byte, int) {
	if len(b) < 2 {
		return out, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return append(out, b[1]), 2
	case 'b':
		return append(out, '\b'), 2
	case 'f':
		return append(out, '\f'), 2
	case 'n':
		return append(out, '\n'), 2
	case 'r':
		return append(out, '\r'), 2
	case 't':
		return append(out, '\t'), 2
	case 'u':
	default:
		return out, 0
	}
	c, ok := hex4(b[2:])
	if !ok {
		return out, 0
	}
	if !utf16.IsSurrogate(c) {
		return utf8.AppendRune(out, c), 6
	}
	if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
		return out, 0
	}
	low, ok := hex4(b[8:])
	if c = utf16.DecodeRune(c, low); !ok || c == utf8.RuneError {
		return out, 0
	}
	return utf8.AppendRune(out, c), 12
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var v rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			v = v<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
