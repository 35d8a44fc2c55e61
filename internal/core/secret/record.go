package secret

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// State is what may be done with a version.
type State string

const (
	Enabled   State = "enabled"
	Disabled  State = "disabled"
	Deleted   State = "deleted"
	Destroyed State = "destroyed"
)

// Tag is one key and value on a secret, in the order in which they were set.
type Tag struct {
	Key   string `cbor:"1,keyasint" json:"key"`
	Value string `cbor:"2,keyasint" json:"value"`
}

// Replica is the state of one copy in another region.
type Replica struct {
	Region  string `cbor:"1,keyasint" json:"region"`
	KMSKey  string `cbor:"2,keyasint,omitempty" json:"kms_key,omitempty"`
	Status  string `cbor:"3,keyasint" json:"status"` // InSync or Failed
	Message string `cbor:"4,keyasint,omitempty" json:"message,omitempty"`
}

// Statuses of a replica.
const (
	InSync        = "InSync"
	ReplicaFailed = "Failed"
)

// Rotation is how a secret is to be rotated.
type Rotation struct {
	Enabled  bool              `cbor:"1,keyasint" json:"enabled"`
	Function string            `cbor:"2,keyasint,omitempty" json:"function,omitempty"` // ARN of the rotation function
	Days     int64             `cbor:"3,keyasint,omitempty" json:"days,omitempty"`
	Schedule string            `cbor:"4,keyasint,omitempty" json:"schedule,omitempty"` // rate() or cron()
	Window   string            `cbor:"5,keyasint,omitempty" json:"window,omitempty"`   // "3h"
	Last     int64             `cbor:"6,keyasint,omitempty" json:"last,omitempty"`     // when last rotated, microseconds
	External map[string]string `cbor:"7,keyasint,omitempty" json:"external,omitempty"` // metadata of a managed external rotation
	Role     string            `cbor:"8,keyasint,omitempty" json:"role,omitempty"`
	Since    int64             `cbor:"9,keyasint,omitempty" json:"since,omitempty"` // when the schedule was set, microseconds

	Grace    int64             `cbor:"10,keyasint,omitempty" json:"-"`                  // how long the previous credential stays valid, microseconds
	Rotator  string            `cbor:"11,keyasint,omitempty" json:"rotator,omitempty"`  // kind of rotator; empty with Function
	Options  map[string]string `cbor:"12,keyasint,omitempty" json:"options,omitempty"`  // of the rotator
	Jitter   int64             `cbor:"13,keyasint,omitempty" json:"-"`                  // microseconds
	Blackout []string          `cbor:"14,keyasint,omitempty" json:"blackout,omitempty"` // periods without rotations
	Readers  int64             `cbor:"15,keyasint,omitempty" json:"-"`                  // whose reads a retirement waits for, microseconds back
	Deadline int64             `cbor:"16,keyasint,omitempty" json:"-"`                  // but no longer than that after the rotation, microseconds

	Tried   int64    `cbor:"17,keyasint,omitempty" json:"-"`                 // when a rotation last began, microseconds
	Put     int64    `cbor:"18,keyasint,omitempty" json:"-"`                 // when the current value last changed, microseconds
	Seen    uint64   `cbor:"19,keyasint,omitempty" json:"-"`                 // the current version then
	Retry   int64    `cbor:"20,keyasint,omitempty" json:"-"`                 // when a rotation that failed is tried again, microseconds
	Retries int      `cbor:"21,keyasint,omitempty" json:"-"`                 // how often it was
	Closes  int64    `cbor:"22,keyasint,omitempty" json:"-"`                 // end of the window in which it is, microseconds
	Failure *Failure `cbor:"23,keyasint,omitempty" json:"failure,omitempty"` // why the last rotation failed; nil: it did not
	Revoked uint64   `cbor:"24,keyasint,omitempty" json:"-"`                 // version whose predecessor was revoked at once
	Stopped uint64   `cbor:"25,keyasint,omitempty" json:"-"`                 // version that a rotation made which stopped: the next goes on with it
}

