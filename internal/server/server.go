package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"countersign/internal/config"
	"countersign/internal/front/httpx"
	"countersign/internal/front/sigv4"
	"countersign/internal/front/vault"
)

// Bounds of the listener. A header is at most 64 KiB; a connection that sends
// nothing is closed.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	idleTimeout       = 5 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// gcPercent is how much the heap may grow between two garbage collections. The
// heap of this server is a few MiB, and Go's default of 100 would collect it
// for every few hundred requests, at a fifth of the processor time of a read.
// More than this saves little. GOGC in the environment overrides it.
const gcPercent = 400

// Server is a running server.
type Server struct {
	core    *core
	logger  *slog.Logger
	metrics *metrics
	http    *http.Server
	tls     *tls.Config // nil for plain HTTP
	ln      net.Listener
	aws     http.Handler // nil when not served
	native  http.Handler // nil when not served
	vault   http.Handler // nil when not served
	prom    http.Handler
	scrape  []netip.Prefix
	// draining ends when no further request is taken.
	draining context.Context
	drain    context.CancelFunc
}

// Options are what a Server is given beside its configuration.
type Options struct {
	Stderr  io.Writer // for the log; default os.Stderr
	Version string
}

// Open builds everything and listens. The store must have been initialized.
func Open(ctx context.Context, cfg config.Config, o Options) (*Server, error) {
	logger := newLogger(cfg.Log, o.Stderr)
	m := newMetrics()
	c, err := openCore(ctx, cfg, logger, m)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, c, m, o)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return s, nil
}

func open(ctx context.Context, c *core, m *metrics, o Options) (*Server, error) {
	cfg := c.cfg
	ready, err := c.authn.Bootstrapped(ctx)
	if err != nil {
		return nil, err
	}
	if !ready {
		return nil, fmt.Errorf("the store in %q has no account %s yet: run \"countersign server init --config FILE\" first", cfg.Data, cfg.Account)
	}
	m.core.Store(c)
	draining, drain := context.WithCancel(context.Background())
	s := &Server{draining: draining, drain: drain, core: c, logger: c.logger, metrics: m, prom: m.handler(), scrape: config.Prefixes(cfg.Metrics.Allow)}
	if err := s.fronts(o); err != nil {
		return nil, err
	}
	if cfg.TLS.Cert != "" {
		certs, err := loadCertificates(cfg.TLS, c.logger)
		if err != nil {
			return nil, err
		}
		s.tls = certs.config(slices.Contains(cfg.Fronts, config.FrontVault))
	}
	if s.ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, TLSConfig: s.tls, ErrorLog: slog.NewLogLogger(c.logger.Handler(), slog.LevelDebug)}
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// URL is the server's address for clients on this machine.
func (s *Server) URL() string {
	if s.tls != nil {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// Serve answers requests until ctx ends, lets those under way finish, and
// closes everything. ready is called once requests are answered.
func (s *Server) Serve(ctx context.Context, ready func()) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	watch, unwatch := context.WithCancel(ctx)
	defer unwatch()
	go pollWhileSweeping(watch)
	failed := make(chan error, 1)
	go func() {
		if s.tls != nil {
			failed <- s.http.ServeTLS(s.ln, "", "")
		} else {
			failed <- s.http.Serve(s.ln)
		}
	}()
	s.logger.Info("ready", "address", s.Addr(), "tls", s.tls != nil, "fronts", s.core.cfg.Fronts)
	tellSystemd(s.logger, daemon.SdNotifyReady)
	if ready != nil {
		ready()
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	return errors.Join(err, s.shutdown())
}

// shutdown drains and closes.
func (s *Server) shutdown() error {
	tellSystemd(s.logger, daemon.SdNotifyStopping)
	s.drain()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(s.core.cfg.ShutdownTimeout))
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.logger.Warn("requests were cut off", "error", err)
		err = s.http.Close()
	}
	err = errors.Join(err, s.core.close())
	s.logger.Info("stopped")
	return err
}

func tellSystemd(logger *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		logger.Warn("notifying systemd", "error", err)
	}
}

// ServeHTTP routes a request to its front. The path is taken as it came: it is
// never cleaned, so that no front sees another path than was signed.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/" && s.aws != nil && (r.Method == http.MethodPost || sigv4.Signed(r)):
		s.aws.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/api/") && s.native != nil:
		s.native.ServeHTTP(w, r)
	case strings.HasPrefix(path, vault.Base) && s.vault != nil:
		s.vault.ServeHTTP(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		plain(w, http.StatusNotFound, "no such address: see the documentation for the endpoints of each protocol\n")
	case path == "/healthz":
		plain(w, http.StatusOK, "ok\n")
	case path == "/readyz":
		s.readyz(w)
	case path == "/metrics":
		s.serveMetrics(w, r)
	case path == "/":
		s.page(w)
	default:
		plain(w, http.StatusNotFound, "no such address: see the documentation for the endpoints of each protocol\n")
	}
}

func plain(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// readyz says whether requests are answered, and what will soon stop them.
func (s *Server) readyz(w http.ResponseWriter) {
	st := s.core.log.Stats()
	switch {
	case s.draining.Err() != nil:
		plain(w, http.StatusServiceUnavailable, "draining\n")
	case st.Broken:
		plain(w, http.StatusServiceUnavailable, "the audit log cannot be written: restart once its disk is sound\n")
	case st.Full:
		plain(w, http.StatusServiceUnavailable, "the audit log's disk is full: nothing is answered until there is space\n")
	case st.LowSpace:
		plain(w, http.StatusOK, "ok, but the audit log's disk is nearly full\n")
	default:
		plain(w, http.StatusOK, "ok\n")
	}
}

// serveMetrics answers loopback and who is configured.
func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	at := httpx.Proxies(config.Prefixes(s.core.cfg.TrustedProxies)).Meta(r).Source
	if !at.IsLoopback() && !slices.ContainsFunc(s.scrape, func(p netip.Prefix) bool { return p.Contains(at) }) {
		plain(w, http.StatusForbidden, "metrics are for loopback and the addresses in metrics.allow\n")
		return
	}
	s.prom.ServeHTTP(w, r)
}

func newLogger(c config.Log, to io.Writer) *slog.Logger {
	if to == nil {
		to = os.Stderr
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(to, opts))
	}
	return slog.New(slog.NewJSONHandler(to, opts))
}
