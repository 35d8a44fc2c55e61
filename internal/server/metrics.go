package server

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"countersign/internal/core/audit"
)

// metrics counts what the server does. Labels come from fixed tables only:
// never a name, an account or an address.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	updates  *prometheus.CounterVec
	commit   prometheus.Histogram
	views    atomic.Uint64
	core     atomic.Pointer[core]
	notices  noticeMetrics
	handles  sync.Map // answered -> counters; as many as the tables have rows
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "countersign_requests_total",
			Help: "Answered requests by front, operation and outcome."}, []string{"front", "operation", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "countersign_request_seconds",
			Help: "Time to answer by front.", Buckets: prometheus.ExponentialBuckets(25e-6, 2, 16)}, []string{"front"}),
		updates: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "countersign_store_updates_total",
			Help: "Write transactions by outcome."}, []string{"outcome"}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "countersign_store_commit_seconds",
			Help: "Time of a write transaction until it is durable.", Buckets: prometheus.ExponentialBuckets(100e-6, 2, 14)}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.updates, m.commit,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "countersign_store_views_total",
		Help: "Read transactions."}, func() float64 { return float64(m.views.Load()) }))
	m.gauges()
	return m
}

// gauges are read from the core when somebody asks.
func (m *metrics) gauges() {
	gauge := func(name, help string, f func(c *core) float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			if c := m.core.Load(); c != nil {
				return f(c)
			}
			return 0
		}))
	}
	m.forNotices(gauge)
	m.forDevices(gauge)
	m.forRotation(gauge)
	stat := func(name, help string, f func(s audit.Stats) float64) {
		gauge(name, help, func(c *core) float64 { return f(c.log.Stats()) })
	}
	gauge("countersign_store_revision", "Revision of the newest commit.", func(c *core) float64 { return float64(c.engine.Revision()) })
	gauge("countersign_store_bytes", "Size of the store's file.", func(c *core) float64 {
		size, err := c.engine.Size()
		if err != nil {
			return 0 // closing
		}
		return float64(size)
	})
	gauge("countersign_outbox_records", "Audit records of writes that are not yet in the log.", func(c *core) float64 { return float64(c.relay.Waiting()) })
	stat("countersign_audit_sequence", "Sequence number of the last audit record.", func(s audit.Stats) float64 { return float64(s.Seq) })
	stat("countersign_audit_signed_sequence", "Last audit record under a signature.", func(s audit.Stats) float64 { return float64(s.Signed) })
	stat("countersign_audit_failures_total", "Writes and syncs of the audit log that failed.", func(s audit.Stats) float64 { return float64(s.Failures) })
	stat("countersign_audit_free_bytes", "Free space where the audit log is.", func(s audit.Stats) float64 { return float64(s.Free) })
	stat("countersign_audit_low_space", "1 when the audit log's disk is nearly full.", func(s audit.Stats) float64 { return truth(s.LowSpace) })
	stat("countersign_audit_refusing", "1 when the audit log takes no records, and so nothing is answered.", func(s audit.Stats) float64 { return truth(s.Full || s.Broken) })
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// answered is where one kind of answer is counted.
type answered struct{ front, operation, outcome string }

type counters struct {
	requests prometheus.Counter
	seconds  prometheus.Observer
}

// Answered implements httpx.Observer.
func (m *metrics) Answered(front, operation, outcome string, d time.Duration) {
	k := answered{front, operation, outcome}
	c, ok := m.handles.Load(k)
	if !ok {
		c, _ = m.handles.LoadOrStore(k, counters{m.requests.WithLabelValues(front, operation, outcome), m.seconds.WithLabelValues(front)})
	}
	n := c.(counters)
	n.requests.Inc()
	n.seconds.Observe(d.Seconds())
}

// Update implements traced.Observer.
func (m *metrics) Update(d time.Duration, _ int, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "error"
	}
	m.updates.WithLabelValues(outcome).Inc()
	m.commit.Observe(d.Seconds())
}

// View implements traced.Observer.
func (m *metrics) View(time.Duration, error) { m.views.Add(1) }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}
