package sshsig

import (
	"encoding/base64"
	"strings"
)

const (
	armorBegin = "-----BEGIN SSH SIGNATURE-----"
	armorEnd   = "-----END SSH SIGNATURE-----"

	// ssh-keygen writes lines of 70 columns, its specification says 76, and
	// tools that write any PEM write 64.
	armorColumns = 70
	minColumns   = 64
	maxColumns   = 76
)

// armor writes what ssh-keygen would, byte for byte.
func armor(blob []byte) string {
	text := base64.StdEncoding.EncodeToString(blob)
	var b strings.Builder
	b.WriteString(armorBegin + "\n")
	for len(text) > armorColumns {
		b.WriteString(text[:armorColumns] + "\n")
		text = text[armorColumns:]
	}
	b.WriteString(text + "\n" + armorEnd + "\n")
	return b.String()
}

// dearmor takes the armor off. Between the two lines that make it stand lines
// of one width, of which the last may be shorter, and nothing else. Lines end
// with LF, or all of them with CRLF; the last may have no end.
func dearmor(text string) ([]byte, error) {
	if len(text) > MaxArmored {
		return nil, badSignature("the signature is longer than %d bytes", MaxArmored)
	}
	lines, err := splitLines(text)
	if err != nil {
		return nil, err
	}
	last := len(lines) - 1
	switch {
	case lines[0] != armorBegin:
		return nil, badSignature("the signature must begin with the line %s", armorBegin)
	case last < 1 || lines[last] != armorEnd:
		return nil, badSignature("the signature must end with the line %s", armorEnd)
	case last == 1:
		return nil, badSignature("the signature has nothing between its first and its last line")
	}
	body := lines[1:last]
	width := len(body[0])
	for i, line := range body {
		isLast := i == len(body)-1
		switch {
		case line == "":
			return nil, badSignature("line %d of the signature is empty", i+2)
		case len(line) > maxColumns:
			return nil, badSignature("line %d of the signature is longer than %d columns", i+2, maxColumns)
		case !isLast && len(line) < minColumns:
			return nil, badSignature("line %d of the signature is shorter than %d columns and not the last", i+2, minColumns)
		case len(line) != width && !isLast, len(line) > width:
			return nil, badSignature("line %d of the signature is of another width than the first", i+2)
		}
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(strings.Join(body, ""))
	if err != nil {
		return nil, badSignature("what stands between the first and the last line of the signature is not base64")
	}
	return blob, nil
}

// splitLines cuts a text at its line ends, which must be of one sort.
func splitLines(text string) ([]string, error) {
	crlf := strings.Count(text, "\r\n")
	switch {
	case strings.Count(text, "\r") != crlf:
		return nil, badSignature("the signature has a carriage return that ends no line")
	case crlf != 0 && crlf != strings.Count(text, "\n"):
		return nil, badSignature("the signature's line endings are mixed")
	case crlf != 0:
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n"), nil
}
