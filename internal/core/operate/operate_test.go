package operate_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/audit"
	"countersign/internal/core/coretest"
	"countersign/internal/core/operate"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/keyring"
	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	"countersign/internal/kv/sealed"
	"countersign/internal/seal/keyfile"
	"countersign/internal/sensitive"
)

func newService(t *testing.T, core *coretest.Core, change func(*operate.Config)) *operate.Service {
	t.Helper()
	c := operate.Config{Gate: core.Gate, Home: core.Authn, Log: core.Log, Relay: core.Relay, Keyring: core.Ring,
		Walk:     keyring.Walk{DB: core.DB, Ciphertext: sealed.Ciphertext, DataKeys: secret.DataKeys},
		AuditDir: filepath.Join(core.Dir, "audit"), Spool: core.Dir, Version: "1.2.3", Started: time.Now(), Regions: core.Secrets.Regions()}
	if db, ok := core.Engine.(*boltkv.DB); ok {
		c.Store = db
	}
	if change != nil {
		change(&c)
	}
	return operate.New(c)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, core *coretest.Core, name, value string) {
	t.Helper()
	_, err := core.Secrets.Create(t.Context(), core.Admin, secret.CreateRequest{Name: name, VersionID: strings.Repeat("v", 32),
		Value: &secret.Input{Data: sensitive.FromString(value)}})
	must(t, err)
}

func TestStatus(t *testing.T) {
	core := coretest.New(t, coretest.Config{Bolt: true})
	s := newService(t, core, nil)
	st, err := s.Status(t.Context(), core.Admin)
	must(t, err)
	if st.Version != "1.2.3" || st.Home != coretest.Home || st.Size <= 0 || st.Revision == 0 || st.Keyring.StoreID == "" || len(st.Warnings) != 0 {
		t.Errorf("status %+v", st)
	}
	stranger, _ := core.Stranger(t)
	bob, _ := core.User(t, "bob", "")
	for _, who := range []struct {
		name string
		do   func() error
	}{
		{"status", func() error { _, err := s.Status(t.Context(), stranger); return err }},
		{"status-without-policy", func() error { _, err := s.Status(t.Context(), bob); return err }},
		{"backup", func() error { _, err := s.Backup(t.Context(), stranger, nil); return err }},
		{"rotate", func() error { _, _, err := s.RotateKeys(t.Context(), stranger); return err }},
		{"keyring", func() error { _, _, err := s.KeyringStatus(t.Context(), stranger); return err }},
	} {
		t.Run(who.name, func(t *testing.T) {
			if err := who.do(); !errs.Is(err, errs.Denied) || errs.As(err).Decision == "" {
				t.Errorf("got %v", err)
			}
		})
	}
	if info, err := core.Ring.Account(coretest.Home); err != nil || len(info.Old) > 0 {
		t.Errorf("a refused rotation left %+v, %v", info, err)
	}
}

// brokenLog is a log in trouble.
type brokenLog struct{ *audit.Log }

func (brokenLog) Stats() audit.Stats { return audit.Stats{LowSpace: true, Broken: true} }

func TestWarnings(t *testing.T) {
	core := coretest.New(t, coretest.Config{})
	s := newService(t, core, func(c *operate.Config) { c.Log = brokenLog{core.Log} })
	st, err := s.Status(t.Context(), core.Admin)
	must(t, err)
	if len(st.Warnings) != 2 || st.Size != -1 {
		t.Errorf("status %+v", st)
	}
	if _, err := s.Backup(t.Context(), core.Admin, nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("a backup of a store without a file: %v", err)
	}
}

// backup makes one.
func backup(t *testing.T, core *coretest.Core, recipients ...string) []byte {
	t.Helper()
	b, err := newService(t, core, nil).Backup(t.Context(), core.Admin, recipients)
	must(t, err)
	defer b.Close()
	var out bytes.Buffer
	must(t, b.Write(t.Context(), &out))
	return out.Bytes()
}

func TestBackupAndRestore(t *testing.T) {
	core := coretest.New(t, coretest.Config{Bolt: true})
	put(t, core, "canary", "a planted value")
	id, err := age.GenerateX25519Identity()
	must(t, err)
	for name, tt := range map[string]struct {
		data []byte
		ids  []age.Identity
	}{
		"plain":     {backup(t, core), nil},
		"encrypted": {backup(t, core, id.Recipient().String()), []age.Identity{id}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			m, err := operate.RestoreBackup(bytes.NewReader(tt.data), tt.ids, dir)
			must(t, err)
			if m.Format != operate.Format || m.StoreID != core.Ring.Info().StoreID || m.Version != "1.2.3" {
				t.Errorf("manifest %+v", m)
			}
			checkRestored(t, core, dir)
			if _, err := operate.RestoreBackup(bytes.NewReader(tt.data), tt.ids, dir); !errs.Is(err, errs.Precondition) {
				t.Errorf("restoring over a store: %v", err)
			}
		})
	}
	if left, err := filepath.Glob(filepath.Join(core.Dir, ".backup-*")); err != nil || len(left) > 0 {
		t.Errorf("left %q, %v", left, err)
	}
}

