package render

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"countersign/internal/cli/change/reading"
)

// spell shows a value so that two different values never look the same and none
// can move the cursor: plain where it is printable and cannot be taken for a
// quoted one, and else in double quotes with escapes, as Go and JSON read them.
func spell(s *reading.Side) string {
	b := s.Data.Reveal()
	if s.Binary {
		return "base64:" + base64.StdEncoding.EncodeToString(b)
	}
	return spellText(string(b))
}

func spellText(t string) string {
	if t == "" || strings.HasPrefix(t, `"`) || strings.HasPrefix(t, "base64:") || strings.TrimSpace(t) != t || strings.Contains(t, arrow) ||
		!utf8.ValidString(t) || strings.ContainsFunc(t, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) {
		return strconv.Quote(t)
	}
	return t
}

// arrow stands between what a value was and what it becomes.
const arrow = " → "

// spellKey shows a key, which must not be taken for a key with a value. No key
// is the whole of a value that has none.
func spellKey(k string) string {
	if k == "" {
		return "(the whole value)"
	}
	if strings.ContainsAny(k, "=: ") {
		return strconv.Quote(k)
	}
	return spellText(k)
}
