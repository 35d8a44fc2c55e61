package policy

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// pieceKind is what one piece of a pattern stands for.
type pieceKind uint8

const (
	pieceText     pieceKind = iota // this text
	pieceVar                       // the value of a policy variable, as text
	pieceOne                       // any one character
	pieceOneHere                   // any one character but a colon
	pieceStar                      // any characters
	pieceStarHere                  // any characters but colons
)

// piece is one part of a pattern. A text piece is never empty.
type piece struct {
	kind pieceKind
	text string    // of pieceText
	v    *variable // of pieceVar
}

// variable is a policy variable, ${key} or ${key, 'default'}.
type variable struct {
	key        keyRef
	name       string // as written
	fallback   string
	hasDefault bool
}

// pattern is a compiled pattern, to be matched against a whole text.
type pattern struct {
	source string
	pieces []piece
	vars   bool   // some piece is a variable
	here   bool   // some piece is a pieceStarHere: matching needs the slower way
	plain  bool   // the source is a literal: no wildcard, no variable
	all    bool   // matches every text: "*"
	colons int    // how many colons stand in it
	tail   string // text between the fifth colon and the next wildcard
}

// place says where a text has its colons, so that the patterns of many
// statements need not look for them each.
type place struct {
	colons int
	tail   int // index after the fifth colon, or the length
}

func placeOf(s string) place {
	at := place{tail: len(s)}
	for i := range len(s) {
		if s[i] == ':' {
			if at.colons++; at.colons == 5 {
				at.tail = i + 1
			}
		}
	}
	return at
}

// cannot tells quickly, of most patterns that do not match, that they do not.
// When text and pattern have as many colons, no wildcard matches one, so that
// what follows the fifth colon must agree.
func (p *pattern) cannot(s string, at place) bool {
	if p.vars || p.all {
		return false
	}
	return at.colons < p.colons || at.colons == p.colons && !strings.HasPrefix(s[at.tail:], p.tail)
}

// Where a pattern stands decides what its wildcards mean.
type patternMode uint8

const (
	literal  patternMode = iota // "*" and "?" are themselves
	wildcard                    // they match anything
	arnWild                     // they keep to the segments of an ARN
)

// parsePattern compiles a pattern. With vars, ${...} is a variable, or one of
// the escapes ${*}, ${?} and ${$}; without, it is literal text.
func parsePattern(src string, mode patternMode, vars bool) (pattern, error) {
	p := pattern{source: src}
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			p.pieces = append(p.pieces, piece{kind: pieceText, text: text.String()})
			text.Reset()
		}
	}
	colons := 0
	for i := 0; i < len(src); {
		c := src[i]
		switch {
		case vars && strings.HasPrefix(src[i:], "${"):
			v, esc, n, err := parseVariable(src[i:])
			if err != nil {
				return pattern{}, err
			}
			i += n
			if v == nil {
				text.WriteByte(esc)
				continue
			}
			if mode == arnWild && colons < 5 {
				return pattern{}, malformed("variable ${%s} stands before the fifth colon", clip(v.name, maxQuoted))
			}
			flush()
			p.pieces = append(p.pieces, piece{kind: pieceVar, v: v})
			p.vars = true
			continue
		case mode != literal && (c == '*' || c == '?'):
			flush()
			p.wild(c, mode == arnWild && colons < 5, i+1 == len(src) || src[i+1] == ':')
		default:
			if c == ':' {
				colons++
			}
			text.WriteByte(c)
		}
		i++
	}
	flush()
	p.here = slices.ContainsFunc(p.pieces, func(pc piece) bool { return pc.kind == pieceStarHere })
	p.plain = len(p.pieces) == 0 || len(p.pieces) == 1 && p.pieces[0].kind == pieceText
	p.all = len(p.pieces) == 1 && p.pieces[0].kind == pieceStar
	p.index()
	return p, nil
}

// index prepares for cannot.
func (p *pattern) index() {
	for _, pc := range p.pieces {
		if pc.kind != pieceText {
			continue
		}
		for i := range len(pc.text) {
			if pc.text[i] == ':' {
				if p.colons++; p.colons == 5 {
					p.tail = pc.text[i+1:]
				}
			}
		}
	}
}

// wild adds a wildcard. In one of the first five segments of an ARN it keeps to
// its segment, except that a star that ends the segment does not.
func (p *pattern) wild(c byte, segment, last bool) {
	kind := pieceOne
	switch {
	case c == '*' && (!segment || last):
		kind = pieceStar
	case c == '*':
		kind = pieceStarHere
	case segment:
		kind = pieceOneHere
	}
	if n := len(p.pieces); c == '*' && n > 0 {
		// Of two stars in a row the wider one says it all.
		switch prev := &p.pieces[n-1]; prev.kind {
		case pieceStar:
			return
		case pieceStarHere:
			prev.kind = kind
			return
		}
	}
	p.pieces = append(p.pieces, piece{kind: kind})
}

// parseVariable reads the ${...} that s begins with. It returns the variable,
// or the character that an escape stands for, and how many bytes it took.
func parseVariable(s string) (*variable, byte, int, error) {
	if len(s) >= 4 && s[3] == '}' && strings.IndexByte("*?$", s[2]) >= 0 {
		return nil, s[2], 4, nil
	}
	end := strings.IndexAny(s, ",}")
	if end < 0 {
		return nil, 0, 0, malformed("variable %s has no closing brace", quote(s))
	}
	v := &variable{name: strings.TrimSpace(s[2:end])}
	if !isKey(v.name) {
		return nil, 0, 0, malformed("%s is not a policy variable", quote(s[:end+1]))
	}
	v.key = parseKey(v.name)
	if s[end] == '}' {
		return v, 0, end + 1, nil
	}
	rest := strings.TrimLeft(s[end+1:], " ")
	text, after, ok := quoted(rest)
	after = strings.TrimLeft(after, " ")
	if !ok || !strings.HasPrefix(after, "}") {
		return nil, 0, 0, malformed("the default of variable %s is not in single quotes", quote(v.name))
	}
	v.fallback, v.hasDefault = text, true
	return v, 0, len(s) - len(after) + 1, nil
}

