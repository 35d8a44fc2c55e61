package schedule_test

import (
	"testing"
	"time"

	"countersign/internal/core/schedule"
	"countersign/internal/errs"
)

func TestParseWindow(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1h": time.Hour, "3h": 3 * time.Hour, "03h": 3 * time.Hour, "24h": 24 * time.Hour,
	} {
		if got, err := schedule.ParseWindow(text); err != nil || got != want {
			t.Errorf("ParseWindow(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "h", "3", "0h", "25h", "99h", "100h", "3H", "3h ", "-1h", "+1h", "1.5h", "3hh", "3h0m", "h3", "３h"} {
		_, err := schedule.ParseWindow(text)
		if e := errs.As(err); e == nil || e.Kind != errs.Invalid || e.Field != schedule.FieldDuration {
			t.Errorf("ParseWindow(%q) = %v, want it refused", text, err)
		}
	}
}

func TestCheckWindow(t *testing.T) {
	tests := []struct {
		name    string
		expr    string
		longest int // hours; one more is refused
	}{
		{"rate-hours", "rate(4 hours)", 4},
		{"rate-many-hours", "rate(36 hours)", 24},
		{"rate-days", "rate(10 days)", 24},
		{"cron-day-at-midnight", "cron(0 0 ? * SUN#1 *)", 24},
		{"cron-day-at-16", "cron(0 16 1,15 * ? *)", 8},
		{"cron-day-at-23", "cron(0 23 * * ? *)", 1},
		{"cron-hours", "cron(0 4/12 * * ? *)", 12},
		{"cron-hours-closer-overnight", "cron(0 2/10 * * ? *)", 4},
		{"cron-hours-of-lone-days", "cron(0 1/11 ? * SUN *)", 11},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, tt.expr)
			for h := range 26 {
				err := s.CheckWindow(time.Duration(h) * time.Hour)
				if fits := h <= tt.longest; fits != (err == nil) {
					t.Errorf("CheckWindow(%dh) = %v", h, err)
				}
				if e := errs.As(err); e != nil && (e.Kind != errs.Invalid || e.Field != schedule.FieldDuration) {
					t.Errorf("CheckWindow(%dh) = %v of %q", h, e.Kind, e.Field)
				}
			}
		})
	}
	for _, window := range []time.Duration{-time.Hour, 90 * time.Minute, time.Nanosecond} {
		if schedule.Days(1).CheckWindow(window) == nil {
			t.Errorf("CheckWindow(%v) accepted it", window)
		}
	}
}

func TestCloses(t *testing.T) {
	tests := []struct {
		name   string
		s      schedule.Schedule
		opened string
		window time.Duration
		want   string
	}{
		{"hours-default", parse(t, "rate(4 hours)"), "2025-03-01 20:00", 0, "2025-03-01 21:00"},
		{"cron-hours-default", parse(t, "cron(0 /8 * * ? *)"), "2025-03-01 16:00", 0, "2025-03-01 17:00"},
		{"cron-day-default", parse(t, "cron(0 16 1,15 * ? *)"), "2025-03-01 16:00", 0, "2025-03-02 00:00"},
		{"days-default", schedule.Days(30), "2025-02-28 00:00", 0, "2025-03-01 00:00"},
		{"days-given", schedule.Days(30), "2025-02-28 00:00", 3 * time.Hour, "2025-02-28 03:00"},
		{"hours-given", parse(t, "rate(4 hours)"), "2025-03-01 20:00", 4 * time.Hour, "2025-03-02 00:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, want := tt.s.Closes(utc(t, tt.opened), tt.window), utc(t, tt.want); !got.Equal(want) {
				t.Errorf("Closes = %v, want %v", got, want)
			}
		})
	}
}
