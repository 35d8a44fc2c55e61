// Package render prints changes for people: whose, of what, why, how far it has
// come, and how each key changes.
//
//   - KEY=value          added, green
//   - KEY=value          removed, red
//     ~ KEY: old → new     changed, yellow
//     KEY=value          the same, when asked for
//
// For who may not read the values there are facts instead: classes of length
// and format, and what a value equals. Colour is emphasis; the text says all of
// it. Everything that somebody else wrote is escaped, so that neither a value
// nor a reason can drive the terminal or look like a line of this program.
package render

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"countersign/internal/cli/change/reading"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/streams"
	"countersign/internal/cli/table"
	"countersign/internal/cli/when"
	"countersign/internal/client"
)

// Printer prints for a run of the command line.
type Printer struct {
	Streams *streams.Streams
	Names   which.Names
	Now     time.Time
	To      io.Writer // default Streams.Out
}

// Review prints a change with how each key changes; all also those that stay.
func (p Printer) Review(r reading.Reviewed, all bool) error {
	w := p.writer()
	p.header(w, r.Change)
	p.Diff(w, r, all)
	p.standing(w, r.Review)
	return w.Flush()
}

// Header prints what a change is, without how the keys change.
func (p Printer) Header(r client.Review) error {
	w := p.writer()
	p.header(w, r.Change)
	p.standing(w, r)
	return w.Flush()
}

func (p Printer) writer() *bufio.Writer {
	if p.To != nil {
		return bufio.NewWriter(p.To)
	}
	return bufio.NewWriter(p.Streams.Out)
}

func (p Printer) field(w io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(w, "%s %s\n", p.Streams.Bold(fmt.Sprintf("%-9s", name+":")), value)
	}
}

func (p Printer) header(w io.Writer, c client.Change) {
	p.field(w, "Change", c.ID)
	p.field(w, "Status", c.Status)
	place, ok := p.Names[c.Name]
	switch {
	case c.Noun != "" && c.Noun != "secret":
		p.field(w, "For", table.Clean(c.Noun+" "+c.Name))
	case ok:
		p.field(w, "Project", place.String())
	default:
		p.field(w, "Secret", table.Clean(c.Name))
	}
	if c.Operation != "PutValue" {
		p.field(w, "Does", table.Clean(c.Operation))
	}
	p.field(w, "By", table.Clean(Who(c.Author)))
	p.field(w, "Reason", table.Clean(c.Reason))
	p.field(w, "Date", p.ago(c.Time))
	p.field(w, "Rule", table.Clean(c.Rule))
	if client.Open(c.Status) {
		p.field(w, "Effect", p.at(c.NotBefore))
		p.field(w, "Expires", p.at(c.Expires))
	} else {
		p.field(w, "Ended", p.ended(c))
	}
}

func (p Printer) ended(c client.Change) string {
	if c.Ended.IsZero() {
		return ""
	}
	if c.EndedBy == "" {
		return p.ago(c.Ended)
	}
	return p.ago(c.Ended) + ", by " + table.Clean(Who(c.EndedBy))
}

// ago is how long since for people, and when for programs.
func (p Printer) ago(t time.Time) string {
	if !p.Streams.OutTerminal {
		return p.at(t)
	}
	return when.Ago(t, p.Now)
}

func (p Printer) at(t time.Time) string { return table.Time(p.Streams, t) }

// Who is the name in an ARN of a principal.
func Who(arn string) string {
	if i := strings.LastIndexAny(arn, "/:"); i >= 0 && i < len(arn)-1 {
		return arn[i+1:]
	}
	return arn
}

// Diff prints how the keys change.
func (p Printer) Diff(w io.Writer, r reading.Reviewed, all bool) {
	fmt.Fprintln(w)
	for _, line := range r.Lines {
		fmt.Fprintln(w, table.Clean(line))
	}
	counts := map[string]int{}
	var lines []string
	if r.Values != nil {
		lines = p.values(r, all, counts)
	} else {
		lines = p.facts(r.Review, all, counts)
	}
	changed := counts["added"] + counts["removed"] + counts["changed"]
	switch {
	case len(r.Diff) > 0 || r.Values != nil:
		fmt.Fprintf(w, "%s: +%d -%d ~%d\n", Number(changed, "change"), counts["added"], counts["removed"], counts["changed"])
	case len(r.Keys) > 0:
		fmt.Fprintf(w, "%s: %s\n", Number(len(r.Keys), "key"), table.Clean(strings.Join(r.Keys, ", ")))
	}
	for _, l := range lines {
		fmt.Fprintln(w, l)
	}
	if r.Hidden != "" && len(r.Diff) > 0 {
		fmt.Fprintf(w, "The values are not shown: %s.\n", r.Hidden)
	}
}

