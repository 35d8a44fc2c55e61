package transit

import (
	"bytes"
	"strconv"
	"time"

	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
)

// next is the key as it will be, nil when it goes. It is the same at any time: what
// the clock adds, Apply adds.
func (e *edit) next() (*stored, error) {
	switch e.op {
	case policy.CreateTransitKey:
		if e.is != nil {
			return e.is, nil
		}
		return e.Key, nil
	case policy.RestoreTransitKey:
		return e.restored()
	case policy.ImportTransitKey:
		return e.imported()
	}
	if e.is == nil {
		return nil, missing(e.op)
	}
	k := *e.is
	switch e.op {
	case policy.RotateTransitKey:
		return &k, e.rotate(&k)
	case policy.ConfigTransitKey:
		return &k, e.configure(&k)
	case policy.TrimTransitKey:
		return &k, e.trim(&k)
	}
	if !k.DeletionAllowed {
		return nil, errs.Coded(errs.Precondition, CodeDelete, "deletion is not allowed for this key")
	}
	return nil, nil
}

// missing is what is said of a key that is not there, as Vault words it.
func missing(op policy.Op) error {
	msg := "no existing key of that name could be found"
	if op == policy.DeleteTransitKey {
		msg = "could not delete key; not found"
	}
	return errs.Coded(errs.NotFound, CodeKey, "%s", msg)
}

func (e *edit) rotate(k *stored) error {
	if k.Imported && !k.AllowRotation {
		return errs.Coded(errs.Precondition, CodeImport, "imported key does not allow rotation")
	}
	k.Latest++
	k.Imported = false
	return nil
}

func (e *edit) configure(k *stored) error {
	if e.MinDecryption != nil {
		if *e.MinDecryption > k.Latest {
			return errs.InvalidField("min_decryption_version", "cannot set min decryption version of %d, latest key version is %d", *e.MinDecryption, k.Latest)
		}
		k.MinDecryption = *e.MinDecryption
	}
	if e.MinEncryption != nil {
		if *e.MinEncryption > k.Latest {
			return errs.InvalidField("min_encryption_version", "cannot set min encryption version of %d, latest key version is %d", *e.MinEncryption, k.Latest)
		}
		k.MinEncryption = *e.MinEncryption
	}
	switch {
	case k.MinEncryption > 0 && k.MinEncryption < k.MinDecryption:
		return errs.InvalidField("min_encryption_version", "cannot set min encryption/decryption values; min encryption version of %d must be greater than or equal to min decryption version of %d", k.MinEncryption, k.MinDecryption)
	case k.MinAvailable > k.MinEncryption:
		return errs.InvalidField("min_encryption_version", "min encryption version should not be less than min available version")
	case k.MinAvailable > k.MinDecryption:
		return errs.InvalidField("min_decryption_version", "min decryption version should not be less than min available version")
	}
	if e.DeletionAllowed != nil {
		k.DeletionAllowed = *e.DeletionAllowed
	}
	k.Exportable = k.Exportable || e.Exportable
	k.PlaintextBackup = k.PlaintextBackup || e.PlaintextBackup
	if e.RotateEvery != nil {
		if *e.RotateEvery > 0 && k.Imported && !k.AllowRotation {
			return errs.Coded(errs.Precondition, CodeImport, "imported key does not allow rotation")
		}
		k.RotateEvery = *e.RotateEvery
	}
	return nil
}

func (e *edit) trim(k *stored) error {
	const field = "min_available_version"
	switch n := e.MinAvailable; {
	case n < k.MinAvailable:
		return errs.InvalidField(field, "minimum available version cannot be decremented")
	case k.MinEncryption == 0:
		return errs.InvalidField(field, "minimum available version cannot be set when minimum encryption version is not set")
	case n > k.MinEncryption:
		return errs.InvalidField(field, "minimum available version cannot be greater than minimum encryption version")
	case n > k.MinDecryption:
		return errs.InvalidField(field, "minimum available version cannot be greater than minimum decryption version")
	}
	k.MinAvailable = e.MinAvailable
	return nil
}

