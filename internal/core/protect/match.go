package protect

// match reports whether a glob covers the whole of s. A star stands for any
// text and a question mark for one byte; names are ASCII.
func match(glob, s string) bool {
	star, from := -1, 0
	g, i := 0, 0
	for i < len(s) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, from = g, i
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == s[i]):
			g++
			i++
		case star >= 0: // give the last star one byte more
			from++
			g, i = star+1, from
		default:
			return false
		}
	}
	for g < len(glob) && glob[g] == '*' {
		g++
	}
	return g == len(glob)
}

// overlap reports whether some name fits both patterns.
func overlap(a, b string) bool {
	nounA, a := split(a)
	nounB, b := split(b)
	if nounA != nounB {
		return false
	}
	// can[j] tells whether what was read of a and the first j bytes of b have a
	// text in common.
	can := make([]bool, len(b)+1)
	can[0] = true
	for j := range len(b) {
		can[j+1] = can[j] && b[j] == '*'
	}
	for i := range len(a) {
		next := make([]bool, len(b)+1)
		next[0] = can[0] && a[i] == '*'
		for j := range len(b) {
			if a[i] == '*' || b[j] == '*' {
				next[j+1] = can[j+1] || next[j] // the star takes nothing, or what the other has there
			} else {
				next[j+1] = can[j] && (a[i] == '?' || b[j] == '?' || a[i] == b[j])
			}
		}
		can = next
	}
	return can[len(b)]
}

// Overlaps reports whether r and other can be about the same thing. It looks at
// patterns alone, so it may say yes for rules that tags or kinds keep apart.
func (r *Rule) Overlaps(other *Rule) bool {
	for _, a := range r.Match {
		for _, b := range other.Match {
			if overlap(a, b) {
				return true
			}
		}
	}
	return false
}

// Glob reports whether a pattern of names, as rules have them but without a noun,
// covers the whole of a name.
func Glob(pattern, name string) bool { return match(pattern, name) }
