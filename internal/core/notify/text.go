package notify

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"countersign/internal/core/notice"
)

// fact is one line of what is told.
type fact struct{ name, value string }

// happened is each kind in words.
var happened = map[notice.Kind]string{
	notice.ChangeProposed:   "a change was proposed",
	notice.ChangeApproved:   "a change was approved and waits for its time",
	notice.ChangeApplied:    "a change was applied",
	notice.ChangeRejected:   "a change was rejected",
	notice.ChangeWithdrawn:  "a change was withdrawn",
	notice.ChangeExpired:    "a change expired",
	notice.ChangeConflicted: "a change is in conflict",
	notice.ChangePending:    "a change waits for votes again",
	notice.ChangeCommented:  "a change was commented on",
	notice.ChangeReminder:   "a change still waits for votes",
	notice.BreakGlassOpened: "the glass was broken",
	notice.BreakGlassClosed: "an emergency was closed",
	notice.RotationDone:     "a secret was rotated",
	notice.RotationFailed:   "a rotation failed",
	notice.RotationOverdue:  "a rotation is overdue",
	notice.RotationClock:    "the clock was set back",
	notice.Test:             "this is a test",
}

// title says in one line what happened.
func title(n *notice.Notice) string {
	what, ok := happened[n.Kind]
	if !ok {
		what = string(n.Kind)
	}
	if n.Name == "" {
		return line(upper(what), 150)
	}
	return line(upper(what)+": "+n.Name, 150)
}

func upper(s string) string {
	if s == "" || s[0] >= utf8.RuneSelf {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// facts are the lines below the title, each with a value.
func facts(n *notice.Notice) (out []fact) {
	add := func(name, value string) {
		if name != "" && value != "" {
			out = append(out, fact{name, line(value, notice.MaxName)})
		}
	}
	add("Change", n.Change)
	add("Operation", n.Operation)
	add("By", n.Actor)
	if n.Author != n.Actor {
		add("Author", n.Author)
	}
	add("Status", n.Status)
	add("Keys", keys(n))
	for _, k := range slices.Sorted(maps.Keys(n.Facts)) {
		add(line(upper(k), notice.MaxKey), n.Facts[k])
	}
	add("Region", n.Region)
	add("Account", n.Account)
	add("Time", n.When().Format("2006-01-02 15:04:05 UTC"))
	return out
}

// words are what the actor said, and why the author made the change.
func words(n *notice.Notice) (out []string) {
	if n.Text != "" {
		out = append(out, prose(n.Text, notice.MaxText))
	}
	if n.Reason != "" {
		out = append(out, prose("Reason: "+n.Reason, notice.MaxText))
	}
	return out
}

// keys names the keys that differ.
func keys(n *notice.Notice) string {
	s := strings.Join(n.Keys, ", ")
	if n.KeysLeft > 0 {
		s += " and " + strconv.Itoa(n.KeysLeft) + " more"
	}
	return s
}

// link leads to the change at the server, or to the server; empty when its address
// is not known.
func (s *Service) link(n *notice.Notice) string {
	if s.PublicURL == "" {
		return ""
	}
	base := strings.TrimSuffix(s.PublicURL, "/") + "/"
	if n.Change == "" {
		return base
	}
	return base + "#/changes/" + url.PathEscape(n.Change)
}

// line makes one line of a text that somebody wrote, of at most that many bytes:
// no control characters, and none that turn the direction of text or are not
// seen.
func line(s string, long int) string {
	return strings.Join(strings.Fields(prose(s, long)), " ")
}

// prose is line for a text that may have several.
func prose(s string, long int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\u2028' || r == '\u2029' || r == '\u0085':
			return '\n'
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, s)
	if len(s) <= long {
		return s
	}
	end := long - len("…")
	for end > 0 && s[end]&0xc0 == 0x80 {
		end--
	}
	return s[:end] + "…"
}
