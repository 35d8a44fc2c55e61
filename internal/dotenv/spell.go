package dotenv

import "bytes"

// spell writes a value as the package comment says. crlf tells that the file's
// lines end so.
func spell(v []byte, crlf bool) []byte {
	cr := bytes.IndexByte(v, '\r') >= 0 || crlf && bytes.IndexByte(v, '\n') >= 0
	switch {
	case bare(v):
		return v
	case !cr && bytes.IndexByte(v, '\'') < 0:
		return append(append([]byte{'\''}, v...), '\'')
	}
	out := make([]byte, 0, len(v)+16)
	out = append(out, '"')
	for _, c := range v {
		switch {
		case c == '\\' || c == '"' || c == '$' || c == '`':
			out = append(out, '\\', c)
		case c == '\r':
			out = append(out, `\r`...)
		case c == '\n' && cr:
			out = append(out, `\n`...)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// bare reports whether a value needs no quotes in any reader. Some shells
// expand "=" and "~" where a value or a part of it begins.
func bare(v []byte) bool {
	for i, c := range v {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case bytes.IndexByte([]byte("_-./+@%,"), c) >= 0:
		case i > 0 && (c == '=' || c == ':'):
		default:
			return false
		}
	}
	return true
}
