package rotation

import (
	"sync"

	"countersign/internal/core/secret"
)

// Count is how often something came of rotations.
type Count struct {
	Step    string // of steps: which; of outcomes: the step that failed, "" for none
	Outcome string // of steps: "ok" or the class of the failure; of outcomes: a result
	N       uint64
}

type counts struct {
	mu       sync.Mutex
	steps    map[[2]string]uint64
	outcomes map[[2]string]uint64
}

func (c *counts) step(step secret.Step, outcome string) { c.add(&c.steps, string(step), outcome) }

func (c *counts) outcome(result, step string) { c.add(&c.outcomes, step, result) }

func (c *counts) add(m *map[[2]string]uint64, step, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *m == nil {
		*m = map[[2]string]uint64{}
	}
	(*m)[[2]string{step, outcome}]++
}

// Counts are the steps and the outcomes since the start.
func (s *Service) Counts() (steps, outcomes []Count) {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	list := func(m map[[2]string]uint64) (out []Count) {
		for k, n := range m {
			out = append(out, Count{k[0], k[1], n})
		}
		return out
	}
	return list(s.counts.steps), list(s.counts.outcomes)
}
