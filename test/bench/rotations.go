package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"countersign/internal/core/authn"
	"countersign/internal/core/secret"
	"countersign/internal/name"
	"countersign/internal/rotator"
	"countersign/internal/rotator/random"
)

// Names of figures of a store with secrets that rotate.
const (
	startRotating = "start with scheduled secrets to the first answer"
	idleRotating  = "processor time of an idle server with scheduled secrets"
)

// rotating is how many secrets of a store have a schedule.
const rotating = 10_000

// idleFor is how long an idle server is watched.
const idleFor = 10 * time.Second

// rotations makes a store whose secrets rotate, none of them soon, and measures a
// start of it and what its scheduler costs.
func (b *bench) rotations(ctx context.Context) error {
	dir := filepath.Join(b.store.dir, "rotations")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	s, err := makeStore(ctx, dir, b.addr, func(_ *store, w wired) error {
		service := secret.New(secret.Config{Gate: w.gate, Changes: w.changes, Vault: w.ring, Regions: []string{region}, Kinds: rotator.Kinds{random.Kind()}, Logger: slog.New(slog.DiscardHandler)})
		if err := createSecrets(ctx, service, rotating); err != nil {
			return err
		}
		return schedule(ctx, service)
	})
	if err != nil {
		return err
	}
	first := requests{addr: b.addr, token: authn.Token(s.key.ID, string(s.key.Secret.Reveal()))}.bearer(0)
	st, err := b.started(ctx, s, first, [][]byte{first})
	if err != nil {
		return err
	}
	b.value(startRotating, median(st.took), "ms", fmt.Sprintf("%d secrets with a schedule; the first answer is a read with a token", rotating))
	p, err := b.serveStore(s)
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err = p.answers(limit, time.Now(), first)
	var before, after time.Duration
	if err == nil {
		time.Sleep(2 * time.Second)
		before, err = p.cpu()
	}
	if err == nil {
		time.Sleep(idleFor)
		after, err = p.cpu()
	}
	if stopped := p.stop(); err == nil {
		err = stopped
	}
	if err != nil {
		return err
	}
	const tick = 10 * time.Millisecond // which processor time is counted in
	b.value(idleRotating, float64(max(after-before, tick))/float64(idleFor)*100, "% of a core", fmt.Sprintf("over %s at most, with all else that an idle server does", idleFor))
	return nil
}

// schedule gives every secret a schedule.
func schedule(ctx context.Context, service *secret.Service) error {
	var jobs sync.WaitGroup
	failed := make(chan error, 64)
	for w := range cap(failed) {
		jobs.Go(func() {
			for i := w; i < rotating; i += cap(failed) {
				_, err := service.Rotate(ctx, seeder(), secret.RotateRequest{ID: name.SecretID{Name: secretName(i)}, VersionID: versionID(i + rotating), Rotator: "random",
					Days: int64(30 + i%300), Native: true, Later: true})
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	jobs.Wait()
	close(failed)
	return <-failed
}