// quoted reads a single-quoted text; two quotes are one.
func quoted(s string) (text, after string, ok bool) {
	if !strings.HasPrefix(s, "'") {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), s[i+1:], true
	}
	return "", "", false
}

// expand returns the pattern's pieces with variables replaced by their values as
// literal text. It returns false when a variable has no value, or several.
func (p *pattern) expand(req *Request) ([]piece, bool) {
	if !p.vars {
		return p.pieces, true
	}
	out := make([]piece, 0, len(p.pieces))
	for _, pc := range p.pieces {
		if pc.kind == pieceVar {
			text, ok := pc.v.value(req)
			if !ok {
				return nil, false
			}
			if text == "" {
				continue
			}
			pc = piece{kind: pieceText, text: text}
		}
		out = append(out, pc)
	}
	return out, true
}

func (v *variable) value(req *Request) (string, bool) {
	var buf [2]string
	vals := req.values(v.key, buf[:0])
	switch {
	case len(vals) == 1:
		return vals[0], true
	case len(vals) == 0 && v.hasDefault:
		return v.fallback, true
	}
	return "", false
}

// text returns the pattern as literal text, for operators without wildcards.
func (p *pattern) text(req *Request) (string, bool) {
	if !p.vars {
		if len(p.pieces) == 0 {
			return "", true
		}
		if len(p.pieces) == 1 {
			return p.pieces[0].text, true
		}
	}
	pieces, ok := p.expand(req)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for _, pc := range pieces {
		b.WriteString(pc.text)
	}
	return b.String(), true
}

// match reports whether the pattern covers the whole of s; known is false when
// a variable could not be resolved, and then matched is too.
func (p *pattern) match(s string, req *Request) (matched, known bool) {
	switch {
	case p.all:
		return true, true
	case p.plain:
		if len(p.pieces) == 0 {
			return s == "", true
		}
		return s == p.pieces[0].text, true
	}
	pieces, ok := p.expand(req)
	if !ok {
		return false, false
	}
	if shortest(pieces) > len(s) {
		return false, true // so that a long pattern costs no more than a long text
	}
	if p.here {
		return matchSegments(pieces, s), true
	}
	return matchPieces(pieces, s), true
}

// shortest is the least number of bytes that pieces can match.
func shortest(pieces []piece) int {
	n := 0
	for i := range pieces {
		switch pc := &pieces[i]; pc.kind {
		case pieceText:
			n += len(pc.text)
		case pieceOne, pieceOneHere:
			n++
		}
	}
	return n
}

// step matches one piece that is no star at the start of s and returns how many
// bytes it took, or -1.
func (pc *piece) step(s string) int {
	switch pc.kind {
	case pieceText:
		if strings.HasPrefix(s, pc.text) {
			return len(pc.text)
		}
		return -1
	case pieceOne, pieceOneHere:
		if s == "" || pc.kind == pieceOneHere && s[0] == ':' {
			return -1
		}
		if s[0] < utf8.RuneSelf {
			return 1
		}
		_, n := utf8.DecodeRuneInString(s)
		return n
	}
	return -1
}

// matchPieces matches pieces without pieceStarHere. Only the last star met is
// ever retried, each time one character further on: what stands between two
// stars has a fixed shape, so its leftmost place is as good as any. The time is
// at most pieces times text.
func matchPieces(pieces []piece, s string) bool {
	star, back := -1, 0 // piece after the last star, and where in s it was tried
	i, at := 0, 0
	for {
		switch {
		case i < len(pieces) && pieces[i].kind == pieceStar:
			if i++; i == len(pieces) {
				return true
			}
			star, back = i, at
		case i < len(pieces):
			if n := pieces[i].step(s[at:]); n >= 0 {
				i, at = i+1, at+n
				continue
			}
			fallthrough
		default:
			if i == len(pieces) && at == len(s) {
				return true
			}
			if star < 0 || back >= len(s) {
				return false
			}
			back = nextTry(pieces[star], s, back)
			if back < 0 {
				return false
			}
			i, at = star, back
		}
	}
}

// nextTry is the next place after back where the piece after a star may begin.
func nextTry(pc piece, s string, back int) int {
	_, n := utf8.DecodeRuneInString(s[back:])
	back += n
	if pc.kind != pieceText {
		return back
	}
	k := strings.Index(s[back:], pc.text)
	if k < 0 {
		return -1
	}
	return back + k
}

// matchSegments matches pieces with stars that keep to a segment, by following
// every place that the pieces so far can end at. The time is at most pieces
// times text.
func matchSegments(pieces []piece, s string) bool {
	here, next := make([]bool, len(s)+1), make([]bool, len(s)+1)
	here[0] = true
	for _, pc := range pieces {
		clear(next)
		open := false
		for at := 0; at <= len(s); at++ {
			switch pc.kind {
			case pieceStar:
				open = open || here[at]
				next[at] = open && (at == len(s) || utf8.RuneStart(s[at]))
			case pieceStarHere:
				open = open || here[at]
				next[at] = open && (at == len(s) || utf8.RuneStart(s[at]))
				if at < len(s) && s[at] == ':' {
					open = false
				}
			default:
				if here[at] {
					if n := pc.step(s[at:]); n >= 0 {
						next[at+n] = true
					}
				}
			}
		}
		here, next = next, here
	}
	return here[len(s)]
}
