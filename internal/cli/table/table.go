// Package table prints rows: aligned with a header for people, tab-separated
// without one for programs.
//
// A program gets one row a line, times in RFC 3339 and UTC, and every column
// even when it is empty; a tab, a line end or another control character inside
// a cell is written as a Go escape, so that a row is always a line. People get
// local times and the same escapes, so that what somebody else wrote into a
// description cannot move the cursor of who lists it.
package table

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"countersign/internal/cli/streams"
)

// Table collects rows and prints them on Flush. The zero value is not usable;
// New makes one.
type Table struct {
	s       *streams.Streams
	columns []string
	rows    [][]cell
}

type cell struct {
	text  string
	alarm bool
}

// New begins a table with these columns.
func New(s *streams.Streams, columns ...string) *Table {
	return &Table{s: s, columns: columns}
}

// Alarm marks a cell as something that went wrong, where there is colour.
type Alarm string

// Row adds a row. A cell is a string, a time, a list of strings, a number, a
// bool (true prints the column's name, false nothing) or an Alarm.
func (t *Table) Row(cells ...any) {
	row := make([]cell, len(t.columns))
	for i := range row {
		if i < len(cells) {
			row[i] = t.cell(t.columns[i], cells[i])
		}
	}
	t.rows = append(t.rows, row)
}

func (t *Table) cell(column string, v any) cell {
	switch v := v.(type) {
	case string:
		return cell{text: Clean(v)}
	case Alarm:
		return cell{text: Clean(string(v)), alarm: true}
	case time.Time:
		return cell{text: Time(t.s, v)}
	case []string:
		return cell{text: Clean(strings.Join(v, ","))}
	case bool:
		if v {
			return cell{text: strings.ToLower(column)}
		}
		return cell{}
	case uint64:
		if v == 0 {
			return cell{}
		}
		return cell{text: strconv.FormatUint(v, 10)}
	}
	return cell{text: Clean(fmt.Sprint(v))}
}

// Time spells a time for whoever reads Out; the zero time is empty.
func Time(s *streams.Streams, at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case s.OutTerminal:
		return at.Local().Format("2006-01-02 15:04:05")
	}
	return at.UTC().Format(time.RFC3339)
}

// Clean escapes what could not be part of one line of text.
func Clean(s string) string {
	clean := true
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// Flush prints the table. Without rows a person sees the header alone.
func (t *Table) Flush() error {
	w := bufio.NewWriter(t.s.Out)
	if t.s.OutTerminal {
		t.aligned(w)
	} else {
		for _, row := range t.rows {
			for i, c := range row {
				if i > 0 {
					w.WriteByte('\t')
				}
				w.WriteString(c.text)
			}
			w.WriteByte('\n')
		}
	}
	return w.Flush()
}

// aligned prints columns of equal width, with two spaces between them.
func (t *Table) aligned(w *bufio.Writer) {
	width := make([]int, len(t.columns))
	for i, c := range t.columns {
		width[i] = utf8.RuneCountInString(c)
		for _, row := range t.rows {
			width[i] = max(width[i], utf8.RuneCountInString(row[i].text))
		}
	}
	line := func(style func(cell) string, cells []cell) {
		last := len(cells) - 1
		for last > 0 && cells[last].text == "" {
			last--
		}
		for i, c := range cells[:last+1] {
			w.WriteString(style(c))
			if i < last {
				w.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		w.WriteByte('\n')
	}
	head := make([]cell, len(t.columns))
	for i, c := range t.columns {
		head[i].text = c
	}
	line(func(c cell) string { return t.s.Bold(c.text) }, head)
	for _, row := range t.rows {
		line(func(c cell) string {
			if c.alarm {
				return t.s.Alarm(c.text)
			}
			return c.text
		}, row)
	}
}

// Fields prints one thing as names and values, one a line: aligned for people,
// tab-separated for programs. Pairs whose value is empty are left out for
// people.
func Fields(s *streams.Streams, pairs ...any) error {
	t := &Table{s: s, columns: []string{"", ""}}
	width := 0
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		v := t.cell(name, pairs[i+1])
		if v.text == "" && s.OutTerminal {
			continue
		}
		width = max(width, utf8.RuneCountInString(name))
		t.rows = append(t.rows, []cell{{text: name}, v})
	}
	w := bufio.NewWriter(s.Out)
	for _, row := range t.rows {
		if s.OutTerminal {
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(row[0].text)+2)
			fmt.Fprintf(w, "%s%s%s\n", s.Bold(row[0].text), pad, row[1].text)
		} else {
			fmt.Fprintf(w, "%s\t%s\n", row[0].text, row[1].text)
		}
	}
	return w.Flush()
}

// List prints a listing, with a row for each item, or the items as JSON.
func List[T any](s *streams.Streams, asJSON bool, items []T, columns []string, row func(T) []any) error {
	if asJSON {
		return JSON(s.Out, append([]T{}, items...)) // [] for none, not null
	}
	t := New(s, columns...)
	for _, item := range items {
		t.Row(row(item)...)
	}
	return t.Flush()
}

// JSON prints a value as indented JSON, without escaping what only HTML needs.
func JSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Line prints a value as one line of JSON.
func Line(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
