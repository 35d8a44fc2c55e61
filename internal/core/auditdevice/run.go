package auditdevice

import (
	"context"
	"time"

	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// lookEvery is how often it is looked for devices that came or went: also a vote
// makes them.
const lookEvery = time.Second

// Run writes to the devices until ctx ends, and then keeps how far each came.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	defer s.reconcile(nil) // the workers' context has ended: this waits for them
	for failed := false; ; {
		err := s.look(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			s.Logger.Error("looking for audit devices", "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.woken:
		}
	}
}

// look begins and ends workers as there are devices.
func (s *Service) look(ctx context.Context) error {
	all := map[place]int64{}
	prefix := kv.K("sys", "audit-device-of")
	err := s.db.View(ctx, func(r kv.Reader) error {
		clear(all)
		for e, err := range record.Scan[entry](r, kv.Prefix(prefix)) {
			if err != nil {
				return err
			}
			strs, _, err := e.Key.Parts("ssss")
			if err != nil {
				return err
			}
			all[place{strs[2], strs[3]}] = e.Value.Made
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.reconcile(all)
	for p, made := range all {
		s.mu.Lock()
		w := s.workers[p]
		s.mu.Unlock()
		if w != nil {
			continue
		}
		if err := s.begin(ctx, p, made); err != nil {
			return err
		}
	}
	return nil
}

// reconcile ends the workers of devices that are gone, or are others by now.
func (s *Service) reconcile(all map[place]int64) {
	var gone []*worker
	s.mu.Lock()
	for p, w := range s.workers {
		if made, ok := all[p]; !ok || made != w.d.Made {
			gone = append(gone, w)
		}
	}
	s.mu.Unlock()
	for _, w := range gone {
		w.stop()
	}
	for _, w := range gone {
		<-w.done
		s.mu.Lock()
		delete(s.workers, w.place)
		s.mu.Unlock()
	}
}

func (s *Service) begin(ctx context.Context, p place, made int64) error {
	var d *stored
	err := s.db.View(ctx, func(r kv.Reader) (err error) {
		d, err = record.Find[stored](r, p.key())
		return err
	})
	if err != nil || d == nil || d.Made != made {
		return err
	}
	w := &worker{s: s, place: p, d: d, done: make(chan struct{})}
	w.report.state = Starting
	ctx, w.stop = context.WithCancel(ctx)
	s.mu.Lock()
	s.workers[p] = w
	s.mu.Unlock()
	go w.run(ctx)
	return nil
}
