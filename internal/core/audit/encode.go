package audit

import (
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of what a record keeps, in bytes of UTF-8 unless said otherwise. What
// is longer is cut between characters. They bound a line well under maxLine
// even when every character must be escaped.
const (
	maxText     = 256  // every string that has no limit of its own
	maxResource = 2048 // Record.Resource; Resource and Policy of a decision
	maxMissing  = 1024 // one sentence of Decision.Missing
	maxMissings = 16   // sentences
	maxKeys     = 512  // keys; the rest is counted in KeysOmitted
	maxKeyBytes = 32 << 10
	maxLine     = 512 << 10
)

// appendRecord appends the members of a record from "id" on, each with the
// comma before it, so that the sequence number can be put in front and the
// chain behind once the record's place in the log is known. It is the only
// writer of record lines: written by hand, because it runs once per request.
func appendRecord(b []byte, r *Record) []byte {
	b = append(b, `,"id":"`...)
	b = appendText(b, r.ID, maxText)
	b = append(b, `","time":"`...)
	b = appendTime(b, normTime(r.Time))
	b = append(b, '"')
	b = appendUint(b, `,"duration_ns":`, uint64(max(r.Duration, 0)))
	b = appendField(b, `,"request_id":"`, r.RequestID, maxText)
	b = appendField(b, `,"account":"`, r.Account, maxText)
	if r.Principal != (Principal{}) {
		b = appendPrincipal(b, &r.Principal)
	}
	b = appendField(b, `,"front":"`, r.Front, maxText)
	b = appendField(b, `,"operation":"`, r.Operation, maxText)
	b = appendField(b, `,"resource":"`, r.Resource, maxResource)
	b = appendField(b, `,"region":"`, r.Region, maxText)
	b = appendUint(b, `,"version":`, r.Version)
	b = appendKeys(b, r.Keys, r.KeysOmitted)
	b = appendField(b, `,"change":"`, r.Change, maxText)
	b = appendField(b, `,"source":"`, r.Source, maxText)
	b = appendField(b, `,"agent":"`, r.Agent, maxText)
	b = appendField(b, `,"outcome":"`, string(r.Outcome), maxText)
	b = appendField(b, `,"error":"`, r.Error, maxText)
	if r.Decision != nil {
		b = appendDecision(b, r.Decision)
	}
	return b
}

func appendPrincipal(b []byte, p *Principal) []byte {
	b = append(b, `,"principal":{`...)
	mark := len(b)
	b = appendField(b, `,"kind":"`, p.Kind, maxText)
	b = appendField(b, `,"name":"`, p.Name, maxText)
	b = appendField(b, `,"key_id":"`, p.KeyID, maxText)
	b = appendField(b, `,"proof":"`, p.Proof, maxText)
	b = appendField(b, `,"account":"`, p.Account, maxText)
	return closeObject(b, mark)
}

func appendDecision(b []byte, d *Decision) []byte {
	b = append(b, `,"decision":{`...)
	mark := len(b)
	b = appendField(b, `,"id":"`, d.ID, maxText)
	b = appendField(b, `,"effect":"`, d.Effect, maxText)
	b = appendField(b, `,"action":"`, d.Action, maxText)
	b = appendField(b, `,"resource":"`, d.Resource, maxResource)
	b = appendField(b, `,"policy":"`, d.Policy, maxResource)
	b = appendField(b, `,"statement":"`, d.Statement, maxText)
	if n := min(len(d.Missing), maxMissings); n > 0 {
		b = append(b, `,"missing":`...)
		b = appendList(b, d.Missing[:n], maxMissing)
	}
	return closeObject(b, mark)
}

// closeObject ends an object whose members, from mark on, each begin with a
// comma: the first one is dropped.
func closeObject(b []byte, mark int) []byte {
	if len(b) > mark {
		b = append(b[:mark], b[mark+1:]...)
	}
	return append(b, '}')
}

func appendKeys(b []byte, keys []string, omitted uint64) []byte {
	n := keptKeys(keys)
	if n > 0 {
		b = append(b, `,"keys":`...)
		b = appendList(b, keys[:n], maxText)
	}
	return appendUint(b, `,"keys_omitted":`, omitted+uint64(len(keys)-n))
}

// keptKeys is how many of the keys are listed.
func keptKeys(keys []string) int {
	size := 0
	for i, k := range keys {
		size += len(normText(k, maxText))
		if i == maxKeys || size > maxKeyBytes {
			return i
		}
	}
	return len(keys)
}

func appendList(b []byte, list []string, limit int) []byte {
	for i, s := range list {
		b = append(b, "[,"[min(i, 1)], '"')
		b = appendText(b, s, limit)
		b = append(b, '"')
	}
	return append(b, ']')
}

// appendField appends a string member unless it is empty. A string that is
// not empty never becomes empty by normalization, because every limit leaves
// room for one character.
func appendField(b []byte, name, s string, limit int) []byte {
	if s == "" {
		return b
	}
	b = append(b, name...)
	b = appendText(b, s, limit)
	return append(b, '"')
}

func appendUint(b []byte, name string, v uint64) []byte {
	if v == 0 {
		return b
	}
	return strconv.AppendUint(append(b, name...), v, 10)
}

// plain reports whether an ASCII byte stands for itself in a JSON string.
func plain(c byte) bool { return c >= ' ' && c < 0x7f && c != '"' && c != '\\' }

// appendText appends s as the inside of a JSON string, at most limit bytes of
// it. Nothing that could begin a line, move a cursor or reorder text on a
// screen is left as it is: see escaped.
func appendText(b []byte, s string, limit int) []byte {
	n := min(len(s), limit)
	for i := range n {
		if !plain(s[i]) {
			return appendEscaped(append(b, s[:i]...), s[i:], limit-i)
		}
	}
	return append(b, s[:n]...)
}

const hexDigits = "0123456789abcdef"

func appendEscaped(b []byte, s string, limit int) []byte {
	used := 0
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		i += size
		if used += utf8.RuneLen(r); used > limit {
			break
		}
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case !escaped(r):
			b = utf8.AppendRune(b, r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			b = appendUnicode(appendUnicode(b, hi), lo)
		default:
			b = appendUnicode(b, r)
		}
	}
	return b
}

