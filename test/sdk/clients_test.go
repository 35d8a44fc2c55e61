package sdk

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runClient runs a scenario in another language and shows what it says when it
// fails. Nothing that it says may hold a value.
func runClient(t *testing.T, env []string, dir, program string, args ...string) {
	t.Helper()
	t.Parallel()
	s := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = s.childEnv(env...)
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
	runClient(t, nil, "js", "node", "scenario.mjs")
}

// TestNodeVault runs the scenarios with node-vault.
func TestNodeVault(t *testing.T) {
	installed(t, "node", "Node.js")
	if _, err := os.Stat(filepath.Join("js", "node_modules", "node-vault")); err != nil {
		t.Fatal("node-vault is missing: install it with \"make deps\"")
	}
	devices := filepath.Join(start(t).dir, "data", "audit-devices")
	runClient(t, []string{"COUNTERSIGN_TEST_DEVICES=" + devices}, "js", "node", "vault.mjs")
}

// TestBoto3 runs the scenarios with boto3, of which every response is held to
// botocore's model.
func TestBoto3(t *testing.T) {
	installed(t, "python3", "Python 3")
	check := exec.CommandContext(t.Context(), "python3", "-c", "import boto3")
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("boto3 is missing: install it with \"make deps\": %s", out)
	}
	runClient(t, nil, "py", "python3", "-m", "unittest", "discover", "-p", "*_test.py")
}

// TestHvac runs the scenarios with hvac, in the first Python that has it: the one
// of a person, or the system's, for which Debian has a package.
func TestHvac(t *testing.T) {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import hvac").Run() == nil {
			runClient(t, nil, "py", python, "-m", "unittest", "vault_scenario")
			return
		}
	}
	t.Fatal("hvac is missing: install it with \"make deps\"")
}

// TestCommandLine runs the scenario with the aws command line.
func TestCommandLine(t *testing.T) {
	installed(t, "aws", "the aws command line")
	runClient(t, withAWS(t), "cli", "sh", "scenario.sh")
}

// withAWS returns the variables under which a shell's aws command reads
// AWS_ENDPOINT_URL. Releases before 1.29 and 2.13 do not (Debian 12 has 2.9):
// for them a script stands before the command and gives the endpoint as people
// did then.
func withAWS(t *testing.T) []string {
	t.Helper()
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Fatal("the aws command line is missing: install it with \"make deps\"")
	}
	out, err := exec.CommandContext(t.Context(), path, "--version").CombinedOutput()
	if err != nil {
		t.Fatalf("aws --version: %v: %s", err, out)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(out), "aws-cli/%d.%d", &major, &minor); err != nil {
		t.Fatalf("aws --version says %q", out)
	}
	if major == 1 && minor >= 29 || major == 2 && minor >= 13 || major > 2 {
		return nil
	}
	dir := t.TempDir()
	shim := "#!/bin/sh\nexec " + path + " --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "aws"), []byte(shim), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "AWS_CLI_OLD=1"}
}
