package config

import (
	"strings"
	"testing"
	"time"
)

func rotation(t *testing.T, text string) (Config, error) {
	t.Helper()
	return Parse([]byte("data: data\naccount: \"111111111111\"\n"+text), "/etc/countersign")
}

func TestRotation(t *testing.T) {
	c, err := rotation(t, `rotation:
  timeout: 10s
  allow: [10.0.0.0/8, 127.0.0.1]
  functions:
    - {arn: "arn:aws:lambda:us-east-1:111122223333:function:f:live", url: "https://functions.example:9000", credentials: f.json, user: rotator}
    - {arn: "arn:aws:lambda:us-east-1:111122223333:function:g", url: "http://127.0.0.1:9000", accounts: ["222222222222"]}
  webhooks:
    - {name: w, url: "https://hooks.example/a?b", key_file: w.key, mode: single, previous: replaced}
  commands:
    - {name: c, argv: [/usr/bin/rotate, --quiet], env: {HOME: /tmp}, timeout: 2m}
`)
	if err != nil {
		t.Fatal(err)
	}
	r := c.Rotation
	if r.Concurrency != 4 || r.Attempts != 5 || time.Duration(r.Timeout) != 10*time.Second {
		t.Errorf("%+v", r)
	}
	if f := r.Functions[0]; f.Credentials != "/etc/countersign/f.json" || f.Accounts[0] != "111111111111" || time.Duration(f.Timeout) != time.Minute {
		t.Errorf("%+v", f)
	}
	if w := r.Webhooks[0]; w.KeyFile != "/etc/countersign/w.key" || w.Mode != ModeSingle {
		t.Errorf("%+v", w)
	}
	if x := r.Commands[0]; x.Mode != ModeSteps || x.Previous != PreviousUnknown || time.Duration(x.Timeout) != 2*time.Minute {
		t.Errorf("%+v", x)
	}
}

func TestRotationRefused(t *testing.T) {
	const arn = `arn: "arn:aws:lambda:us-east-1:111122223333:function:f"`
	for text, want := range map[string]string{
		"concurrency: 65":    "rotation.concurrency",
		"timeout: 16m":       "rotation.timeout",
		"attempts: 21":       "rotation.attempts",
		"allow: [somewhere]": "",
		"colour: red":        "colour",
		`functions: [{arn: "arn:aws:lambda:us-east-1:1:function:f", url: "https://f.example"}]`:                          "rotation.functions[0].arn",
		`functions: [{` + arn + `, url: "https://f.example"}]`:                                                           "rotation.functions[0].credentials",
		`functions: [{` + arn + `, url: "http://f.example", credentials: k}]`:                                            "rotation.functions[0].url",
		`functions: [{` + arn + `, url: "https://169.254.169.254/hunter2", credentials: k}]`:                             "rotation.functions[0].url",
		`functions: [{` + arn + `, url: "https://u:hunter2@f.example", credentials: k}]`:                                 "rotation.functions[0].url",
		`functions: [{` + arn + `, url: "https://f.example/?q=hunter2", credentials: k}]`:                                "rotation.functions[0].url",
		`functions: [{` + arn + `, url: "https://f.example", credentials: k, accounts: []}]`:                             "rotation.functions[0].accounts",
		`functions: [{` + arn + `, url: "https://f.example", credentials: k, accounts: [x]}]`:                            "rotation.functions[0].accounts",
		`functions: [{` + arn + `, url: "https://f.example", credentials: k, user: "a b"}]`:                              "rotation.functions[0].user",
		`functions: [{` + arn + `, url: "https://f.example", credentials: k, timeout: 1ms}]`:                             "rotation.functions[0].timeout",
		`webhooks: [{name: w, url: "https://w.example"}]`:                                                                "rotation.webhooks[0].key_file",
		`webhooks: [{name: "../w", url: "https://w.example", key_file: k}]`:                                              "rotation.webhooks[0].name",
		`webhooks: [{name: w, url: "https://w.example", key_file: k, mode: often}]`:                                      "rotation.webhooks[0].mode",
		`webhooks: [{name: w, url: "https://w.example", key_file: k, mode: single, previous: kept}]`:                     "rotation.webhooks[0].previous",
		`webhooks: [{name: w, url: "https://w.example", key_file: k}, {name: w, url: "https://w.example", key_file: k}]`: "rotation.webhooks[1].name",
		`commands: [{name: c, argv: [rotate]}]`:                                                                          "rotation.commands[0].argv",
		`commands: [{name: c, argv: [/usr/../bin/rotate]}]`:                                                              "rotation.commands[0].argv",
		`commands: [{name: c, argv: []}]`:                                                                                "rotation.commands[0].argv",
		`commands: [{name: c, argv: [/bin/rotate], env: {COUNTERSIGN_STEP: x}}]`:                                         "rotation.commands[0].env",
		`commands: [{name: c, argv: [/bin/rotate], env: {"A=B": x}}]`:                                                    "rotation.commands[0].env",
	} {
		_, err := rotation(t, "rotation: {"+text+"}\n")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := rotation(t, "audit: {devices_dir: /var/lib/devices}\nrotation: {commands: [{name: c, argv: [/var/lib/devices/x]}]}\n"); err == nil {
		t.Error("a program may stand where audit devices write")
	}
}