func appendUnicode(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// escaped reports whether a character is written as \uXXXX: control
// characters (C0, DEL, C1), line and paragraph separators, and format
// characters, which include those that reverse the direction of text.
func escaped(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// normText is what appendText keeps of s. It allocates only when something
// has to be replaced.
func normText(s string, limit int) string {
	ascii := true
	for i := range min(len(s), limit) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return s[:min(len(s), limit)]
	}
	if len(s) <= limit && utf8.ValidString(s) {
		return s
	}
	out := make([]byte, 0, limit)
	for _, r := range s {
		if len(out)+utf8.RuneLen(r) > limit {
			break
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

// normTime is the time as it is kept: UTC, and the zero time when RFC 3339
// cannot spell the year.
func normTime(t time.Time) time.Time {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return time.Time{}
	}
	return t
}

// timeLen is the length of a time in a record: all nine digits are written,
// so that times compare as text.
const timeLen = len("2006-01-02T15:04:05.000000000Z")

func appendTime(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, sec := t.Clock()
	b = append(b,
		byte('0'+year/1000), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-',
		byte('0'+month/10), byte('0'+month%10), '-', byte('0'+day/10), byte('0'+day%10), 'T',
		byte('0'+hour/10), byte('0'+hour%10), ':', byte('0'+minute/10), byte('0'+minute%10), ':',
		byte('0'+sec/10), byte('0'+sec%10), '.')
	var frac [9]byte
	for i, ns := len(frac)-1, t.Nanosecond(); i >= 0; i-- {
		frac[i] = byte('0' + ns%10)
		ns /= 10
	}
	return append(append(b, frac[:]...), 'Z')
}
