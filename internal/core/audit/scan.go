package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

var errLongLine = errors.New("a line is longer than any that the log writes")

// lines reads a segment forward.
type lines struct {
	r      *bufio.Reader
	offset int64 // of the next line
	number int   // of the last line read, from 1 where reading began
	torn   int   // bytes after the last newline, known at the end
}

// readLines reads the bytes of r in [from, to).
func readLines(r io.ReaderAt, from, to int64) *lines {
	size := int(min(max(to-from, 4<<10), maxLine))
	return &lines{r: bufio.NewReaderSize(io.NewSectionReader(r, from, to-from), size), offset: from}
}

// next returns the next line without its newline, valid until the next call.
// It returns io.EOF at the end; bytes after the last newline are not a line.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	switch {
	case err == io.EOF:
		l.torn = len(line)
		return nil, io.EOF
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errLongLine
	case err != nil:
		return nil, fmt.Errorf("reading segment: %w", err)
	}
	l.offset += int64(len(line))
	l.number++
	return line[:len(line)-1], nil
}

// reverseBlock is how much is read at a time when reading backward.
const reverseBlock = 128 << 10

// reverseLines reads a segment backward.
type reverseLines struct {
	r   io.ReaderAt
	at  int64  // offset of buf in the file
	buf []byte // read and not yet handed out; ends with a newline, or is empty
}

// readBackward reads the lines that end before end, which must stand after a
// newline or at 0.
func readBackward(r io.ReaderAt, end int64) *reverseLines { return &reverseLines{r: r, at: end} }

// next returns the line before the last one, valid until the next call, and
// io.EOF before the first.
func (l *reverseLines) next() ([]byte, error) {
	for {
		if n := len(l.buf); n > 0 {
			if i := bytes.LastIndexByte(l.buf[:n-1], '\n'); i >= 0 || l.at == 0 {
				line := l.buf[i+1 : n-1]
				l.buf = l.buf[:i+1]
				return line, nil
			}
			if n > maxLine {
				return nil, errLongLine
			}
		} else if l.at == 0 {
			return nil, io.EOF
		}
		step := min(l.at, reverseBlock)
		block := make([]byte, int(step)+len(l.buf))
		if _, err := l.r.ReadAt(block[:step], l.at-step); err != nil {
			return nil, fmt.Errorf("reading segment: %w", err)
		}
		copy(block[step:], l.buf)
		l.buf, l.at = block, l.at-step
	}
}

// findLast returns the offset of the last occurrence of needle that ends
// before end, or -1.
func findLast(r io.ReaderAt, end int64, needle []byte) (int64, error) {
	block := make([]byte, min(end, reverseBlock))
	for end > 0 {
		start := max(end-int64(len(block)), 0)
		b := block[:end-start]
		if _, err := r.ReadAt(b, start); err != nil && err != io.EOF {
			return 0, fmt.Errorf("reading segment: %w", err)
		}
		if i := bytes.LastIndex(b, needle); i >= 0 {
			return start + int64(i), nil
		}
		if start == 0 {
			break
		}
		end = start + int64(len(needle)) - 1
	}
	return -1, nil
}
