package database

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"

	"countersign/internal/rotator"
)

// Dial connects to the server of a login, by the way that the server's configuration
// allows. A failure is a Failure.
func Dial(ctx context.Context, env rotator.Env, l Login) (net.Conn, error) {
	conn, err := env.Dial(ctx, "tcp", l.Address())
	if err == nil {
		return conn, nil
	}
	if f := Explain(ctx, err); f != nil {
		return nil, f
	}
	return nil, rotator.Fail(rotator.Unreachable, err, "the host cannot be reached from here, or this server's configuration does not let it be a target")
}

// Explain makes a Failure of what goes wrong on any connection, or returns nil when it
// does not know the error.
func Explain(ctx context.Context, err error) *rotator.Failure {
	var known *rotator.Failure
	if errors.As(err, &known) {
		return known
	}
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(ctx.Err(), context.Canceled):
		return rotator.Fail(rotator.Unreachable, context.Canceled, "the step was ended before the database answered")
	case ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout():
		return rotator.Fail(rotator.Unreachable, err, "the database did not answer in time")
	case errors.Is(err, syscall.ECONNREFUSED):
		return rotator.Fail(rotator.Unreachable, err, "nothing accepts connections at the host and port")
	}
	if f := explainTLS(err); f != nil {
		return f
	}
	var (
		dns *net.DNSError
		op  *net.OpError
	)
	switch {
	case errors.As(err, &dns):
		return rotator.Fail(rotator.Unreachable, err, "the host name cannot be resolved")
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return rotator.Fail(rotator.Unreachable, err, "the connection to the database broke")
	}
	return nil
}

func explainTLS(err error) *rotator.Failure {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
	)
	switch {
	case errors.As(err, &name):
		return rotator.Fail(rotator.Unsuitable, err, "the server's certificate is for another name than the host of the value")
	case errors.As(err, &unknown):
		return rotator.Fail(rotator.Unsuitable, err, "the server's certificate is signed by nobody who is trusted: the option tls_ca names who is")
	case errors.As(err, &verify):
		return rotator.Fail(rotator.Unsuitable, err, "the server's certificate is not valid")
	case errors.As(err, &record), errors.As(err, &alert):
		return rotator.Fail(rotator.Unsuitable, err, "the server and this one could not agree on TLS")
	}
	return nil
}

// DialTo is Dial for a client that wants to be told nothing but where: whatever
// address it has made of the login, that of the login is dialled.
func DialTo(env rotator.Env, l Login) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return Dial(ctx, env, l) }
}
