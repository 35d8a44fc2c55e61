package auditdevice

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
)

// State is how a device fares.
type State string

// The states of a device.
const (
	Starting State = "starting" // nothing was tried yet
	Writing  State = "writing"
	Failing  State = "failing" // it cannot be written, and is tried again
)

// Device is a device as it is shown.
type Device struct {
	Name        string            `json:"name"`
	Type        string            `json:"type"`
	Options     map[string]string `json:"options"`
	Description string            `json:"description,omitempty"`
	Local       bool              `json:"local,omitempty"`
	Created     time.Time         `json:"created"`
	By          string            `json:"created_by"` // ARN
	State       State             `json:"state"`
	Since       time.Time         `json:"since,omitzero"`          // of the state
	Why         string            `json:"why,omitempty"`           // it is failing
	Written     time.Time         `json:"last_written,omitzero"`   // when it last wrote
	Record      string            `json:"last_record,omitempty"`   // id of the last record that it wrote
	Behind      int64             `json:"behind_ms"`               // age of the oldest record that is not written
	Lost        uint64            `json:"lost_records,omitempty"`  // that were gone before they were written
	Seq         uint64            `json:"last_sequence,omitempty"` // place in the log; of the home account only
	Lag         uint64            `json:"lag_records,omitempty"`   // behind the log's last; of the home account only
}

// List lists the account's devices by name, with how they fare.
func (s *Service) List(ctx context.Context, who caller.Caller) ([]Device, error) {
	var list []named
	err := s.Gate.View(ctx, who, policy.ListAuditDevices, "", func(a *gate.Access) (err error) {
		if err := a.Allow(&policy.Request{Op: policy.ListAuditDevices, Resource: policy.AnyResource, Account: who.Account}, nil); err != nil {
			return err
		}
		list, err = devices(a, who.Account)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]Device, 0, len(list))
	for i := range list {
		out = append(out, s.show(who.Account, &list[i]))
	}
	return out, nil
}

func (s *Service) show(account string, d *named) Device {
	out := Device{Name: d.name, Type: d.Type, Options: d.Options, Description: d.Description, Local: d.Local,
		Created: time.UnixMicro(d.Made).UTC(), By: d.By, State: Starting}
	if out.Options == nil {
		out.Options = map[string]string{}
	}
	s.mu.Lock()
	w := s.workers[place{account, d.name}]
	s.mu.Unlock()
	if w == nil || w.d.Made != d.Made {
		return out
	}
	st := w.report.get()
	out.State, out.Since, out.Why = st.state, st.since, st.why
	out.Written, out.Record, out.Lost = st.written, st.lastID, st.lost
	out.Behind = st.behind(time.Now()).Milliseconds()
	if account == s.Home {
		out.Seq = st.place
		out.Lag = max(s.Log.Stats().Seq, st.place) - st.place
	}
	return out
}

// Hash returns how a text stands in the lines of a device, if it is one that is
// there as an HMAC.
func (s *Service) Hash(ctx context.Context, who caller.Caller, n string, input []byte) (string, error) {
	n, err := cleanName(n)
	if err == nil && (len(input) == 0 || len(input) > MaxHashed) {
		err = errs.InvalidField("input", "the input has 1 to %d bytes", MaxHashed)
	}
	if err != nil {
		return "", s.refuse(ctx, who, policy.AuditHash, n, err)
	}
	var out string
	err = s.Gate.View(ctx, who, policy.AuditHash, n, func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: policy.AuditHash, Resource: policy.AuditDeviceARN(who.Account, n), Account: who.Account}, nil); err != nil {
			return err
		}
		d, err := record.Find[stored](a, place{who.Account, n}.key())
		if err != nil {
			return err
		}
		if d == nil {
			return noDevice()
		}
		out = d.hash(input)
		return nil
	})
	if err != nil {
		return "", err
	}
	return out, nil
}

// Totals is how all devices fare together.
type Totals struct {
	Devices, Failing int
	Behind           time.Duration     // of the one that is furthest behind
	Lost             uint64            // records
	Lines            map[string]uint64 // written since the start, by type
}

// Totals returns them.
func (s *Service) Totals() Totals {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := Totals{Devices: len(s.workers), Lost: s.lost, Lines: make(map[string]uint64, len(s.lines))}
	for k, n := range s.lines {
		t.Lines[k] = n
	}
	for _, w := range s.workers {
		st := w.report.get()
		if st.state == Failing {
			t.Failing++
		}
		t.Behind = max(t.Behind, st.behind(now))
	}
	return t
}