// checkRestored opens what was restored with the key file, which was not in it.
func checkRestored(t *testing.T, core *coretest.Core, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		if data, err := os.ReadFile(path); err == nil && (bytes.Contains(data, []byte("a planted value")) || strings.HasSuffix(path, ".key")) {
			t.Errorf("%s holds a value or a key", path)
		}
		return nil
	}))
	rep, err := audit.Verify(t.Context(), filepath.Join(dir, "audit"), []ed25519.PublicKey{core.Log.PublicKey()}, audit.Options{})
	must(t, err)
	if !rep.OK() || rep.Records == 0 {
		t.Errorf("the log of the backup: %+v, %+v", rep, rep.Problem)
	}
	db, err := boltkv.Open(boltkv.Config{Path: filepath.Join(dir, "store.db")})
	must(t, err)
	defer db.Close()
	key, err := keyfile.New(keyfile.Config{Path: filepath.Join(core.Dir, "root.key")})
	must(t, err)
	ring, err := keyring.Open(t.Context(), db, key, keyring.Config{})
	must(t, err)
	n := 0
	must(t, sealed.New(db, ring).View(t.Context(), func(r kv.Reader) error {
		for _, err := range r.Scan(kv.Prefix(kv.K(coretest.Home, "secret"))) {
			must(t, err)
			n++
		}
		return nil
	}))
	if n != 1 {
		t.Errorf("%d secrets restored", n)
	}
}

// entries takes a plain backup apart, lets change alter it, and puts it together.
func entries(t *testing.T, data []byte, change func(list []entry) []entry) []byte {
	t.Helper()
	var list []entry
	tr := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		b, err := io.ReadAll(tr)
		must(t, err)
		list = append(list, entry{h.Name, b, tar.TypeReg})
	}
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for _, e := range change(list) {
		must(t, tw.WriteHeader(&tar.Header{Name: e.name, Size: int64(len(e.data)), Mode: 0o600, Typeflag: e.kind}))
		if _, err := tw.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	must(t, tw.Close())
	return out.Bytes()
}

type entry struct {
	name string
	data []byte
	kind byte
}

