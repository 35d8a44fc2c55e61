package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"countersign/internal/config"
	"countersign/internal/core/audit"
	"countersign/internal/core/auditdevice"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/identitytoken"
	"countersign/internal/core/leader"
	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/notice"
	"countersign/internal/core/notify"
	"countersign/internal/core/operate"
	"countersign/internal/core/password"
	"countersign/internal/core/project"
	"countersign/internal/core/record"
	"countersign/internal/core/secret"
	"countersign/internal/core/signin"
	"countersign/internal/core/token"
	"countersign/internal/core/transit"
	"countersign/internal/errs"
	"countersign/internal/keyring"
	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	"countersign/internal/kv/fsck"
)

// ErrInitialized says that the store has its home account already.
var ErrInitialized = errors.New("the store is initialized already")

// FirstKey is the access key of a new store's administrator.
type FirstKey struct {
	ID, Secret, Token string
	Account, User     string
	Created           time.Time
}

// Init makes the store that a configuration names, with the home account and
// its administrator, and returns that user's key, which is shown this once.
func Init(ctx context.Context, cfg config.Config, stderr io.Writer) (FirstKey, error) {
	c, err := openCore(ctx, cfg, newLogger(cfg.Log, stderr), nil)
	if err != nil {
		return FirstKey{}, err
	}
	key, err := c.authn.Bootstrap(ctx)
	if errs.Is(err, errs.Exists) {
		err = ErrInitialized
	}
	if err = errors.Join(err, c.close()); err != nil {
		return FirstKey{}, err
	}
	secret := string(key.Secret.Reveal())
	return FirstKey{ID: key.ID, Secret: secret, Token: authn.Token(key.ID, secret), Account: cfg.Account, User: authn.Admin, Created: key.Created}, nil
}

// FsckReport is the outcome of Fsck. A store without problems is sound.
type FsckReport struct {
	Revision uint64   `json:"revision"`
	Pairs    uint64   `json:"pairs"`
	Problems []string `json:"problems"`
}

// Fsck checks the store that a configuration names while no server has it
// open: its pages, that every record opens and is one, and that records which
// refer to each other agree.
func Fsck(ctx context.Context, cfg config.Config) (FsckReport, error) {
	path := storePath(cfg.Data)
	ring, err := openRing(ctx, cfg, path)
	if errors.Is(err, kv.ErrInUse) {
		return FsckReport{}, &errs.Error{Kind: errs.Unavailable, Msg: "the store can be checked while no server has it open", Err: err}
	}
	if err != nil {
		// The check of the file itself may tell why the keyring does not open.
		rep, ferr := fsck.Run(ctx, path, fsck.Config{})
		if ferr != nil {
			return FsckReport{}, errors.Join(err, ferr)
		}
		out := report(rep)
		out.Problems = append(out.Problems, "the keyring does not open, so no record was read: "+err.Error())
		return out, nil
	}
	rep, err := fsck.Run(ctx, path, fsck.Config{Cipher: ring, Rules: rules(), Refers: refers(ring)})
	if err != nil {
		return FsckReport{}, err
	}
	return report(rep), nil
}

func report(rep fsck.Report) FsckReport {
	out := FsckReport{Revision: uint64(rep.Revision), Pairs: rep.Pairs, Problems: []string{}}
	for _, f := range rep.Findings {
		out.Problems = append(out.Problems, f.String())
	}
	return out
}

// rules describe every kind of record that a store may hold.
func rules() []fsck.Rule {
	all := [][]fsck.Rule{
		auditdevice.Rules(),
		authn.Rules(),
		change.Rules(),
		identitytoken.Rules(),
		leader.Rules(),
		mount.Rules(),
		notice.Rules(),
		notify.Rules(),
		password.Rules(),
		project.Rules(),
		secret.Rules(),
		signin.Rules(),
		token.Rules(),
		login.Rules(),
		transit.Rules(),
		{
			{Kind: "audit-head", Shape: "ss", Decode: record.Check[audit.Head]},
			{Kind: "keyring"}, // the keyring checks its own records when it opens
		},
	}
	return slices.Concat(all...)
}

// refers are the checks of what records say of each other.
func refers(ring *keyring.Ring) []fsck.Refer {
	return []fsck.Refer{
		auditdevice.Refer,
		change.Refer,
		identitytoken.Refer,
		notify.Refer,
		project.Refer,
		secret.Refer(ring),
		token.Refer,
		login.Refer,
		transit.Refer,
	}
}

// openRing unseals the keyring of a store that stays as it is.
func openRing(ctx context.Context, cfg config.Config, path string) (_ *keyring.Ring, err error) {
	db, err := boltkv.Open(boltkv.Config{Path: path, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := openSeal(cfg.Seal)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return keyring.Open(ctx, kv.DB(db), s, keyring.Config{})
}

// AuditReport is the outcome of VerifyAudit.
type AuditReport = audit.Report

// VerifyAudit checks the audit log in a folder, with the public keys in a file
// that the caller trusts, or else with those that lie beside the log. It needs
// neither the store nor a key of it. head, when not empty, is a place "SEQ:HASH"
// that was kept elsewhere and that the log must still hold.
func VerifyAudit(ctx context.Context, dir, keyFile, head string, live bool) (AuditReport, error) {
	keys, err := audit.ReadPublicKeys(dir)
	if keyFile != "" {
		var text []byte
		if text, err = os.ReadFile(keyFile); err == nil {
			keys, err = audit.ParsePublicKeys(text)
		}
	}
	if err != nil {
		return AuditReport{}, fmt.Errorf("reading the public key: %w", err)
	}
	opts := audit.Options{Live: live}
	if head != "" {
		seq, hash, ok := strings.Cut(head, ":")
		if opts.Head.Seq, err = strconv.ParseUint(seq, 10, 64); err != nil || !ok {
			return AuditReport{}, errors.New("the head is not SEQ:HASH, as audit verify prints it")
		}
		if err := opts.Head.Hash.UnmarshalText([]byte(hash)); err != nil {
			return AuditReport{}, fmt.Errorf("the head's hash: %w", err)
		}
	}
	return audit.Verify(ctx, dir, keys, opts)
}

// RestoreReport says what RestoreBackup restored.
type RestoreReport struct {
	Created time.Time // when the backup was made
	Version string    // of the program that made it
	Files   int
}

// RestoreBackup fills an absent or empty data folder from a backup file. An
// encrypted one needs a file with age identities. The key file or passphrase of
// the store is in no backup and must be brought along.
func RestoreBackup(_ context.Context, backup, identityFile, dir string) (RestoreReport, error) {
	var identities []age.Identity
	if identityFile != "" {
		f, err := os.Open(identityFile)
		if err != nil {
			return RestoreReport{}, fmt.Errorf("reading the identities: %w", err)
		}
		identities, err = age.ParseIdentities(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return RestoreReport{}, fmt.Errorf("%s holds no age identity that can be read", identityFile) // the cause may quote it
		}
	}
	f, err := os.Open(backup)
	if err != nil {
		return RestoreReport{}, fmt.Errorf("reading the backup: %w", err)
	}
	defer f.Close()
	m, err := operate.RestoreBackup(f, identities, dir)
	if err != nil {
		return RestoreReport{}, err
	}
	return RestoreReport{Created: m.Created, Version: m.Version, Files: len(m.Files)}, nil
}
