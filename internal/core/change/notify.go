package change

import (
	"fmt"
	"slices"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/notice"
	"countersign/internal/core/protect"
)

// notify puts a notice of a change into the outbox, in the transaction of what it
// tells of. Of a trial, which nobody ever sees, nothing is told.
//
// The id is that of the audit record of the request, which is fixed before the
// transaction and another one for each request, and a count within it.
func (tx *Tx) notify(kind notice.Kind, t Target, rec *Record, text string) error {
	if _, trial := tx.Txn.(*overlay); trial {
		return nil
	}
	n := notice.Notice{
		ID: fmt.Sprintf("%s.%02d", tx.audit.ID, tx.notices), Account: t.Account, Time: tx.Now.UnixMicro(), Kind: kind,
		Change: rec.ID, Noun: t.Noun, Region: t.Region, Name: t.Name, Operation: rec.Operation,
		Actor: tx.Who.ARN(), Author: rec.Author, Reason: rec.Reason, Text: text, Status: string(rec.Status), Keys: rec.Keys,
	}
	emergency := rec.BreakGlass
	if t.Noun == nounEmergency {
		n.Change, emergency = "", rec.ID
	}
	n.Facts = map[string]string{}
	for fact, value := range map[string]string{"rule": rec.Rule, "emergency": emergency} {
		if value != "" {
			n.Facts[fact] = value
		}
	}
	var err error
	if n.Audience, err = audience(tx, t.Account, rec); err != nil {
		return err
	}
	tx.notices++
	return notice.Put(tx, n)
}

// audience is whom a notice of a change concerns: those who decide it while it
// waits, and when it was made without them, and otherwise the author.
func audience(tx *Tx, account string, rec *Record) ([]string, error) {
	if rec.Status != Pending && rec.BreakGlass == "" {
		if n, ok := strings.CutPrefix(rec.Author, caller.UserARN(account, "")); ok {
			return []string{n}, nil
		}
		return nil, nil // of another account, or the server itself
	}
	list, err := loadRules(tx, account)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list.Rules, func(r protect.Rule) bool { return r.Name == rec.Rule })
	if i < 0 { // it was deleted, or there was none: whoever may review it
		return nil, nil
	}
	var out []string
	for _, want := range list.Rules[i].Approvals {
		for _, g := range want.Groups {
			if g := "group:" + g; !slices.Contains(out, g) {
				out = append(out, g)
			}
		}
	}
	return out, nil
}
