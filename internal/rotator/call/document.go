package call

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"countersign/internal/rotator"
)

// Document is what is sent. Members are only ever added.
type Document struct {
	Version int       `json:"version"`
	ID      string    `json:"id"` // of this call alone
	Time    time.Time `json:"time"`
	Step    string    `json:"step"`
	Undo    bool      `json:"undo,omitempty"` // rotate is to go back

	Secret        string            `json:"secret"` // its name
	ARN           string            `json:"arn"`
	Account       string            `json:"account"`
	Region        string            `json:"region"`
	VersionID     string            `json:"version_id"`
	RotationToken string            `json:"rotation_token"`
	Note          string            `json:"note,omitempty"` // that create answered
	Options       map[string]string `json:"options"`

	Current  *Value `json:"current,omitempty"`
	Pending  *Value `json:"pending,omitempty"`
	Previous *Value `json:"previous,omitempty"`
}

// Value is a value in a document: its text, or its bytes.
type Value struct {
	Text   *string `json:"text,omitempty"`
	Base64 []byte  `json:"base64,omitempty"`
}

func valueOf(v rotator.Value) *Value {
	b := v.Data.Reveal()
	if len(b) == 0 {
		return nil
	}
	if v.Binary || !utf8.Valid(b) {
		return &Value{Base64: b}
	}
	return &Value{Text: new(string(b))}
}

// document is that of a step. create does not get what is pending, because there is
// nothing.
func (x *caller) document(j rotator.Job, step string) *Document {
	now := time.Now
	if x.env.Now != nil {
		now = x.env.Now
	}
	options := j.Options
	if options == nil {
		options = map[string]string{}
	}
	return &Document{
		Version: 1, ID: rand.Text(), Time: now().UTC(), Step: step,
		Secret: j.Name, ARN: j.ARN, Account: j.Account, Region: j.Region, VersionID: j.VersionID,
		RotationToken: string(j.Token.Reveal()), Note: j.Note, Options: options,
		Current: valueOf(j.Current), Pending: valueOf(j.Pending), Previous: valueOf(j.Previous),
	}
}

// Bytes is the document as it is sent.
func (d *Document) Bytes() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a value is to be found as it is
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("encoding what is sent: %w", err)
	}
	return b.Bytes(), nil
}
