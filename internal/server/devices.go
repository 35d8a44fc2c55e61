package server

import (
	"io"
	"os"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/config"
	"countersign/internal/core/auditdevice"
	"countersign/internal/egress"
)

// devices builds what writes the audit log a second time, for other programs.
func (c *core) auditDevices() *auditdevice.Service {
	a := c.cfg.Audit
	return auditdevice.New(auditdevice.Config{Gate: c.gate, Changes: c.changes, Log: c.log, Mounts: c.mounts, Home: c.cfg.Account,
		Dir: a.DevicesDir, Archive: a.ExportDir, Sockets: a.DeviceSockets, Stdout: c.standardOutput(), Logger: c.logger,
		Dialer: egress.New(egress.Config{Allow: config.Prefixes(a.DeviceAllow)}).Sockets()})
}

// standardOutput is another number for the standard output: a write to the first
// one, once nobody reads it, would end the process. It is nil when there is none.
func (c *core) standardOutput() io.Writer {
	fd, err := syscall.Dup(int(os.Stdout.Fd()))
	if err != nil {
		return nil
	}
	syscall.CloseOnExec(fd)
	c.stdout = os.NewFile(uintptr(fd), "stdout")
	return c.stdout
}

// forDevices registers what is told of audit devices.
func (m *metrics) forDevices(gauge func(name, help string, f func(c *core) float64)) {
	of := func(f func(t auditdevice.Totals) float64) func(c *core) float64 {
		return func(c *core) float64 { return f(c.devices.Totals()) }
	}
	gauge("countersign_audit_devices", "Audit devices.", of(func(t auditdevice.Totals) float64 { return float64(t.Devices) }))
	gauge("countersign_audit_devices_failing", "Audit devices that cannot be written and are tried again.", of(func(t auditdevice.Totals) float64 { return float64(t.Failing) }))
	gauge("countersign_audit_device_behind_seconds", "Age of the oldest audit record that an audit device has not written.", of(func(t auditdevice.Totals) float64 { return t.Behind.Seconds() }))
	gauge("countersign_audit_device_lost_records", "Audit records that were gone before an audit device had written them, since the start.", of(func(t auditdevice.Totals) float64 { return float64(t.Lost) }))
	m.registry.MustRegister(deviceLines{m})
}

// deviceLines collects how much was written to devices of each type.
type deviceLines struct{ m *metrics }

var deviceLinesDesc = prometheus.NewDesc("countersign_audit_device_lines_total", "Lines written to audit devices by type.", []string{"type"}, nil)

// Describe implements prometheus.Collector.
func (deviceLines) Describe(ch chan<- *prometheus.Desc) { ch <- deviceLinesDesc }

// Collect implements prometheus.Collector.
func (d deviceLines) Collect(ch chan<- prometheus.Metric) {
	c := d.m.core.Load()
	if c == nil {
		return
	}
	lines := c.devices.Totals().Lines
	for _, kind := range []string{auditdevice.File, auditdevice.Socket, auditdevice.Syslog} {
		ch <- prometheus.MustNewConstMetric(deviceLinesDesc, prometheus.CounterValue, float64(lines[kind]), kind)
	}
}