// labelled is where a label is: enough of the version to read it by label.
type labelled struct {
	Number  uint64 `cbor:"1,keyasint"`
	ID      string `cbor:"2,keyasint"`
	Created int64  `cbor:"3,keyasint"`
	Empty   bool   `cbor:"4,keyasint,omitempty"` // no value is to be read: it has none yet, was deleted or destroyed
	Binary  bool   `cbor:"5,keyasint,omitempty"`
	Expires int64  `cbor:"6,keyasint,omitempty"` // when it reads as deleted by itself, microseconds
	Object  bool   `cbor:"7,keyasint,omitempty"` // the value is known to be a JSON object; a front need not look
}

// readable reports whether the version has a value to be read at a time.
func (l *labelled) readable(now time.Time) bool {
	return !l.Empty && (l.Expires == 0 || l.Expires > micros(now))
}

// head is the record of a secret. Times are microseconds since 1970.
type head struct {
	Suffix      string              `cbor:"1,keyasint"`
	Description string              `cbor:"2,keyasint,omitempty"`
	KMSKey      string              `cbor:"3,keyasint,omitempty"`
	Type        string              `cbor:"4,keyasint,omitempty"`
	Created     int64               `cbor:"5,keyasint"`
	Changed     int64               `cbor:"6,keyasint"`
	Deleted     int64               `cbor:"7,keyasint,omitempty"` // when deletion was asked for
	Purge       int64               `cbor:"8,keyasint,omitempty"` // when it will be carried out
	Tags        []Tag               `cbor:"9,keyasint,omitempty"`
	Labels      map[string]labelled `cbor:"10,keyasint,omitempty"`
	Last        uint64              `cbor:"11,keyasint,omitempty"` // highest version number given out
	Kept        uint64              `cbor:"12,keyasint,omitempty"` // versions that are kept
	DataKey     []byte              `cbor:"13,keyasint,omitempty"` // wrapped; encrypts every version's value
	Policy      string              `cbor:"14,keyasint,omitempty"` // resource policy, IAM JSON
	Rotation    *Rotation           `cbor:"15,keyasint,omitempty"`
	Replicas    []Replica           `cbor:"16,keyasint,omitempty"`
	Primary     string              `cbor:"17,keyasint,omitempty"` // region of the primary; set on a replica only
	// Carried is the value of the current version once more, sealed as in its
	// own record, when it is short: a read then needs one record. It is the
	// work of putHead alone.
	Carried []byte `cbor:"18,keyasint,omitempty"`
	// Settings of the secret itself; zero is that of its mount or server.
	MaxVersions uint64 `cbor:"19,keyasint,omitempty"`
	CASRequired bool   `cbor:"20,keyasint,omitempty"`
	DeleteAfter int64  `cbor:"21,keyasint,omitempty"` // after which a new version reads as deleted, microseconds
	// Of rotation: what is under way, what is yet to end, and under which time the
	// due index has the secret, microseconds, 0: it does not.
	Run      *Run       `cbor:"22,keyasint,omitempty"`
	Retiring []Retiring `cbor:"23,keyasint,omitempty"`
	Due      int64      `cbor:"24,keyasint,omitempty"`
	Schema   []byte     `cbor:"25,keyasint,omitempty"` // digest of its schema; nil: it has none

	borrows bool // its bytes may end with the transaction that the record was read in
}

// Member implements record.Direct. What few secrets have is left to Decode.
func (h *head) Member(key uint64, s *record.Source) {
	switch key {
	case 1:
		h.Suffix = s.String()
	case 2:
		h.Description = s.String()
	case 3:
		h.KMSKey = s.String()
	case 5:
		h.Created = s.Int()
	case 6:
		h.Changed = s.Int()
	case 7:
		h.Deleted = s.Int()
	case 8:
		h.Purge = s.Int()
	case 9:
		h.Tags = make([]Tag, s.Len())
		for i := range h.Tags {
			s.Members(h.Tags[i].member)
		}
	case 10:
		h.readLabels(s)
	case 11:
		h.Last = s.Uint()
	case 12:
		h.Kept = s.Uint()
	case 13:
		h.DataKey = h.bytes(s)
	case 14:
		h.Policy = s.String()
	case 18:
		h.Carried = h.bytes(s)
	case 19:
		h.MaxVersions = s.Uint()
	case 20:
		h.CASRequired = s.True()
	case 21:
		h.DeleteAfter = s.Int()
	case 24:
		h.Due = s.Int()
	case 25:
		h.Schema = s.Bytes()
	default:
		s.Fail()
	}
}

