package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// MarshalJSON spells a record as it stands in the log, without its chain.
func (r Record) MarshalJSON() ([]byte, error) {
	b := strconv.AppendUint(append(make([]byte, 0, 512), `{"seq":`...), r.Seq, 10)
	return append(appendRecord(b, &r), '}'), nil
}

// recordJSON is the schema of a record for readers that take it from an
// interface, where space and order of members are free and a newer server may
// have added members.
type recordJSON struct {
	Seq         uint64        `json:"seq"`
	ID          string        `json:"id"`
	Time        time.Time     `json:"time"`
	Duration    time.Duration `json:"duration_ns"`
	RequestID   string        `json:"request_id"`
	Account     string        `json:"account"`
	Principal   principalJSON `json:"principal"`
	Front       string        `json:"front"`
	Operation   string        `json:"operation"`
	Resource    string        `json:"resource"`
	Region      string        `json:"region"`
	Version     uint64        `json:"version"`
	Keys        []string      `json:"keys"`
	KeysOmitted uint64        `json:"keys_omitted"`
	Change      string        `json:"change"`
	Source      string        `json:"source"`
	Agent       string        `json:"agent"`
	Outcome     Outcome       `json:"outcome"`
	Error       string        `json:"error"`
	Decision    *decisionJSON `json:"decision"`
}

type principalJSON struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	KeyID   string `json:"key_id"`
	Proof   string `json:"proof"`
	Account string `json:"account"`
}

type decisionJSON struct {
	ID        string   `json:"id"`
	Effect    string   `json:"effect"`
	Action    string   `json:"action"`
	Resource  string   `json:"resource"`
	Policy    string   `json:"policy"`
	Statement string   `json:"statement"`
	Missing   []string `json:"missing"`
}

// UnmarshalJSON reads what MarshalJSON wrote, also after it was indented or
// gained members. Lines of the log itself are read strictly, by other code.
func (r *Record) UnmarshalJSON(data []byte) error {
	var v recordJSON
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("decoding audit record: %w", err)
	}
	*r = Record{
		Seq: v.Seq, ID: v.ID, Time: v.Time.UTC(), Duration: v.Duration, RequestID: v.RequestID, Account: v.Account,
		Principal: Principal(v.Principal), Front: v.Front, Operation: v.Operation, Resource: v.Resource,
		Region: v.Region, Version: v.Version, Keys: v.Keys, KeysOmitted: v.KeysOmitted, Change: v.Change,
		Source: v.Source, Agent: v.Agent, Outcome: v.Outcome, Error: v.Error,
	}
	if v.Decision != nil {
		d := Decision(*v.Decision)
		r.Decision = &d
	}
	return nil
}

// decodeStrict reads one JSON value into v and insists that v spells it the
// same way, byte for byte.
func decodeStrict(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	again, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return fmt.Errorf("not in its one spelling")
	}
	return nil
}
