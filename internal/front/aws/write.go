package aws

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"
)

// Writer appends JSON. It puts the commas; what is opened the caller closes.
// Members that AWS leaves out when they are absent are left out here when they
// are empty, except by those methods that say otherwise.
type Writer struct{ B []byte }

// Open begins an object or a list, '{' or '['.
func (w *Writer) Open(bracket byte) {
	w.comma()
	w.B = append(w.B, bracket)
}

// Close ends what was opened: '}' or ']'.
func (w *Writer) Close(bracket byte) { w.B = append(w.B, bracket) }

// comma separates from what stands before, on the same level.
func (w *Writer) comma() {
	if n := len(w.B); n > 0 {
		switch w.B[n-1] {
		case '{', '[', ':', ',':
		default:
			w.B = append(w.B, ',')
		}
	}
}

// Name begins a member; its value follows. Names are plain ASCII.
func (w *Writer) Name(name string) {
	w.comma()
	w.B = append(w.B, '"')
	w.B = append(w.B, name...)
	w.B = append(w.B, '"', ':')
}

// Key begins a member whose name is not one of the protocol's.
func (w *Writer) Key(name string) {
	w.comma()
	w.B = append(appendText(w.B, name), ':')
}

// Item appends a text to a list.
func (w *Writer) Item(s string) {
	w.comma()
	w.B = appendText(w.B, s)
}

// Text is a text member.
func (w *Writer) Text(name, s string) {
	if s != "" {
		w.Name(name)
		w.B = appendText(w.B, s)
	}
}

// TextAlways is Text that is there even when empty.
func (w *Writer) TextAlways(name, s string) {
	w.Name(name)
	w.B = appendText(w.B, s)
}

// TextBytes is a text member that is there even when empty.
func (w *Writer) TextBytes(name string, s []byte) {
	w.Name(name)
	w.B = appendText(w.B, s)
}

// Base64 is a member of bytes, there even when empty.
func (w *Writer) Base64(name string, data []byte) {
	w.Name(name)
	w.B = append(w.B, '"')
	w.B = base64.StdEncoding.AppendEncode(w.B, data)
	w.B = append(w.B, '"')
}

// Texts is a list of texts.
func (w *Writer) Texts(name string, list []string) {
	if len(list) == 0 {
		return
	}
	w.Name(name)
	w.Open('[')
	for _, s := range list {
		w.Item(s)
	}
	w.Close(']')
}

// Bool is a truth member.
func (w *Writer) Bool(name string, v bool) {
	w.Name(name)
	w.B = strconv.AppendBool(w.B, v)
}

// Int is a number member, left out when it is 0.
func (w *Writer) Int(name string, v int64) {
	if v != 0 {
		w.Name(name)
		w.B = strconv.AppendInt(w.B, v, 10)
	}
}

// Time is a moment in seconds since 1970, to the millisecond, left out when it
// is zero.
func (w *Writer) Time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	w.Name(name)
	ms := t.UnixMilli()
	if ms < 0 {
		ms = 0
	}
	w.B = strconv.AppendInt(w.B, ms/1000, 10)
	if ms %= 1000; ms == 0 {
		return
	}
	w.B = append(w.B, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	for w.B[len(w.B)-1] == '0' {
		w.B = w.B[:len(w.B)-1]
	}
}

// appendText appends a JSON string. What is not valid UTF-8 becomes U+FFFD.
func appendText[T string | []byte](b []byte, s T) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := decodeRune(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, s[from:i]...)
				b = append(b, "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		from = i
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

func decodeRune[T string | []byte](s T) (rune, int) {
	var b [utf8.UTFMax]byte
	return utf8.DecodeRune(b[:copy(b[:], s)])
}