func (h *head) bytes(s *record.Source) []byte {
	if h.borrows {
		return s.Borrow()
	}
	return s.Bytes()
}

func (t *Tag) member(key uint64, s *record.Source) {
	switch key {
	case 1:
		t.Key = s.String()
	case 2:
		t.Value = s.String()
	default:
		s.Fail()
	}
}

func (h *head) readLabels(s *record.Source) {
	n := s.Pairs()
	if h.Labels == nil {
		h.Labels = make(map[string]labelled, n)
	}
	for range n {
		label := s.Text()
		text := name.Current // nearly always, and then it needs no memory
		if string(label) != name.Current {
			text = string(label)
		}
		var at labelled
		s.Members(at.member)
		h.Labels[text] = at
	}
	if len(h.Labels) < n {
		s.Fail() // one is there twice
	}
}

func (l *labelled) member(key uint64, s *record.Source) {
	switch key {
	case 1:
		l.Number = s.Uint()
	case 2:
		l.ID = s.String()
	case 3:
		l.Created = s.Int()
	case 4:
		l.Empty = s.True()
	case 5:
		l.Binary = s.True()
	case 6:
		l.Expires = s.Int()
	case 7:
		l.Object = s.True()
	default:
		s.Fail()
	}
}

// maxCarried bounds what is carried, so that a listing does not read values.
const maxCarried = 512

// version is the record of a version. The value stands in a record of its own.
type version struct {
	ID      string            `cbor:"1,keyasint"`
	Created int64             `cbor:"2,keyasint"`
	State   State             `cbor:"3,keyasint"`
	KMSKey  string            `cbor:"4,keyasint,omitempty"`
	Size    int               `cbor:"5,keyasint"`
	Binary  bool              `cbor:"6,keyasint,omitempty"`
	Empty   bool              `cbor:"7,keyasint,omitempty"` // registered, without a value yet
	Print   []byte            `cbor:"8,keyasint,omitempty"` // fingerprint of the value
	Keys    map[string][]byte `cbor:"9,keyasint,omitempty"` // of a JSON object, fingerprint of each key's value
	Change  string            `cbor:"10,keyasint,omitempty"`
	Author  string            `cbor:"11,keyasint,omitempty"`
	Given   []byte            `cbor:"12,keyasint,omitempty"` // fingerprint of what the author gave, when it was merged
	Current int64             `cbor:"13,keyasint,omitempty"` // when it first became AWSCURRENT, microseconds
	// Gone is when it was deleted, or, while it is enabled, when it reads as deleted
	// by itself, microseconds; 0: never.
	Gone int64 `cbor:"14,keyasint,omitempty"`
}

// state is what may be done with the version at a time.
func (v *version) state(now time.Time) State {
	if v.State == Enabled && v.Gone != 0 && v.Gone <= micros(now) {
		return Deleted
	}
	return v.State
}

// readable reports whether it has a value to be read at a time.
func (v *version) readable(now time.Time) bool { return !v.Empty && v.state(now) == Enabled }

// at is what a label on the version says of it.
func (v *version) at(number uint64) labelled {
	l := labelled{Number: number, ID: v.ID, Created: v.Created, Binary: v.Binary, Empty: v.Empty || v.State != Enabled, Object: len(v.Keys) > 0}
	if v.State == Enabled {
		l.Expires = v.Gone
	}
	return l
}

// Keys of the records. A secret's versions hang on its suffix, so that a name
// that is created anew never meets what is left of its predecessor.
func headKey(n name.Secret) kv.Key { return appendHeadKey(nil, n) }

func appendHeadKey(dst kv.Key, n name.Secret) kv.Key {
	return dst.Str(n.Account, "secret", n.Region, n.Name)
}

func headPrefix(account, region string) kv.Key { return kv.K(account, "secret", region) }

func createdKey(n name.Secret, created int64) kv.Key {
	return kv.K(n.Account, "secret-created", n.Region).Num(uint64(created)).Str(n.Name)
}

func versionKey(n name.Secret, suffix string, number uint64) kv.Key {
	return kv.K(n.Account, "version", n.Region, n.Name, suffix).Num(number)
}

func valueKey(n name.Secret, suffix string, number uint64) kv.Key {
	return kv.K(n.Account, "value", n.Region, n.Name, suffix).Num(number)
}