func (e *edit) Apply(tx *change.Tx) error {
	if e.op == policy.CreateTransitKey && e.is != nil {
		tx.NothingToDo()
		e.existed, e.out = true, e.is.show(e.name)
		return e.is.showVersions(tx, e.account, nil, &e.out)
	}
	next, err := e.next()
	if err != nil {
		return err
	}
	if e.due != 0 && (e.is == nil || e.is.RotateAt != e.due) {
		tx.NothingToDo() // it was rotated or changed meanwhile, and has another entry
		return tx.Delete(rotateKey(e.account, e.name, e.due))
	}
	was := e.is
	if was == nil {
		was = &stored{}
	}
	if next != nil && *next == *was {
		tx.NothingToDo()
		e.out = next.show(e.name)
		return next.showVersions(tx, e.account, nil, &e.out)
	}
	if err := e.produce(tx, was, next); err != nil {
		return err
	}
	if next == nil {
		return e.destroy(tx, was)
	}
	k := *next
	k.Revision = was.Revision + 1
	if err := e.write(tx, was, &k); err != nil {
		return err
	}
	e.out = k.show(e.name)
	return k.showVersions(tx, e.account, nil, &e.out)
}

// produce notes what votes are over: the key as it was and as it will be.
func (e *edit) produce(tx *change.Tx, was, next *stored) error {
	text, err := record.Encode([]*stored{was, next})
	if err != nil {
		return err
	}
	tx.Produced(text)
	var version uint64
	if next != nil && next.Latest != was.Latest {
		version = next.Latest
	}
	tx.Wrote(was.Latest, version, nil)
	return nil
}

// write puts a key, its new versions, and its entry in the due index, and takes
// away what it no longer has.
func (e *edit) write(tx *change.Tx, was, k *stored) error {
	now := micros(tx.Now)
	switch e.op {
	case policy.CreateTransitKey, policy.RotateTransitKey, policy.ImportTransitKey:
		if len(e.New) != 1 && (len(e.New) > 0 || k.Latest != was.Latest) {
			return errs.Coded(errs.Conflict, CodeBusy, "the key was made or deleted meanwhile: try again")
		}
		for i := range e.New {
			if err := e.putVersion(tx, k, &e.New[i], now); err != nil {
				return err
			}
		}
	case policy.RestoreTransitKey:
		k.Restored, k.RestoredVersion = now, k.Latest
		for i := range e.New {
			if err := record.Put(tx, versionKey(e.account, k.ID, k.first()+uint64(i)), e.New[i]); err != nil {
				return err
			}
		}
	}
	if err := e.leave(tx, was, k); err != nil {
		return err
	}
	return e.schedule(tx, was, k)
}

// putVersion puts the version that is added, or the one that is completed.
func (e *edit) putVersion(tx *change.Tx, k *stored, v *version, now int64) error {
	number, put := k.Latest, *v
	put.Created = now
	if e.Version != 0 {
		old, err := findVersion(tx, e.account, k, e.Version)
		if err != nil {
			return err
		}
		switch {
		case len(old.Private) > 0:
			return errs.Coded(errs.Precondition, CodeImport, "private key imported, key version cannot be updated")
		case !bytes.Equal(old.Public, put.Public):
			return errs.Coded(errs.Invalid, CodeImport, "cannot import key, key pair does not match")
		}
		number, put.Created, put.MAC = e.Version, old.Created, old.MAC
	}
	if _, err := prepare(k, &put); err != nil {
		return err
	}
	return record.Put(tx, versionKey(e.account, k.ID, number), put)
}

// leave drops versions that the key had and has no more.
func (e *edit) leave(tx *change.Tx, was, k *stored) error {
	switch {
	case was.ID != "" && was.ID != k.ID:
		return drop(tx, e.account, was.ID, was.first(), was.Latest+1)
	case k.MinAvailable > was.MinAvailable:
		return drop(tx, e.account, k.ID, was.first(), k.MinAvailable)
	}
	return nil
}

