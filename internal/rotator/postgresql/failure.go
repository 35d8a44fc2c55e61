package postgresql

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"countersign/internal/rotator"
	"countersign/internal/rotator/database"
)

// dependent is the SQLSTATE of a role that cannot be dropped because of what it owns.
const dependent = "2BP01"

// failures are what SQLSTATEs mean, by the whole code or by its class.
var failures = map[string]struct {
	class rotator.Class
	text  string
}{
	"28":      {rotator.Credentials, "the server refused the login"},
	"42501":   {rotator.Permission, "the login may not do that on the server"},
	"3D000":   {rotator.Unsuitable, "the server has no database of the name that the value has"},
	"42710":   {rotator.Unsuitable, "the server has a role of that name already"},
	"42704":   {rotator.Unsuitable, "the server has no role of that name, or not a setting that the other of the pair has"},
	"25006":   {rotator.Unsuitable, "the server is read-only, as a standby is"},
	dependent: {rotator.Rejected, "the role owns something in another database, so it cannot be dropped"},
	"53":      {rotator.Unreachable, "the server has no connection or no memory left"},
	"55P03":   {rotator.Unreachable, "something else on the server holds the role locked"},
	"40":      {rotator.Unreachable, "something else on the server changed the role at the same time"},
	"57":      {rotator.Unreachable, "the server ended the statement, or is starting or shutting down"},
	"XX000":   {rotator.Rejected, "the server failed inside; something else may have changed the role at the same time"},
}

// explain makes a Failure of an error of a session.
func explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if f := database.Explain(ctx, err); f != nil {
			return f
		}
		return rotator.Fail(rotator.Rejected, err, "the server does not keep to the protocol")
	}
	for _, code := range []string{pg.Code, pg.Code[:min(2, len(pg.Code))]} {
		if f, ok := failures[code]; ok {
			return rotator.Fail(f.class, err, "%s (SQLSTATE %s)", f.text, safe(pg.Code))
		}
	}
	return rotator.Fail(rotator.Rejected, err, "the server refused the statement (SQLSTATE %s)", safe(pg.Code))
}

// safe is a SQLSTATE, which a stranger's server may have filled with anything.
func safe(code string) string {
	if len(code) != 5 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		return "unknown"
	}
	return code
}

// explainLogin makes a Failure of an error of connecting. pgconn has no types for some
// of them.
func explainLogin(ctx context.Context, err error) error {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		err = connect.Unwrap() // without the configuration, in which the password is
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return explain(ctx, err)
	}
	switch text := err.Error(); {
	case strings.Contains(text, "server refused TLS connection"):
		return rotator.Fail(rotator.Unsuitable, err, "the server does not speak TLS; the option tls says whether that may be")
	case strings.Contains(text, "server did not complete authentication"):
		return rotator.Fail(rotator.Unsuitable, err, "the server lets this login in without asking for a password, which proves nothing")
	case strings.Contains(text, "authentication method requirement"), strings.Contains(text, "server does not support SCRAM-SHA-256"):
		return rotator.Fail(rotator.Unsuitable, err,
			"the server asks for the password in a way that gives it away; that is done only with tls verify-full, and SCRAM-SHA-256 otherwise")
	case strings.Contains(text, "invalid SCRAM ServerSignature"):
		return rotator.Fail(rotator.Rejected, err, "the server does not know the password itself, so it is not the one it should be")
	}
	return explain(ctx, err)
}
