package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/errs"
)

func TestExportAndPrune(t *testing.T) {
	ctx := context.Background()
	dir, keys := sampleLog(t, 30, 3)
	l := mustOpen(t, testConfig(dir))
	archive := filepath.Join(t.TempDir(), "archive")

	out, err := l.Export(ctx, sample(11).Time, archive) // the first segment ends with record 10
	if err != nil || out.Segments != 1 || out.First != 1 || out.Last != 10 {
		t.Fatalf("exported %+v, %v", out, err)
	}
	if rep := verifyDir(t, archive, keys); !rep.OK() || rep.Records != 10 {
		t.Fatalf("the archive: %+v, %v", rep, rep.Problem)
	}
	if n, err := l.Prune(ctx, time.Time{}, out.Proof); n != 1 || err != nil {
		t.Fatalf("pruned %d, %v", n, err)
	}
	rep := verifyDir(t, dir, keys)
	if !rep.OK() || !rep.Pruned() || rep.First != 11 || rep.Records != 20 {
		t.Fatalf("after the prune: %+v, %v", rep, rep.Problem)
	}

	fill(t, l, 31, 40)
	if err := l.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	if out, err = l.Export(ctx, time.Time{}, archive); err != nil || out.Segments != 2 || out.Last != 40 {
		t.Fatalf("exported %+v, %v", out, err)
	}
	if rep := verifyDir(t, archive, keys); !rep.OK() || rep.Records != 40 || rep.First != 1 {
		t.Fatalf("the archive: %+v, %v", rep, rep.Problem)
	}
	if n, err := l.Prune(ctx, time.Time{}, out.Proof); n != 2 || err != nil {
		t.Fatalf("pruned %d, %v", n, err)
	}
	if s := l.Stats(); s.First != 41 || s.Segments != 1 {
		t.Errorf("stats %+v", s)
	}
	mustClose(t, l)
	l = mustOpen(t, testConfig(dir))
	fill(t, l, 41, 45)
	mustClose(t, l)
	if rep := verifyDir(t, dir, keys); !rep.OK() || rep.First != 41 || rep.Records != 5 {
		t.Errorf("after all: %+v, %v", rep, rep.Problem)
	}
}

func TestPruneOnlyWhatWasExported(t *testing.T) {
	ctx := context.Background()
	dir, keys := sampleLog(t, 30, 3)
	l := mustOpen(t, testConfig(dir))
	archive := t.TempDir()
	out, err := l.Export(ctx, sample(11).Time, archive)
	if err != nil {
		t.Fatal(err)
	}
	forger := testKey("forger")
	p, err := l.readProof(out.Proof)
	if err != nil {
		t.Fatal(err)
	}
	p.Segments = append(p.Segments, provenCopy{First: 11, Last: 20})
	p.Key = KeyID(forger.Public().(ed25519.PublicKey))
	forged, err := seal(kindProof, l.id, p, forger)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"nothing": nil,
		"edited":  bytes.Replace(out.Proof, []byte(`"first":1,`), []byte(`"first":2,`), 1),
		"forged":  append(forged, "}\n"...),
	} {
		if n, err := l.Prune(ctx, time.Time{}, data); n != 0 || !errs.Is(err, errs.Invalid) {
			t.Errorf("%s proof: pruned %d, %v", name, n, err)
		}
	}
	if n, err := l.Prune(ctx, sample(5).Time, out.Proof); n != 0 || err != nil {
		t.Errorf("too young: pruned %d, %v", n, err)
	}
	good := read(t, paths(t, dir)[0])
	poke(t, paths(t, dir)[0], 300, good[300]^1)
	if n, err := l.Prune(ctx, time.Time{}, out.Proof); n != 0 || !errs.Is(err, errs.Precondition) {
		t.Errorf("changed since: pruned %d, %v", n, err)
	}
	poke(t, paths(t, dir)[0], 300, good[300])
	if n, err := l.Prune(ctx, time.Time{}, out.Proof); n != 1 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
	if rep := verifyDir(t, dir, keys); !rep.OK() || rep.Records != 20 {
		t.Errorf("%+v, %v", rep, rep.Problem)
	}
	// A segment that is deleted by hand is not taken for a prune.
	mustClose(t, l)
	remove(t, paths(t, dir)[0])
	if rep := verifyDir(t, dir, keys); rep.OK() || rep.Problem.Kind != MissingSegment {
		t.Errorf("found %+v", rep.Problem)
	}
	if _, err := Open(testConfig(dir)); err == nil {
		t.Error("opened with a segment stolen")
	}
}

func TestExportRefuses(t *testing.T) {
	ctx := context.Background()
	dir, _ := sampleLog(t, 30, 3)
	l := mustOpen(t, testConfig(dir))
	t.Run("own-folder", func(t *testing.T) {
		if _, err := l.Export(ctx, time.Time{}, dir); !errs.Is(err, errs.Invalid) {
			t.Error(err)
		}
	})
	t.Run("another-log-there", func(t *testing.T) {
		other, _ := sampleLog(t, 30, 3)
		if _, err := l.Export(ctx, time.Time{}, other); !errs.Is(err, errs.Exists) {
			t.Error(err)
		}
	})
	t.Run("damaged-segment", func(t *testing.T) {
		good := read(t, paths(t, dir)[1])
		poke(t, paths(t, dir)[1], 700, good[700]^1)
		if _, err := l.Export(ctx, time.Time{}, t.TempDir()); err == nil {
			t.Error("exported")
		}
		poke(t, paths(t, dir)[1], 700, good[700])
	})
	t.Run("nothing-to-do", func(t *testing.T) {
		if out, err := l.Export(ctx, epoch, t.TempDir()); err != nil || out.Segments != 0 {
			t.Error(out, err)
		}
	})
}