// schedule puts the key with the time of its next rotation.
func (e *edit) schedule(tx *change.Tx, was, k *stored) error {
	if was.RotateAt != 0 {
		if err := tx.Delete(rotateKey(e.account, e.name, was.RotateAt)); err != nil {
			return err
		}
	}
	k.RotateAt = 0
	if k.RotateEvery > 0 {
		newest, err := findVersion(tx, e.account, k, k.Latest)
		if err != nil {
			return err
		}
		at := when(newest.Created).Add(time.Duration(k.RotateEvery) * time.Second)
		if at.Before(tx.Now) {
			at = tx.Now
		}
		k.RotateAt = micros(at)
		if err := tx.Put(rotateKey(e.account, e.name, k.RotateAt), []byte{1}); err != nil {
			return err
		}
	}
	return record.Put(tx, keyKey(e.account, e.name), k)
}

// destroy takes away a key.
func (e *edit) destroy(tx *change.Tx, was *stored) error {
	e.out = Key{}
	if was.RotateAt != 0 {
		if err := tx.Delete(rotateKey(e.account, e.name, was.RotateAt)); err != nil {
			return err
		}
	}
	if err := drop(tx, e.account, was.ID, was.first(), was.Latest+1); err != nil {
		return err
	}
	return tx.Delete(keyKey(e.account, e.name))
}

// Lines say what a change does, for its review.
func (e *edit) Lines() []string {
	n := "transit key " + e.name
	switch e.op {
	case policy.CreateTransitKey:
		return append([]string{"creates " + n}, e.Key.lines()...)
	case policy.RestoreTransitKey:
		first := "restores " + n + " from a backup"
		if e.Force {
			first += ", in the place of one that is there"
		}
		return append([]string{first, "versions up to " + number(e.Key.Latest)}, e.Key.lines()...)
	case policy.ImportTransitKey:
		switch {
		case e.Version != 0:
			return []string{"imports the private half of version " + number(e.Version) + " of " + n}
		case e.More:
			return []string{"imports a new version of " + n}
		}
		return append([]string{"imports " + n}, e.Key.lines()...)
	case policy.RotateTransitKey:
		return []string{"rotates " + n}
	case policy.TrimTransitKey:
		return []string{"destroys the versions of " + n + " below " + number(e.MinAvailable) + ": what they encrypted is lost"}
	case policy.DeleteTransitKey:
		return []string{"deletes " + n + ": what it encrypted is lost"}
	}
	return append([]string{"configures " + n}, e.configLines()...)
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// lines describe a new key.
func (k *stored) lines() []string {
	out := []string{"type " + string(k.Type)}
	for _, f := range []struct {
		is   bool
		text string
	}{
		{k.Derived, "derived: each context has a key of its own"},
		{k.Convergent, "convergent: equal plaintexts have equal ciphertexts"},
		{k.Exportable, "its key material may be exported"},
		{k.PlaintextBackup, "it may be backed up in the clear"},
		{k.AllowRotation, "it may be rotated here"},
		{k.RotateEvery > 0, "rotates every " + (time.Duration(k.RotateEvery) * time.Second).String()},
	} {
		if f.is {
			out = append(out, f.text)
		}
	}
	return out
}

func (e *edit) configLines() (out []string) {
	if e.MinDecryption != nil {
		out = append(out, "decrypts and verifies from version "+number(*e.MinDecryption)+" on")
	}
	if e.MinEncryption != nil {
		out = append(out, "encrypts and signs from version "+number(*e.MinEncryption)+" on (0: any that decrypts)")
	}
	if e.DeletionAllowed != nil {
		out = append(out, "deletion allowed: "+strconv.FormatBool(*e.DeletionAllowed))
	}
	if e.Exportable {
		out = append(out, "its key material may be exported from now on")
	}
	if e.PlaintextBackup {
		out = append(out, "it may be backed up in the clear from now on")
	}
	if e.RotateEvery != nil {
		out = append(out, "rotates every "+(time.Duration(*e.RotateEvery)*time.Second).String()+" (0s: never)")
	}
	return out
}
