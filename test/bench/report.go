package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// Figure is one measurement: of a load, or of one number.
type Figure struct {
	Name        string  `json:"name"`
	Connections int     `json:"connections,omitempty"`
	Requests    float64 `json:"requests_per_s,omitempty"`
	P50         float64 `json:"p50_us,omitempty"`
	P99         float64 `json:"p99_us,omitempty"`
	// CPU is the server's processor time by request, and Ratio that in
	// relation to the bare server's with as many connections.
	CPU   float64 `json:"cpu_us_per_request,omitempty"`
	Ratio float64 `json:"ratio_to_bare,omitempty"`
	// OfRaw is the rate in relation to the engine's alone.
	OfRaw float64 `json:"ratio_to_raw,omitempty"`
	Value float64 `json:"value,omitempty"`
	Unit  string  `json:"unit,omitempty"`
	Note  string  `json:"note,omitempty"`
}

// Budget is a promise and what was measured.
type Budget struct {
	What     string  `json:"what"`
	Limit    float64 `json:"limit"`
	AtLeast  bool    `json:"at_least,omitempty"` // otherwise at most
	Measured float64 `json:"measured"`
	Unit     string  `json:"unit"`
	Held     bool    `json:"held"`
}

// Report is the file that is written.
type Report struct {
	Machine string    `json:"machine"`
	Time    time.Time `json:"time"`
	Secrets int       `json:"secrets"`
	Tokens  int       `json:"tokens,omitempty"` // in a store of their own
	Took    float64   `json:"took_s"`
	Budgets []Budget  `json:"budgets"`
	Figures []Figure  `json:"figures"`
}

func (r *Report) budget(what string, limit float64, atLeast bool, measured float64, unit string) {
	held := measured > 0 && measured <= limit
	if atLeast {
		held = measured >= limit
	}
	r.Budgets = append(r.Budgets, Budget{what, limit, atLeast, measured, unit, held})
}

// find is the figure of that name with that many connections; a zero one when
// it was not measured, which no budget accepts.
func (r *Report) find(name string, connections int) Figure {
	for _, f := range r.Figures {
		if f.Name == name && f.Connections == connections {
			return f
		}
	}
	return Figure{}
}

// judge holds the figures against the budgets of the design.
func (r *Report) judge() {
	cpu := func(what, name string, limit float64) {
		r.budget("CPU of "+what+", 16 connections", limit, false, r.find(name, 16).Ratio, "x bare net/http")
	}
	cpu("a signed read, one hot secret", readHot, 2.5)
	cpu(fmt.Sprintf("a signed read, %d secrets", spread), readSpread, 2.5)
	cpu(fmt.Sprintf("a read with a token, %d secrets", spread), readToken, 2)
	r.budget("p99 of a signed read at half of capacity", 1000, false, r.find(pacedSigned, 16).P99, "us")
	r.budget("p99 of a read with a token at half of capacity", 1000, false, r.find(pacedToken, 16).P99, "us")
	cpu(fmt.Sprintf("a key-value read through the Vault front, %d secrets", spread), vaultSpread, 2)
	r.budget("p99 of that read at half of capacity", 1000, false, r.find(pacedVault, 16).P99, "us")
	if n := r.Tokens; n > 0 {
		r.budget(fmt.Sprintf("start with %d live tokens to the first answer", n), 1000, false, r.find(startTokens, 0).Value, "ms")
		r.budget(fmt.Sprintf("resident memory, idle with %d live tokens", n), 300, false, r.find(memoryTokens, 0).Value, "MB")
	}
	r.budget("start with 10000 scheduled secrets to the first answer", 200, false, r.find(startRotating, 0).Value, "ms")
	r.budget("durable writes, 64 connections", 0.5, true, r.find(putSpread, 64).OfRaw, "x raw group commit")
	r.budget(fmt.Sprintf("start with %d secrets to the first answer", r.Secrets), 200, false, r.find(startUp, 0).Value, "ms")
	r.budget(fmt.Sprintf("resident memory, idle with %d secrets", r.Secrets), 40, false, r.find(memoryIdle, 0).Value, "MB")
}

func (r *Report) held() bool {
	for _, b := range r.Budgets {
		if !b.Held {
			return false
		}
	}
	return true
}

func (r *Report) save(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the report: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// print writes the report as tables, in Markdown when wanted.
func (r *Report) print(w io.Writer, markdown bool) {
	p := table{w: w, markdown: markdown}
	fmt.Fprintf(w, "Measured on %s, server and load generator on one core each, %d secrets.\n\n", r.Machine, r.Secrets)
	p.row("budget", "limit", "measured", "held")
	p.rule(4)
	for _, b := range r.Budgets {
		word, held := "at most", "yes"
		if b.AtLeast {
			word = "at least"
		}
		if !b.Held {
			held = "NO"
		}
		p.row(b.What, fmt.Sprintf("%s %s %s", word, number(b.Limit), b.Unit), number(b.Measured), held)
	}
	p.flush()
	fmt.Fprintln(w)
	p.row("load", "connections", "requests/s", "p50 us", "p99 us", "CPU us/request", "x bare", "x raw")
	p.rule(8)
	for _, f := range r.Figures {
		if f.Unit == "" {
			p.row(f.Name, fmt.Sprint(f.Connections), number(f.Requests), number(f.P50), number(f.P99), number(f.CPU), number(f.Ratio), number(f.OfRaw))
		}
	}
	p.flush()
	fmt.Fprintln(w)
	p.row("other", "measured", "")
	p.rule(3)
	for _, f := range r.Figures {
		if f.Unit != "" {
			p.row(f.Name, number(f.Value)+" "+f.Unit, f.Note)
		}
	}
	p.flush()
}

// number prints three digits that count, and nothing for zero.
func number(v float64) string {
	switch {
	case v == 0:
		return ""
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// table lines up columns.
type table struct {
	w        io.Writer
	markdown bool
	rows     [][]string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) rule(n int) {
	if t.markdown {
		t.row(strings.Split(strings.Repeat("---,", n-1)+"---", ",")...)
	}
}

func (t *table) flush() {
	if t.markdown {
		for _, r := range t.rows {
			fmt.Fprintf(t.w, "| %s |\n", strings.Join(r, " | "))
		}
		t.rows = nil
		return
	}
	var width []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len(c))
		}
	}
	for _, r := range t.rows {
		var line strings.Builder
		for i, c := range r {
			fmt.Fprintf(&line, "%-*s  ", width[i], c)
		}
		fmt.Fprintln(t.w, strings.TrimRight(line.String(), " "))
	}
	t.rows = nil
}

// machine describes what the figures were measured on.
func machine() string {
	model := runtime.GOARCH
	info, _ := os.ReadFile("/proc/cpuinfo") // absent elsewhere than on Linux
	for line := range strings.Lines(string(info)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			model = strings.TrimSpace(v)
			break
		}
	}
	return fmt.Sprintf("%s, %d cores, %s", model, runtime.NumCPU(), runtime.Version())
}
