package auditdevice_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/core/auditdevice"
	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
)

func TestFileHasEachRecordOnce(t *testing.T) {
	r := newRig(t, nil)
	since := r.here(t)
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": r.file("log", "audit.log")})
	r.requests(t, r.Admin, 600) // more than one batch
	r.settles(t, coretest.Home, since, r.file("log", "audit.log"))
	if info, err := os.Stat(r.file("log", "audit.log")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	r.stop()
	r.requests(t, r.Admin, 3)
	r.start(t)
	r.settles(t, coretest.Home, since, r.file("log", "audit.log"))
	d := r.device(t, r.Admin, "file")
	if d.State != auditdevice.Writing || d.Seq == 0 || d.Record == "" || d.Written.IsZero() || d.Lost != 0 {
		t.Errorf("it is shown as %+v", d)
	}
}

// TestSeedParser runs what the parser of Vault's audit log, as it is often
// written, does with each line.
func TestSeedParser(t *testing.T) {
	r := newRig(t, nil)
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "audit.log"})
	user, _ := r.User(t, "deploy", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:ListSecrets","Resource":"*"}]}`)
	user.Front, user.Time = "aws/secretsmanager", time.Now()
	since := r.here(t)
	if _, err := r.Secrets.ReadValue(ctx, user, secret.ReadRequest{ID: coretest.ID(t, "myapp/database")}); err == nil {
		t.Fatal("it may read")
	}
	if _, err := r.Secrets.List(ctx, user, secret.ListRequest{}); err != nil {
		t.Fatal(err)
	}
	ids := r.expected(t, coretest.Home, since)
	var got []string
	eventually(t, func() error {
		got = nil
		b, err := os.ReadFile(r.file("audit.log"))
		for _, e := range parse(t, b, "") {
			if e.Type == "response" && e.Auth.DisplayName == "deploy" {
				when, err := time.Parse(time.RFC3339, e.Time)
				if err != nil || time.Since(when) > time.Minute {
					t.Errorf("time %q: %v", e.Time, err)
				}
				got = append(got, e.Request.Operation+" "+e.Request.Path+" "+e.Error)
			}
		}
		if len(got) < len(ids) {
			return fmt.Errorf("%d responses, %v", len(got), err)
		}
		return nil
	})
	if len(got) != 2 || got[0] != "read secret/data/myapp/database permission denied: denied/no-match" || got[1] != "list secret/metadata/ " {
		t.Errorf("parsed %q", got)
	}
}

func TestFileMoves(t *testing.T) {
	r := newRig(t, nil)
	since := r.here(t)
	path := r.file("sub", "audit.log")
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "sub/audit.log", "mode": "0640"})
	r.requests(t, r.Admin, 5)
	r.settles(t, coretest.Home, since, path)

	if err := os.Rename(path, path+".1"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	eventually(t, func() error { _, err := os.Stat(path); return err })
	r.requests(t, r.Admin, 5)
	r.settles(t, coretest.Home, since, path+".1", path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	copied, _ := os.ReadFile(path) // copytruncate
	if err := os.WriteFile(path+".0", copied, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	r.requests(t, r.Admin, 5)
	r.settles(t, coretest.Home, since, path+".1", path+".0", path)

	gone := r.here(t)
	if err := os.RemoveAll(filepath.Dir(path)); err != nil { // with its folder
		t.Fatal(err)
	}
	eventually(t, func() error { _, err := os.Stat(path); return err })
	r.requests(t, r.Admin, 5)
	r.settles(t, coretest.Home, gone, path)
}

func TestFileCannotBeWritten(t *testing.T) {
	disk := &auditdevice.BadDisk{}
	r := newRig(t, func(c *auditdevice.Config) { *c = disk.Of(*c) })
	since := r.here(t)
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "audit.log"})
	r.requests(t, r.Admin, 3)
	r.settles(t, coretest.Home, since, r.file("audit.log"))

	for i, room := range []int64{0, 1, 300, 1000, 2500} { // cut in a request, in a response, between
		disk.Short.Store(i%5 != 4)
		disk.Room.Store(room)
		r.requests(t, r.Admin, 4) // nobody waits for the device
		r.becomes(t, "file", auditdevice.Failing, "no space left on device")
		eventually(t, func() error {
			if d := r.device(t, r.Admin, "file"); d.Behind <= 0 || d.Lag == 0 {
				return fmt.Errorf("it is not behind: %+v", d)
			}
			return nil
		})
		if tot := r.s.Totals(); tot.Failing != 1 || tot.Behind <= 0 {
			t.Errorf("totals %+v", tot)
		}
		disk.Room.Store(-1)
		r.becomes(t, "file", auditdevice.Writing, "")
		r.settles(t, coretest.Home, since, r.file("audit.log"))
	}
}

