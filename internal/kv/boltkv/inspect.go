package boltkv

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"countersign/internal/kv/boltkv/pages"
)

// Report is what an inspection found.
type Report struct {
	State    State    // what the file says of itself
	Pairs    uint64   // counted
	Problems []string // never holds a value
}

// InspectFile locks a store file that no process is writing, and inspects it.
func InspectFile(ctx context.Context, path string, visit func(key, value []byte)) (Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return Report{}, fmt.Errorf("opening the store: %w", err)
	}
	defer f.Close()
	if err := lock(f, false, Config{}.withDefaults().LockTimeout); err != nil {
		return Report{}, fmt.Errorf("opening the store %q: %w", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return Report{}, fmt.Errorf("opening the store: %w", err)
	}
	return Inspect(ctx, f, info.Size(), visit)
}

// Inspect reads a store file of the given size, whatever state it is in.
func Inspect(ctx context.Context, r io.ReaderAt, size int64, visit func(key, value []byte)) (Report, error) {
	p, err := pages.Open(r, size)
	if err != nil {
		return Report{Problems: []string{err.Error()}}, nil
	}
	return inspect(ctx, p, visit)
}

// inspect reads a commit without bbolt: every page of its newest commit,
// then the format marker, the revision, and the digest of all pairs. visit,
// which may be nil, is called for each pair; its slices are valid during the
// call. An error is one of reading the file or of ctx; damage is a problem.
func inspect(ctx context.Context, p *pages.File, visit func(key, value []byte)) (Report, error) {
	var r Report
	var got State
	meta := map[string][]byte{}
	r.Problems = append(r.Problems, p.Warnings...)
	problems, err := p.Walk(func(bucket string, key, value []byte) error {
		switch bucket {
		case string(metaBucket):
			meta[string(key)] = append([]byte{}, value...)
		case string(dataBucket):
			got.add(key, value)
			if visit != nil {
				visit(key, value)
			}
		default:
			r.Problems = append(r.Problems, fmt.Sprintf("unknown bucket %q", bucket))
		}
		return ctx.Err()
	})
	if err != nil {
		return r, fmt.Errorf("reading the store file: %w", err)
	}
	r.Problems = append(r.Problems, problems...)
	r.Pairs = got.Count
	for k := range meta {
		if k != string(formatKey) && k != string(stateKey) {
			r.Problems = append(r.Problems, fmt.Sprintf("unknown record %q of the store itself", k))
		}
	}
	if v := string(meta[string(formatKey)]); v != strconv.Itoa(Format) {
		r.Problems = append(r.Problems, fmt.Sprintf("unknown store format %q", v))
	}
	if r.State, err = parseState(meta[string(stateKey)]); err != nil {
		r.Problems = append(r.Problems, err.Error())
		return r, nil
	}
	if got.Count != r.State.Count || got.sum != r.State.sum {
		r.Problems = append(r.Problems, fmt.Sprintf("the %d pairs are not the %d that revision %d was committed with",
			got.Count, r.State.Count, r.State.Revision))
	}
	return r, nil
}
