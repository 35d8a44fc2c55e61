package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"

	client "github.com/go-sql-driver/mysql"

	"countersign/internal/rotator"
	"countersign/internal/rotator/database"
)

// The numbers of errors that say that there is no such account.
const (
	noRow      = 1133
	cannotUser = 1396
)

// failures are what the numbers of errors mean.
var failures = []struct {
	numbers []uint16
	class   rotator.Class
	text    string
}{
	{[]uint16{1045, 1698, 1251, 1130, 1820, 1862, 3118, 3955, 4151}, rotator.Credentials, "the server refused the login"},
	{[]uint16{1044, 1142, 1143, 1227, 1370, 1410, 1141, 1095}, rotator.Permission, "the login may not do that on the server"},
	{[]uint16{1049}, rotator.Unsuitable, "the server has no database of the name that the value has"},
	{[]uint16{noRow}, rotator.Unsuitable, "the server has no account of that user with that host_pattern"},
	{[]uint16{cannotUser}, rotator.Unsuitable, "the server could not make or change the account: another did so at the same time, or it takes no hashes (strict_password_validation)"},
	{[]uint16{1290, 1792, 1836}, rotator.Unsuitable, "the server is read-only, or takes no hashes (strict_password_validation)"},
	{[]uint16{1470}, rotator.Unsuitable, "the name of the account would be too long for the server"},
	{[]uint16{1699}, rotator.Unsuitable, "the account logs in by a plugin that has no password"},
	{[]uint16{1819, 1827, 3638}, rotator.Rejected, "the server's rules for passwords refuse it"},
	{[]uint16{1040, 1053, 1080, 1129, 1203, 1226, 1461}, rotator.Unreachable, "the server has no connection left for this login, or is shutting down"},
	{[]uint16{1205, 1213, 1317, 1927, 1969, 3024}, rotator.Unreachable, "the server ended the statement, which waited for too long"},
}

// explain makes a Failure of an error of a session. MariaDB says of some statements
// that may not be what it says of logins.
func explain(ctx context.Context, err error) error {
	err = explainLogin(ctx, err)
	if class, _ := rotator.Why(err); err == nil || class != rotator.Credentials {
		return err
	}
	var server *client.MySQLError
	if errors.As(err, &server) {
		return rotator.Fail(rotator.Permission, err, "the login may not do that on the server (error %d)", server.Number)
	}
	return rotator.Fail(rotator.Rejected, err, "the server does not keep to the protocol")
}

// explainLogin makes a Failure of an error of connecting.
func explainLogin(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var server *client.MySQLError
	if errors.As(err, &server) {
		for _, f := range failures {
			if slices.Contains(f.numbers, server.Number) {
				return rotator.Fail(f.class, err, "%s (error %d)", f.text, server.Number)
			}
		}
		return rotator.Fail(rotator.Rejected, err, "the server refused the statement (error %d)", server.Number)
	}
	if f := database.Explain(ctx, err); f != nil {
		return f
	}
	switch {
	case errors.Is(err, client.ErrNoTLS):
		return rotator.Fail(rotator.Unsuitable, err, "the server does not speak TLS; the option tls says whether that may be")
	case errors.Is(err, client.ErrCleartextPassword), errors.Is(err, client.ErrOldPassword), errors.Is(err, client.ErrNativePassword), errors.Is(err, client.ErrUnknownPlugin):
		return rotator.Fail(rotator.Unsuitable, err, "the server asks for the password in clear, or by a plugin that is not known; neither is done")
	case errors.Is(err, client.ErrMalformPkt):
		// The client does not go from one plugin of an account to a second. What the
		// server said was that the first did not let it in.
		return rotator.Fail(rotator.Credentials, err, "the server refused the login, or does not keep to the protocol")
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, client.ErrInvalidConn):
		return rotator.Fail(rotator.Unreachable, err, "the connection to the database broke")
	}
	return rotator.Fail(rotator.Rejected, err, "the server does not keep to the protocol")
}
