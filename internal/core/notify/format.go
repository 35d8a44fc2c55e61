package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"countersign/internal/core/notice"
)

// Headers of a webhook.
const (
	HeaderDelivery  = "Countersign-Delivery"
	HeaderTimestamp = "Countersign-Timestamp"
	HeaderSignature = "Countersign-Signature"
	agent           = "countersign-notify"
)

// request is what is posted for a delivery.
func (s *Service) request(t *target, d *delivery, now time.Time) (header map[string]string, body []byte, err error) {
	header = map[string]string{"Content-Type": "application/json; charset=utf-8", "User-Agent": agent, HeaderDelivery: d.ID}
	switch t.Type {
	case Slack:
		body, err = json.Marshal(s.slack(&d.Notice))
	case Teams:
		body, err = json.Marshal(s.teams(&d.Notice))
	default:
		if body, err = json.Marshal(s.webhook(d)); err != nil {
			return nil, nil, err
		}
		stamp := strconv.FormatInt(now.Unix(), 10)
		header[HeaderTimestamp] = stamp
		header[HeaderSignature] = signature(t.signing(now), stamp, body)
	}
	return header, body, err
}

// signature is one "v1=…" for each key, separated by commas.
func signature(keys [][]byte, stamp string, body []byte) string {
	var out []string
	for _, k := range keys {
		m := hmac.New(sha256.New, k)
		m.Write([]byte(stamp + "."))
		m.Write(body)
		out = append(out, "v1="+hex.EncodeToString(m.Sum(nil)))
	}
	return strings.Join(out, ",")
}

// webhook is the body that docs/notifications.md describes. Members are only ever
// added.
type webhook struct {
	Version   int               `json:"version"`
	Delivery  string            `json:"delivery"`
	Notice    string            `json:"notice"`
	Time      time.Time         `json:"time"`
	Kind      notice.Kind       `json:"kind"`
	Account   string            `json:"account"`
	Title     string            `json:"title"`
	Change    string            `json:"change,omitempty"`
	Noun      string            `json:"noun,omitempty"`
	Region    string            `json:"region,omitempty"`
	Name      string            `json:"name,omitempty"`
	Operation string            `json:"operation,omitempty"`
	Actor     string            `json:"actor,omitempty"`
	Author    string            `json:"author,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Text      string            `json:"text,omitempty"`
	Status    string            `json:"status,omitempty"`
	Keys      []string          `json:"keys,omitempty"`
	KeysLeft  int               `json:"keys_left_out,omitempty"`
	Facts     map[string]string `json:"facts,omitempty"`
	Audience  []string          `json:"audience,omitempty"`
	Link      string            `json:"link,omitempty"`
}

func (s *Service) webhook(d *delivery) webhook {
	n := &d.Notice
	return webhook{Version: 1, Delivery: d.ID, Notice: n.ID, Time: n.When(), Kind: n.Kind, Account: n.Account, Title: title(n),
		Change: n.Change, Noun: n.Noun, Region: n.Region, Name: n.Name, Operation: n.Operation, Actor: n.Actor, Author: n.Author, Reason: n.Reason, Text: n.Text,
		Status: n.Status, Keys: n.Keys, KeysLeft: n.KeysLeft, Facts: n.Facts, Audience: n.Audience, Link: s.link(n)}
}

// object is a piece of somebody else's JSON.
type object map[string]any

// Limits of Slack's blocks, with room for what escaping adds.
const (
	slackText  = 2500
	slackTitle = 150
)

// slack is a message of blocks. What somebody wrote stands in plain_text, which
// Slack does not search for links and mentions; the fall-back text, which it does
// search, and plain_text alike are escaped, so that <!channel> is what it looks
// like. The link is ours.
func (s *Service) slack(n *notice.Notice) object {
	plain := func(text string, long int) object {
		return object{"type": "plain_text", "text": escape(text, long), "emoji": false}
	}
	blocks := []object{{"type": "header", "text": plain(title(n), slackTitle)}}
	var lines []string
	for _, f := range facts(n) {
		lines = append(lines, f.name+": "+f.value)
	}
	blocks = append(blocks, object{"type": "section", "text": plain(strings.Join(lines, "\n"), slackText)})
	for _, said := range words(n) {
		blocks = append(blocks, object{"type": "section", "text": plain(said, slackText)})
	}
	if link := s.link(n); link != "" {
		blocks = append(blocks, object{"type": "section", "text": object{"type": "mrkdwn", "text": "<" + escape(link, slackText) + "|Open in Countersign>"}})
	}
	return object{"text": escape(title(n), slackTitle), "blocks": blocks, "unfurl_links": false, "unfurl_media": false}
}

// escape writes the three characters that Slack gives a meaning as entities, and
// keeps the whole within a limit.
func escape(s string, long int) string {
	r := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	for out := r.Replace(s); ; out = r.Replace(s) {
		if len(out) <= long {
			return out
		}
		s = prose(s, len(s)-max(1, (len(out)-long)/5))
	}
}

// teams is an Adaptive Card as the workflow "when a webhook request is received"
// takes it. What somebody wrote stands in text runs, which know no Markdown.
func (s *Service) teams(n *notice.Notice) object {
	run := func(text string, more object) object {
		out := object{"type": "TextRun", "text": text}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	block := func(runs ...object) object { return object{"type": "RichTextBlock", "inlines": runs} }
	body := []object{block(run(title(n), object{"weight": "Bolder", "size": "Medium"}))}
	for _, f := range facts(n) {
		body = append(body, block(run(f.name+": ", object{"isSubtle": true}), run(f.value, nil)))
	}
	for _, said := range words(n) {
		body = append(body, block(run(said, nil)))
	}
	card := object{"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": body}
	if link := s.link(n); link != "" {
		card["actions"] = []object{{"type": "Action.OpenUrl", "title": "Open in Countersign", "url": link}}
	}
	return object{"type": "message", "attachments": []object{{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card}}}
}

// Mail is one message. Subject is one line; nothing in it is encoded yet.
type Mail struct {
	ID      string // unique, and the same each time the message is sent
	To      []string
	Subject string
	Text    string
	Time    time.Time
}

// message is a delivery as mail.
func (s *Service) message(d *delivery) Mail {
	n := &d.Notice
	var b strings.Builder
	b.WriteString(title(n) + "\n\n")
	for _, f := range facts(n) {
		b.WriteString(f.name + ": " + f.value + "\n")
	}
	for _, said := range words(n) {
		b.WriteString("\n" + said + "\n")
	}
	if link := s.link(n); link != "" {
		b.WriteString("\n" + link + "\n")
	}
	return Mail{ID: d.ID, To: d.To, Subject: "[countersign] " + title(n), Text: b.String(), Time: n.When()}
}