func TestRestoreRefuses(t *testing.T) {
	core := coretest.New(t, coretest.Config{Bolt: true})
	put(t, core, "a", "v")
	good := backup(t, core)
	id, err := age.GenerateX25519Identity()
	must(t, err)
	other, err := age.GenerateX25519Identity()
	must(t, err)
	locked := backup(t, core, id.Recipient().String())
	format := func(n int) func([]entry) []entry {
		return func(l []entry) []entry {
			var h operate.Head
			must(t, json.Unmarshal(l[0].data, &h))
			h.Format = n
			l[0].data, err = json.Marshal(h)
			must(t, err)
			return l
		}
	}
	flipped := bytes.Clone(locked)
	flipped[len(flipped)-1] ^= 1
	for name, tt := range map[string]struct {
		data []byte
		ids  []age.Identity
	}{
		"nothing":         {nil, nil},
		"no-backup":       {[]byte("not a tar file"), nil},
		"cut":             {good[:len(good)/2], nil},
		"no-manifest":     {entries(t, good, func(l []entry) []entry { return l[:len(l)-1] }), nil},
		"newer-format":    {entries(t, good, format(2)), nil},
		"no-format":       {entries(t, good, format(0)), nil},
		"changed-store":   {entries(t, good, func(l []entry) []entry { l[1].data[100] ^= 1; return l }), nil},
		"cut-log":         {entries(t, good, func(l []entry) []entry { e := &l[len(l)-2]; e.data = e.data[:len(e.data)-1]; return l }), nil},
		"missing-store":   {entries(t, good, func(l []entry) []entry { return append(l[:1], l[2:]...) }), nil},
		"twice":           {entries(t, good, func(l []entry) []entry { return append(l[:2], l[1:]...) }), nil},
		"outside":         {entries(t, good, func(l []entry) []entry { l[1].name = "../store.db"; return l }), nil},
		"outside-the-log": {entries(t, good, func(l []entry) []entry { l[2].name = "audit/../../HEAD"; return l }), nil},
		"absolute":        {entries(t, good, func(l []entry) []entry { l[1].name = "/store.db"; return l }), nil},
		"goes-on":         {entries(t, good, func(l []entry) []entry { return append(l, entry{"store.db", nil, tar.TypeReg}) }), nil},
		"link":            {entries(t, good, func(l []entry) []entry { l[1] = entry{"store.db", nil, tar.TypeSymlink}; return l }), nil},
		"no-identity":     {locked, nil},
		"wrong-identity":  {locked, []age.Identity{other}},
		"changed-end":     {flipped, []age.Identity{id}},
		"cut-end":         {locked[:len(locked)-20], []age.Identity{id}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if _, err := operate.RestoreBackup(bytes.NewReader(tt.data), tt.ids, dir); err == nil {
				t.Error("it was restored")
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

// TestBrokenBackupIsRecorded: what could not be sent is in the log.
func TestBrokenBackupIsRecorded(t *testing.T) {
	core := coretest.New(t, coretest.Config{Bolt: true})
	s := newService(t, core, nil)
	b, err := s.Backup(t.Context(), core.Admin, nil)
	must(t, err)
	if _, err := s.Backup(t.Context(), core.Admin, nil); !errs.Is(err, errs.Throttled) {
		t.Errorf("two backups at once: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Write(ctx, io.Discard); err == nil {
		t.Error("written though given up")
	}
	b.Close()
	b.Close()
	var got []string
	for _, r := range core.Records(t) {
		if r.Operation == "Backup" {
			got = append(got, string(r.Outcome)+" "+r.Error)
		}
	}
	if diff := cmp.Diff([]string{"ok ", "refused throttled/busy", "failed canceled"}, got); diff != "" {
		t.Error(diff)
	}
	b, err = s.Backup(t.Context(), core.Admin, nil)
	must(t, err)
	b.Close()
}

// killed is a keyring whose re-wraps fail until it is healed.
type killed struct {
	*keyring.Ring
	after int // steps that still go well
}

var errKilled = errors.New("killed")

func (k *killed) Rewrap(ctx context.Context, name string, w keyring.Walk) (keyring.Proof, error) {
	if k.after < 0 {
		return k.Ring.Rewrap(ctx, name, w)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	left, progress := k.after, w.Progress
	w.Progress = func(p keyring.Progress) {
		progress(p)
		if left--; left < 0 {
			cancel(errKilled)
		}
	}
	return k.Ring.Rewrap(ctx, name, w)
}

func TestRotateKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core := coretest.New(t, coretest.Config{})
		for _, n := range []string{"a", "b", "c"} {
			put(t, core, n, "value of "+n)
		}
		before, err := core.Ring.Account(coretest.Home)
		must(t, err)
		ring := &killed{core.Ring, 0}
		s := newService(t, core, func(c *operate.Config) { c.Keyring = ring })
		info, now, err := s.RotateKeys(t.Context(), core.Admin)
		must(t, err)
		want := []string{coretest.Home, coretest.Other, "sys"}
		if diff := cmp.Diff(want, now.Pending); diff != "" || info.RootKeys != 1 {
			t.Errorf("pending: %s; %+v", diff, info)
		}
		// The first process dies at its first step.
		ctx, stop := context.WithCancel(t.Context())
		go s.Run(ctx)
		synctest.Wait()
		_, now, err = s.KeyringStatus(t.Context(), core.Admin)
		must(t, err)
		if now.Failed == "" || now.Running || len(now.Pending) == 0 {
			t.Errorf("after a failure: %+v", now)
		}
		stop()
		synctest.Wait()

		// Another finishes what it left, without being asked; a rotation that is
		// asked for meanwhile makes no third key.
		ring.after = -1
		s = newService(t, core, func(c *operate.Config) { c.Keyring = ring })
		_, _, err = s.RotateKeys(t.Context(), core.Admin)
		must(t, err)
		ctx, stop = context.WithCancel(t.Context())
		go s.Run(ctx)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		_, now, err = s.KeyringStatus(t.Context(), core.Admin)
		must(t, err)
		if len(now.Pending) > 0 || now.Failed != "" || len(now.Proofs) != 3 || now.Finished.IsZero() {
			t.Errorf("at the end: %+v", now)
		}
		stop()
		synctest.Wait()
		after, err := core.Ring.Account(coretest.Home)
		must(t, err)
		if after.Primary == before.Primary || len(after.Old) > 0 {
			t.Errorf("keys %+v after %+v", after, before)
		}
		for _, p := range now.Proofs {
			if p.Account == coretest.Home && (p.DataKeys != 3 || len(p.Destroyed) != 1) {
				t.Errorf("proof %+v", p)
			}
		}
		for _, n := range []string{"a", "b", "c"} {
			v, err := core.Secrets.ReadValue(t.Context(), core.Admin, secret.ReadRequest{ID: coretest.ID(t, n)})
			if err != nil || string(v.Data.Reveal()) != "value of "+n {
				t.Errorf("%s: %q, %v", n, v.Data.Reveal(), err)
			}
		}
	})
}
