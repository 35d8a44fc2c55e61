package server

import (
	"time"

	"countersign/internal/config"
	"countersign/internal/name"
	"countersign/internal/rotator"
	"countersign/internal/rotator/call"
	"countersign/internal/rotator/command"
	"countersign/internal/rotator/function"
	"countersign/internal/rotator/webhook"
	"countersign/internal/seal"
	"countersign/internal/sensitive"
)

// maxPrivate bounds a file with a key, in bytes.
const maxPrivate = 16 << 10

// private reads a file that nobody else may read, each time that it is asked for; nil
// for no path.
func private(path string) func() (sensitive.Bytes, error) {
	if path == "" {
		return nil
	}
	return func() (sensitive.Bytes, error) { return seal.ReadPrivate(path, maxPrivate) }
}

// functions are the rotation functions of the configuration, which has checked their
// ARNs.
func functions(r config.Rotation) (out function.Config) {
	for _, f := range r.Functions {
		of, err := name.ParseFunction(f.ARN)
		if err != nil {
			continue
		}
		out.Functions = append(out.Functions, function.Function{ARN: f.ARN, Region: of.Region, Called: of.Name, Version: of.Qualifier, URL: f.URL,
			User: f.User, Accounts: f.Accounts, Timeout: time.Duration(f.Timeout), Credentials: private(f.Credentials)})
	}
	return out
}

// called is what webhooks and commands have in common.
func called(n, mode, previous string, accounts []string, timeout config.Duration) call.Called {
	return call.Called{Name: n, Mode: call.Mode(mode), Previous: rotator.Fate(previous), Accounts: accounts, Timeout: time.Duration(timeout)}
}

func webhooks(r config.Rotation) (out webhook.Config) {
	for _, w := range r.Webhooks {
		out.Webhooks = append(out.Webhooks, webhook.Webhook{URL: w.URL, Keys: private(w.KeyFile), Called: called(w.Name, w.Mode, w.Previous, w.Accounts, w.Timeout)})
	}
	return out
}

func commands(r config.Rotation) (out command.Config) {
	for _, c := range r.Commands {
		out.Commands = append(out.Commands, command.Command{Argv: c.Argv, Env: c.Env, Called: called(c.Name, c.Mode, c.Previous, c.Accounts, c.Timeout)})
	}
	return out
}