func versionIDKey(n name.Secret, suffix, id string) kv.Key {
	return kv.K(n.Account, "version-id", n.Region, n.Name, suffix, id)
}

// usedKey holds the day on which a version (or, for number 0, the secret) was
// last read.
func usedKey(n name.Secret, suffix string, number uint64) kv.Key {
	return kv.K(n.Account, "used", n.Region, n.Name, suffix).Num(number)
}

// purgeKey is the entry of the due index that deletes a secret for good.
func purgeKey(n name.Secret, suffix string, when int64) kv.Key {
	return kv.K("sys", "due", "purge").Num(uint64(when)).Str(n.Account, n.Region, n.Name, suffix)
}

// labelsOf returns the labels on a version, sorted.
func (h *head) labelsOf(number uint64) (labels []string) {
	for l, at := range h.Labels {
		if at.Number == number {
			labels = append(labels, l)
		}
	}
	slices.Sort(labels)
	return labels
}

// attach puts a label on a version. AWSCURRENT drags AWSPREVIOUS to the
// version that it leaves.
func (h *head) attach(label string, to labelled) {
	if h.Labels == nil {
		h.Labels = map[string]labelled{}
	}
	if label == name.Current {
		if from, ok := h.Labels[name.Current]; ok && from.Number != to.Number {
			h.Labels[name.Previous] = from
		}
	}
	h.Labels[label] = to
	if prev, ok := h.Labels[name.Previous]; ok && label == name.Current && prev.Number == to.Number {
		delete(h.Labels, name.Previous)
	}
}

// note tells the labels on a version what became of it.
func (h *head) note(number uint64, v *version) {
	for l, at := range h.Labels {
		if at.Number == number {
			h.Labels[l] = v.at(number)
		}
	}
}

// waiting reports whether a version only waits for the change that proposed it.
func (h *head) waiting(number uint64) bool {
	for l, at := range h.Labels {
		if at.Number == number && strings.HasPrefix(l, name.PendingPrefix) {
			return true
		}
	}
	return false
}

func (h *head) live() error {
	if h.Deleted != 0 {
		return errs.Coded(errs.Precondition, CodeDeleted, "the secret is marked for deletion")
	}
	return nil
}

func getHead(r kv.Reader, n name.Secret) (*head, error) {
	return record.Find[head](r, headKey(n))
}

// putHead writes a head, after the records that it refers to.
func putHead(tx kv.Txn, n name.Secret, h *head) (err error) {
	if h.Carried, err = toCarry(tx, n, h); err != nil {
		return err
	}
	if err := h.index(tx, n, false); err != nil {
		return err
	}
	return record.Put(tx, headKey(n), h)
}

// toCarry is what a head is to carry, nil for nothing.
func toCarry(r kv.Reader, n name.Secret, h *head) ([]byte, error) {
	at, ok := h.Labels[name.Current]
	if !ok || at.Empty || h.Primary != "" {
		return nil, nil
	}
	sealed, err := r.Get(valueKey(n, h.Suffix, at.Number))
	if err != nil || len(sealed) > maxCarried {
		return nil, err
	}
	return bytes.Clone(sealed), nil // what was read dies with the transaction
}

func getVersion(r kv.Reader, n name.Secret, suffix string, number uint64) (version, error) {
	v, ok, err := record.Get[version](r, versionKey(n, suffix, number))
	if err == nil && !ok {
		err = errs.New(errs.Internal, "version %d of a secret has no record", number)
	}
	return v, err
}

// numberOf finds a version by its id.
func numberOf(r kv.Reader, n name.Secret, h *head, id string) (uint64, bool, error) {
	for _, at := range h.Labels {
		if at.ID == id {
			return at.Number, true, nil
		}
	}
	return record.Get[uint64](r, versionIDKey(n, h.Suffix, id))
}

// micros converts a time for a record.
func micros(t time.Time) int64 { return t.UnixMicro() }

// when converts back; zero stays the zero time.
func when(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// day is the time cut to the day, in UTC.
func day(t time.Time) int64 { return t.Unix() / 86400 }

func dayTime(d int64) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Unix(d*86400, 0).UTC()
}

func tagMap(tags []Tag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

// hasPrefixFold is strings.HasPrefix without regard to case.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
