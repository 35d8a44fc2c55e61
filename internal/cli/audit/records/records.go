// Package records selects and prints records of the audit log, for the
// commands that show them.
//
// Records are printed as they come, so a person gets columns of a usual width
// rather than of the widest cell. A program gets tab-separated columns in the
// same order, or with --json one object a line, which holds everything.
package records

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/streams"
	"countersign/internal/cli/table"
	"countersign/internal/cli/when"
	"countersign/internal/client"
)

// Columns tells what is printed when piped.
const Columns = "Columns when piped: time, principal, operation, resource, version, outcome,\nerror, source, front, decision. --json prints one object a line, whole."

// Filter is what the flags of a command select.
type Filter struct {
	Since, Until string
	Query        client.AuditQuery
}

// Flags adds the flags; times are for commands that look back.
func (f *Filter) Flags(cmd *cobra.Command, times bool) {
	fs := cmd.Flags()
	if times {
		fs.StringVar(&f.Since, "since", "", "from this `TIME` on: 1h, 7d, 2026-11-23 or 2026-11-23T08:00:00Z")
		fs.StringVar(&f.Until, "until", "", "before this `TIME`")
	}
	q := &f.Query
	fs.StringVar(&q.Principal, "principal", "", "by this user or machine, by `NAME`")
	fs.StringVar(&q.Operation, "operation", "", "this `OPERATION`, such as ReadValue or PutValue")
	fs.StringVar(&q.Secret, "secret", "", "on the secret of this `NAME`; one that ends in * is a prefix")
	fs.StringVar(&q.Outcome, "outcome", "", "with this `OUTCOME`: ok, denied, refused or failed")
	fs.StringVar(&q.Decision, "decision", "", "with this decision `ID`")
	fs.StringVar(&q.Key, "key", "", "with the access key or in the session of this `ID`")
	fs.StringVar(&q.Change, "change", "", "of the change of this `ID`")
}

// Resolve checks the flags and fills in the times.
func (f *Filter) Resolve(now time.Time) (client.AuditQuery, error) {
	q := f.Query
	if err := env.Choice("outcome", q.Outcome, "ok", "denied", "refused", "failed"); err != nil {
		return q, err
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"since", f.Since, &q.Since}, {"until", f.Until, &q.Until}} {
		if t.text == "" {
			continue
		}
		at, err := when.Past(t.text, now)
		if err != nil {
			return q, exit.Usagef("--%s: %w", t.flag, err)
		}
		*t.to = at
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return q, exit.Usagef("--since is not before --until, so nothing can be between them")
	}
	return q, nil
}

// Printer prints records as they come.
type Printer struct {
	Streams *streams.Streams
	JSON    bool
	begun   bool
}

// widths are the usual widths of the columns for people; the last is open.
var widths = [...]int{19, 16, 18, 32, 4, 8}

// Print prints one record.
func (p *Printer) Print(r client.Record) error {
	s := p.Streams
	switch {
	case p.JSON:
		return table.Line(s.Out, r)
	case !s.OutTerminal:
		t := table.New(s, make([]string, 10)...)
		t.Row(r.Time, principal(r), r.Operation, r.Resource, r.Version, r.Outcome, r.Error, r.Source, r.Front, decision(r))
		return t.Flush()
	}
	if !p.begun {
		p.begun = true
		if _, err := fmt.Fprintln(s.Out, s.Bold(pad("TIME", "PRINCIPAL", "OPERATION", "RESOURCE", "VER", "OUTCOME", "DETAIL"))); err != nil {
			return err
		}
	}
	version := ""
	if r.Version != 0 {
		version = strconv.FormatUint(r.Version, 10)
	}
	line := pad(table.Time(s, r.Time), principal(r), r.Operation, r.Resource, version, r.Outcome, detail(r))
	if r.Outcome == "denied" || r.Outcome == "failed" {
		line = s.Alarm(line)
	}
	_, err := fmt.Fprintln(s.Out, line)
	return err
}

// principal is who it was, with the account where that is another one.
func principal(r client.Record) string {
	switch p := r.Principal; {
	case p.Name == "":
		return "-"
	case p.Account != "":
		return p.Account + "/" + p.Name
	default:
		return p.Name
	}
}

func decision(r client.Record) string {
	if r.Decision == nil {
		return ""
	}
	return r.Decision.ID
}

// detail is what a person wants to know next: the decision of a denial, the
// error of a failure, else where it came from.
func detail(r client.Record) string {
	var parts []string
	if r.Error != "" && r.Outcome != "denied" {
		parts = append(parts, r.Error)
	}
	if r.Outcome == "denied" && decision(r) != "" {
		parts = append(parts, "decision "+decision(r))
	}
	if len(r.Keys) > 0 {
		parts = append(parts, "keys "+strings.Join(r.Keys, ","))
	}
	return strings.Join(append(parts, "from "+strings.TrimSpace(r.Source+" "+r.Front)), "; ")
}

func pad(cells ...string) string {
	var b strings.Builder
	for i, c := range cells {
		c = table.Clean(c)
		b.WriteString(c)
		if i < len(widths) {
			b.WriteString(strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(c), 0)+2))
		}
	}
	return strings.TrimRight(b.String(), " ")
}
