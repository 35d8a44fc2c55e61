package sdk

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runClient runs a scenario in another language and shows what it says when it
// fails. Nothing that it says may hold a value.
func runClient(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	t.Parallel()
	s := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = s.childEnv()
	out, err := cmd.CombinedOutput()
	if bytes.Contains(out, []byte(canary)) {
		t.Error("the scenario's output has a value in it; it is not shown")
		out = nil
	}
	if err != nil {
		t.Errorf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// installed fails the test when a program is missing.
func installed(t *testing.T, program, what string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is missing: install it with \"make deps\"", what)
	}
}

// TestJavaScript runs the scenarios with the AWS SDK for JavaScript v3.
func TestJavaScript(t *testing.T) {
	installed(t, "node", "Node.js")
	if _, err := os.Stat(filepath.Join("js", "node_modules", "@aws-sdk", "client-secrets-manager")); err != nil {
		t.Fatal("the AWS SDK for JavaScript is missing: install it with \"make deps\"")
	}
	runClient(t, "js", "node", "scenario.mjs")
}

// TestBoto3 runs the scenarios with boto3, of which every response is held to
// botocore's model.
func TestBoto3(t *testing.T) {
	installed(t, "python3", "Python 3")
	// Version 1.34 is the first whose model has all the operations.
	check := exec.CommandContext(t.Context(), "python3", "-c",
		"import boto3, sys; sys.exit(tuple(map(int, boto3.__version__.split('.')[:2])) < (1, 34))")
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("boto3 1.34 or later is missing: install it with \"make deps\": %s", out)
	}
	runClient(t, "py", "python3", "-m", "unittest", "discover", "-p", "*_test.py")
}

// TestCommandLine runs the scenario with the aws command line.
func TestCommandLine(t *testing.T) {
	installed(t, "aws", "the aws command line")
	runClient(t, "cli", "sh", "scenario.sh")
}
