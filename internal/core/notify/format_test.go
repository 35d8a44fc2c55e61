package notify_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"countersign/internal/core/notice"
	"countersign/internal/core/notify"
)

const nasty = "<!channel> & <https://evil.example|click> @here *bold* [x](https://evil.example)\r\nBcc: evil@example.com\x00\x1b[31m\u202egnirts\u200b"

func nastyNotice() notice.Notice {
	return notice.Notice{ID: "N", Account: "111111111111", Kind: notice.ChangeCommented, Change: "01CHANGE", Name: "app/production", Actor: "arn:aws:iam::111111111111:user/anna",
		Reason: nasty, Keys: []string{nasty, "B"}, KeysLeft: 3, Facts: map[string]string{"rule": nasty, "": "empty", "ünder": "x"}, Status: "pending", Operation: "PutValue", Region: "us-east-1"}
}

// strs collects every string in JSON, with the keys on the way to it.
func strs(v any, path string, f func(path, s string, in map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok {
				f(path+"."+k, s, v)
			}
			strs(e, path+"."+k, f)
		}
	case []any:
		for _, e := range v {
			strs(e, path, f)
		}
	}
}

func service(public string) *fixture {
	f := &fixture{poster: &poster{}}
	f.Service = &notify.Service{Config: notify.Config{PublicURL: public}}
	return f
}

func TestSlack(t *testing.T) {
	body, _ := service("https://secrets.example.com/").Format(notify.Slack, nastyNotice())
	var v any
	must(t, json.Unmarshal(body, &v))
	links := 0
	strs(v, "", func(path, s string, in map[string]any) {
		if in["type"] == "mrkdwn" {
			if strings.HasSuffix(path, ".type") {
				return
			}
			if links++; s != "<https://secrets.example.com/#/changes/01CHANGE|Open in Countersign>" {
				t.Errorf("Markdown %q", s)
			}
			return
		}
		if strings.ContainsAny(s, "<>") || strings.ContainsAny(s, "\x00\x1b\u202e\u200b") {
			t.Errorf("%s: %q", path, s)
		}
	})
	if links != 1 || !strings.Contains(string(body), "app/production") || !strings.Contains(string(body), "and 3 more") {
		t.Errorf("got %s", body)
	}
	if without, _ := service("").Format(notify.Slack, nastyNotice()); strings.Contains(string(without), "mrkdwn") {
		t.Error("a link to nowhere")
	}
}

func TestTeams(t *testing.T) {
	body, _ := service("https://secrets.example.com").Format(notify.Teams, nastyNotice())
	var v struct {
		Type        string
		Attachments []struct {
			ContentType string
			Content     struct {
				Type, Version string
				Body          []map[string]any
				Actions       []struct{ Type, URL string }
			}
		}
	}
	must(t, json.Unmarshal(body, &v))
	card := v.Attachments[0].Content
	if v.Type != "message" || v.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" || card.Type != "AdaptiveCard" ||
		len(card.Actions) != 1 || card.Actions[0].URL != "https://secrets.example.com/#/changes/01CHANGE" {
		t.Errorf("got %s", body)
	}
	for _, b := range card.Body { // a TextBlock would read Markdown
		if b["type"] != "RichTextBlock" {
			t.Errorf("a block of type %v", b["type"])
		}
		for _, in := range b["inlines"].([]any) {
			if in.(map[string]any)["type"] != "TextRun" {
				t.Errorf("an inline %v", in)
			}
		}
	}
}

func TestMessage(t *testing.T) {
	_, m := service("https://secrets.example.com").Format(notify.Email, nastyNotice())
	if m.Subject != "[countersign] A change was commented on: app/production" || m.ID != "D" {
		t.Errorf("subject %q, id %q", m.Subject, m.ID)
	}
	for _, want := range []string{"Keys: ", "Rule: ", "\nhttps://secrets.example.com/#/changes/01CHANGE\n", "Account: 111111111111", "\nBcc: evil@example.com"} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("the text lacks %q: %s", want, m.Text)
		}
	}
	n := nastyNotice()
	n.Name = "a\r\nBcc: evil@example.com"
	if _, m := service("").Format(notify.Email, n); strings.ContainsAny(m.Subject, "\r\n") {
		t.Errorf("subject %q", m.Subject)
	}
}

func TestWebhookBody(t *testing.T) {
	n := nastyNotice()
	n.Reason = "because"
	body, _ := service("").Format(notify.Webhook, n)
	var v map[string]any
	must(t, json.Unmarshal(body, &v))
	for k, want := range map[string]any{"version": 1.0, "delivery": "D", "notice": "N", "kind": "change.commented", "change": "01CHANGE", "reason": "because", "keys_left_out": 3.0, "account": "111111111111"} {
		if v[k] != want {
			t.Errorf("%s is %v, want %v", k, v[k], want)
		}
	}
	if _, ok := v["link"]; ok {
		t.Error("a link to nowhere")
	}
}

// What somebody wrote stays within its bounds and its line, and shows no character
// that is not seen.
func FuzzText(f *testing.F) {
	f.Add(nasty, 20)
	f.Add(strings.Repeat("&", 1000), 100)
	f.Add("\xff\u2028ü", 4)
	f.Fuzz(func(t *testing.T, s string, long int) {
		if long < 8 || long > 10_000 {
			return
		}
		one, many, slack := notify.Line(s, long), notify.Prose(s, long), notify.Escape(notify.Prose(s, 5000), long)
		for _, out := range []string{one, many, slack} {
			if len(out) > long || !utf8.ValidString(out) {
				t.Errorf("%q has %d bytes, at most %d", out, len(out), long)
			}
			for _, r := range out {
				if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Cf, r) {
					t.Errorf("%q holds %U", out, r)
				}
			}
		}
		if strings.ContainsAny(one, "\n\t") || strings.ContainsAny(slack, "<>") {
			t.Errorf("line %q, escaped %q", one, slack)
		}
		if notify.Address(s) && strings.ContainsAny(s, "\r\n<>, ") {
			t.Errorf("%q is an address", s)
		}
		n := nastyNotice()
		n.Name, n.Reason, n.Change, n.Facts = s, s, s, map[string]string{s: s}
		for _, typ := range notify.Types() {
			if b, m := service("https://x.example").Format(typ, n); !json.Valid(b) || strings.ContainsAny(m.Subject, "\r\n") {
				t.Errorf("%s: %q, subject %q", typ, b, m.Subject)
			}
		}
	})
}
