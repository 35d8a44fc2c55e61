package redis

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Limits of one reply. Those of the commands that are used are far below.
const (
	maxLine  = 4 << 10
	maxBulk  = 256 << 10
	maxReply = 1 << 20 // bytes of all strings
	maxItems = 16 << 10
	maxDepth = 8
)

// errProtocol says that what came is not RESP2, or passes a limit.
var errProtocol = errors.New("not a reply in RESP2, or too long")

// replyError is an error that the server reports. It may quote what it was sent, so
// that of its text only words that are known get out.
type replyError struct{ text string }

var codes = []string{"ERR", "WRONGPASS", "NOAUTH", "NOPERM", "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "DENIED", "MISCONF", "OOM", "UNKILLABLE", "NOPROTO"}

// code is the first word, "" when it is none of Redis's.
func (e *replyError) code() string {
	first, _, _ := strings.Cut(e.text, " ")
	if slices.Contains(codes, first) {
		return first
	}
	return ""
}

func (e *replyError) says(words string) bool {
	return strings.Contains(strings.ToLower(e.text), words)
}

func (e *replyError) Error() string { return "the server replied with an error " + e.code() }

// reader reads replies: strings as string, numbers as int64, arrays as []any, nothing
// as nil, and errors as *replyError.
type reader struct {
	r            *bufio.Reader
	bytes, items int // that are left of one reply
}

func newReader(r io.Reader) *reader { return &reader{r: bufio.NewReaderSize(r, maxLine)} }

func (r *reader) read() (any, error) {
	r.bytes, r.items = maxReply, maxItems
	return r.value(0)
}

func (r *reader) line() (string, error) {
	b, err := r.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errProtocol
	}
	if err != nil {
		return "", err
	}
	text, ok := bytes.CutSuffix(b, []byte("\r\n"))
	if !ok || len(text) == 0 || bytes.IndexByte(text, '\r') >= 0 {
		return "", errProtocol
	}
	if r.bytes -= len(text); r.bytes < 0 {
		return "", errProtocol
	}
	return string(text), nil
}

func (r *reader) value(depth int) (any, error) {
	if r.items--; r.items < 0 || depth > maxDepth {
		return nil, errProtocol
	}
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return &replyError{rest}, nil
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	switch {
	case err != nil:
		return nil, errProtocol
	case kind == ':':
		return n, nil
	case kind == '$' && n == -1, kind == '*' && n == -1:
		return nil, nil
	case kind == '$' && n >= 0 && n <= maxBulk:
		return r.bulk(int(n))
	case kind == '*' && n >= 0 && n <= maxItems:
		return r.array(int(n), depth)
	}
	return nil, errProtocol
}

func (r *reader) bulk(n int) (any, error) {
	if r.bytes -= n; r.bytes < 0 {
		return nil, errProtocol
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return nil, err
	}
	if string(b[n:]) != "\r\n" {
		return nil, errProtocol
	}
	return string(b[:n]), nil
}

func (r *reader) array(n, depth int) (any, error) {
	out := []any{} // it grows with what comes, not with what is announced
	for range n {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// command writes a command as Redis takes it: any bytes, with their lengths.
func command(args ...string) []byte {
	b := strconv.AppendInt([]byte{'*'}, int64(len(args)), 10)
	b = append(b, "\r\n"...)
	for _, a := range args {
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(len(a)), 10)
		b = append(b, "\r\n"...)
		b = append(b, a...)
		b = append(b, "\r\n"...)
	}
	return b
}
