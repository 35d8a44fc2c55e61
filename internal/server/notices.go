package server

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/config"
	"countersign/internal/core/notify"
	"countersign/internal/egress"
	"countersign/internal/mailer"
)

// notices builds what delivers notices: over addresses that the configuration
// lets it reach, and the SMTP server that it names.
func (c *core) notices(observer notify.Observer) (*notify.Service, error) {
	cfg := c.cfg
	n := notify.Config{Gate: c.gate, Changes: c.changes, People: c.authn, PublicURL: cfg.PublicURL, Observer: observer, Logger: c.logger,
		Poster: egress.New(egress.Config{Allow: config.Prefixes(cfg.Notify.Allow)}).Poster()}
	if m := cfg.SMTP; m != (config.SMTP{}) {
		mail, err := mailer.New(mailer.Config{Address: m.Address, From: m.From, Username: m.Username, PasswordFile: m.PasswordFile,
			Security: mailer.Security(m.TLS)})
		if err != nil {
			return nil, err
		}
		n.Mailer = post{mail}
	}
	return notify.New(n), nil
}

// post is a mailer as the core sees it.
type post struct{ *mailer.Mailer }

func (p post) Send(ctx context.Context, m notify.Mail) error {
	return p.Mailer.Send(ctx, mailer.Message(m))
}

// noticeMetrics counts what becomes of notices.
type noticeMetrics struct{ attempts *prometheus.CounterVec }

// Notified implements notify.Observer.
func (m noticeMetrics) Notified(target, outcome string) {
	m.attempts.WithLabelValues(target, outcome).Inc()
}

// forNotices registers what is told of notices.
func (m *metrics) forNotices(gauge func(name, help string, f func(c *core) float64)) {
	m.notices = noticeMetrics{prometheus.NewCounterVec(prometheus.CounterOpts{Name: "countersign_notify_attempts_total",
		Help: "Attempts to deliver a notice by type of target and outcome."}, []string{"target", "outcome"})}
	m.registry.MustRegister(m.notices.attempts)
	total := func(of func(waiting, dead uint64) uint64) func(c *core) float64 {
		return func(c *core) float64 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			waiting, dead, err := c.notify.Totals(ctx)
			if err != nil {
				return 0 // closing
			}
			return float64(of(waiting, dead))
		}
	}
	gauge("countersign_notify_waiting", "Deliveries of notices that wait for an attempt.", total(func(w, _ uint64) uint64 { return w }))
	gauge("countersign_notify_dead_letters", "Deliveries of notices that were given up and can be replayed.", total(func(_, d uint64) uint64 { return d }))
}