func (p Printer) values(r reading.Reviewed, all bool, counts map[string]int) (lines []string) {
	notes := map[string]string{}
	for _, d := range r.Diff {
		notes[d.Key] = aside(d.Notes)
	}
	for _, v := range r.Values {
		counts[v.Change]++
		key := spellKey(v.Key)
		switch v.Change {
		case "added":
			lines = append(lines, p.Streams.Added("+ "+key+"="+spell(v.New))+notes[v.Key])
		case "removed":
			lines = append(lines, p.Streams.Removed("- "+key+"="+spell(v.Old)))
		case "changed":
			lines = append(lines, p.Streams.Changed("~ "+key+": "+spell(v.Old)+arrow+spell(v.New))+notes[v.Key])
		case "same":
			if all {
				lines = append(lines, "  "+key+"="+spell(v.New))
			}
		}
	}
	return lines
}

func (p Printer) facts(r client.Review, all bool, counts map[string]int) (lines []string) {
	for _, d := range r.Diff {
		counts[d.Change]++
		key := spellKey(d.Key)
		switch d.Change {
		case "added":
			lines = append(lines, p.Streams.Added("+ "+key)+": "+fact(d.New)+aside(d.Notes))
		case "removed":
			lines = append(lines, p.Streams.Removed("- "+key)+": "+fact(d.Old))
		case "changed":
			lines = append(lines, p.Streams.Changed("~ "+key)+": "+fact(d.Old)+arrow+fact(d.New)+aside(d.Notes))
		default:
			if all {
				lines = append(lines, "  "+key+": "+fact(d.New)+aside(d.Notes))
			}
		}
	}
	return lines
}

func fact(f *client.Facts) string {
	if f == nil {
		return "?"
	}
	length := f.Length
	if length != "empty" {
		length += " bytes"
	}
	return table.Clean(f.Format + ", " + length)
}

func aside(notes []string) string {
	if len(notes) == 0 {
		return ""
	}
	return "  (" + table.Clean(strings.Join(notes, "; ")) + ")"
}

// Keys prints the keys of a review, without anything of their values.
func (p Printer) Keys(r client.Review) {
	w := p.writer()
	for _, d := range r.Diff {
		if sign := map[string]string{"added": "+", "removed": "-", "changed": "~"}[d.Change]; sign != "" {
			fmt.Fprintf(w, "  %s %s\n", sign, spellKey(d.Key))
		}
	}
	for _, line := range r.Lines {
		fmt.Fprintf(w, "  %s\n", table.Clean(line))
	}
	w.Flush()
}

// standing prints how far a change has come.
func (p Printer) standing(w io.Writer, r client.Review) {
	fmt.Fprintln(w)
	for _, s := range r.Standing {
		for _, c := range s.Approvals {
			from := "anybody who may approve"
			if len(c.Groups) > 0 {
				from = strings.Join(c.Groups, " or ")
			}
			line := fmt.Sprintf("%d of %s from %s", c.Have, Number(c.Need, "approval"), from)
			if len(c.By) > 0 {
				line += " (" + strings.Join(c.By, ", ") + ")"
			}
			fmt.Fprintln(w, table.Clean(line))
		}
	}
	for _, v := range r.Votes {
		fmt.Fprintln(w, p.vote(r, v))
	}
	for _, c := range r.Comments {
		fmt.Fprintf(w, "%s said %s: %s\n", table.Clean(Who(c.By)), p.ago(c.Time), said(c.Text))
	}
	if r.Conflict != "" {
		fmt.Fprintln(w, p.Streams.Alarm("Conflict: ")+table.Clean(r.Conflict))
	}
	if r.Cannot != "" && client.Open(r.Status) {
		fmt.Fprintln(w, "You cannot approve it: "+table.Clean(r.Cannot))
	}
}

// said is a text of perhaps several lines, of which none looks like ours.
func said(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = table.Clean(lines[i])
	}
	return strings.Join(lines, "\n    ")
}

func (p Printer) vote(r client.Review, v client.Vote) string {
	line := Who(v.By) + map[bool]string{true: " approved ", false: " rejected "}[v.Approve] + p.ago(v.Time)
	if v.Signed {
		line += ", signed"
	}
	if v.Approve && !v.Counts && client.Open(r.Status) {
		line += ", which counts no longer"
	}
	line = table.Clean(line)
	if v.Comment != "" {
		line += ": " + said(v.Comment)
	}
	return line
}

// Missing says in words what approvals are still asked for; empty for none.
func Missing(standing []client.Standing) string {
	var parts []string
	for _, s := range standing {
		for _, c := range s.Approvals {
			if n := c.Need - c.Have; n > 0 {
				from := "anybody who may approve"
				if len(c.Groups) > 0 {
					from = strings.Join(c.Groups, " or ")
				}
				parts = append(parts, table.Clean(fmt.Sprintf("%d more from %s", n, from)))
			}
		}
	}
	return strings.Join(parts, ", ")
}

// Number is a number with its noun.
func Number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