// TestFileIsReadBack ends the service without keeping how far it came and cuts the
// file at any byte behind that: a start mends it, and each record is there once.
func TestFileIsReadBack(t *testing.T) {
	r := newRig(t, nil)
	since := r.here(t)
	path := r.file("audit.log")
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "audit.log"})
	r.requests(t, r.Admin, 2)
	r.settles(t, coretest.Home, since, path)
	for i := range 12 {
		r.stop()
		kept, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r.start(t)
		r.requests(t, r.Admin, 3)
		r.settles(t, coretest.Home, since, path)
		r.crash()
		whole, _ := os.ReadFile(path)
		if !bytes.HasPrefix(whole, kept) {
			t.Fatal("what was written was changed")
		}
		cut := len(kept) + rand.IntN(len(whole)-len(kept))
		switch i {
		case 0:
			cut = len(whole)
		case 1:
			cut = len(kept) + bytes.IndexByte(whole[len(kept):], '\n') + 1 // a request without its response
		case 2:
			cut = len(whole) - 1 // the end of a line
		}
		if err := os.Truncate(path, int64(cut)); err != nil {
			t.Fatal(err)
		}
		r.requests(t, r.Admin, 1)
		r.start(t)
		r.settles(t, coretest.Home, since, path)
	}
}

func TestFileOfOthers(t *testing.T) {
	r := newRig(t, nil)
	path := r.file("audit.log")
	if err := os.MkdirAll(r.cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{\"somebody\":\"else\"}\nand no end"), 0o600); err != nil {
		t.Fatal(err)
	}
	since := r.here(t)
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "audit.log"})
	r.requests(t, r.Admin, 2)
	ids := r.expected(t, coretest.Home, since)
	eventually(t, func() error {
		b, _ := os.ReadFile(path)
		rest, ok := bytes.CutPrefix(b, []byte("{\"somebody\":\"else\"}\nand no end\n"))
		if !ok {
			return fmt.Errorf("the file has %q", b)
		}
		return once(parse(t, rest, ""), ids)
	})
}

// TestEscape plants what is no plain file where a device writes.
func TestEscape(t *testing.T) {
	r := newRig(t, nil)
	outside := filepath.Join(r.Dir, "outside")
	for _, dir := range []string{outside, r.file("real")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link.log": victim, "dangling.log": filepath.Join(outside, "new"), "folder": outside, "inside": "real", "within.log": "real/f"} {
		if err := os.Symlink(to, r.file(link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(r.file("dir.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	mkfifo(t, r.file("pipe.log"))
	for n, path := range map[string]string{"a": "link.log", "b": "dangling.log", "c": "folder/victim", "d": "inside/f", "e": "within.log", "f": "dir.log", "g": "pipe.log"} {
		r.enable(t, r.Admin, n, "file", map[string]string{"file_path": path})
	}
	r.requests(t, r.Admin, 3)
	for _, n := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		r.becomes(t, n, auditdevice.Failing, " ")
	}
	if b, _ := os.ReadFile(victim); string(b) != "x" {
		t.Errorf("the file outside is %q", b)
	}
	for _, dir := range []string{outside, r.file("real")} {
		if list, _ := os.ReadDir(dir); len(list) > 1 || dir != outside && len(list) != 0 {
			t.Errorf("%s holds %v", dir, list)
		}
	}
	if err := os.Remove(r.file("link.log")); err != nil {
		t.Fatal(err)
	}
	r.becomes(t, "a", auditdevice.Writing, "") // it was tried again
}
