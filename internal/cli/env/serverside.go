package env

import (
	"context"
	"errors"
	"io"
	"time"

	"countersign/internal/client"
)

// ServerSide are the functions of the server that the command line calls in its
// own process: to start it, and to work on its files while it does not run.
// They are filled in one place, so that commands depend on their meaning and
// not on the server's packages.
type ServerSide struct {
	// Serve runs the server of a configuration file until ctx ends, and then
	// drains it. The server's log goes to log.
	Serve func(ctx context.Context, configFile string, log io.Writer) error
	// Check validates a configuration file as Serve would, and starts nothing.
	Check func(configFile string) error
	// Init makes the store of a configuration file, once.
	Init func(ctx context.Context, configFile string, log io.Writer) (InitResult, error)
	// Dev runs a server that keeps everything under one folder.
	Dev func(ctx context.Context, o DevOptions) error
	// Fsck checks a store that no server has open.
	Fsck func(ctx context.Context, o StoreOptions) (FsckReport, error)
	// RestoreBackup makes a store out of a backup.
	RestoreBackup func(ctx context.Context, o RestoreOptions) (RestoreResult, error)
	// Recover lets a user in again, on a store that no server has open.
	Recover func(ctx context.Context, o RecoverOptions, log io.Writer) (Recovered, error)
	// VerifyAudit checks the files of an audit log.
	VerifyAudit func(ctx context.Context, o VerifyOptions) (client.AuditReport, error)
}

// ErrNoServer is returned where this build holds no server.
var ErrNoServer = errors.New("this program was built without the server")

// InitResult is what Init made: the first account, and its administrator's
// access key, which is shown this once.
type InitResult struct {
	Account string
	Key     client.NewKey
}

// DevOptions describe a server for development.
type DevOptions struct {
	Demo bool // prepare a project, a rule and people to try reviews with
	// Functions are rotation functions, each ARN=URL.
	Functions []string
	Dir       string    // folder for everything
	Listen    string    // host:port; empty for the usual one
	Out       io.Writer // one line when it is ready to serve
	Err       io.Writer // what to do next, and the server's log
}

// StoreOptions name a store: exactly one of the two is set.
type StoreOptions struct {
	ConfigFile string // of the server whose store it is
	Dir        string // folder of a development server
}

// FsckReport is what a check of a store found. A store without problems is
// sound.
type FsckReport struct {
	Revision uint64   `json:"revision"`
	Pairs    uint64   `json:"pairs"` // records that were read
	Problems []string `json:"problems"`
}

// RestoreOptions say what to restore and where.
type RestoreOptions struct {
	Backup   string // file
	Identity string // file with age identities, for an encrypted backup
	Data     string // the data folder to fill, absent or empty
}

// RestoreResult is what was restored.
type RestoreResult struct {
	Data    string    `json:"data"`
	Created time.Time `json:"created"` // when the backup was made
	Version string    `json:"version"` // of the program that made it
	Files   int       `json:"files"`
}

// VerifyOptions name an audit log and what is trusted.
type VerifyOptions struct {
	Dir  string // folder of the log
	Key  string // file with the public keys; default audit.pub in Dir, which proves less
	Head client.AuditHead
	Live bool // a server may be writing
}

// RecoverOptions say whom to let in, and how.
type RecoverOptions struct {
	DropRules  bool // remove every protection rule
	ConfigFile string
	User       string
	Key        bool // an access key instead of an invitation
	Admin      bool // make the user when absent, and let it do everything
}

// Recovered is what Recover made: one of the two.
type Recovered struct {
	Invitation client.Invitation
	Key        client.NewKey
}
