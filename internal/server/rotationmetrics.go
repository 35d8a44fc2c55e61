package server

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/core/rotation"
)

// rotationMetrics counts what came of rotations, as the service that rotates tells.
type rotationMetrics struct {
	of       func() *core
	steps    *prometheus.Desc
	outcomes *prometheus.Desc
}

// forRotation registers what is told of rotations.
func (m *metrics) forRotation(gauge func(name, help string, f func(c *core) float64)) {
	m.registry.MustRegister(&rotationMetrics{
		of: m.core.Load,
		steps: prometheus.NewDesc("countersign_rotation_steps_total",
			"Steps of rotations that were attempted, by step and outcome: ok, or the class of the failure.", []string{"step", "outcome"}, nil),
		outcomes: prometheus.NewDesc("countersign_rotations_total",
			"Rotations that ended, by result and, where one failed, the step at which.", []string{"result", "step"}, nil),
	})
	gauge("countersign_rotation_overdue_seconds", "By how much the rotation that is due the longest is late; 0 when none is.", func(c *core) float64 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		at, err := c.secrets.OldestDue(ctx)
		if err != nil || at.IsZero() {
			return 0
		}
		return max(0, time.Since(at).Seconds())
	})
}

// Describe implements prometheus.Collector.
func (m *rotationMetrics) Describe(to chan<- *prometheus.Desc) { to <- m.steps; to <- m.outcomes }

// Collect implements prometheus.Collector.
func (m *rotationMetrics) Collect(to chan<- prometheus.Metric) {
	c := m.of()
	if c == nil {
		return
	}
	steps, outcomes := c.rotation.Counts()
	put := func(d *prometheus.Desc, counts []rotation.Count, labels func(rotation.Count) []string) {
		for _, n := range counts {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n.N), labels(n)...)
		}
	}
	put(m.steps, steps, func(n rotation.Count) []string { return []string{n.Step, n.Outcome} })
	put(m.outcomes, outcomes, func(n rotation.Count) []string { return []string{n.Outcome, n.Step} })
}
