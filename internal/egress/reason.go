package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"

	"countersign/internal/errs"
)

// Reason says why a request failed, in words that hold nothing of the URL or of
// what the other side sent. It returns "" for nil.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	for _, own := range []error{ErrAddress, ErrPlain, ErrBare, ErrName, ErrRedirect} {
		if errors.Is(err, own) {
			return own.Error()
		}
	}
	var refused *errs.Error
	if errors.As(err, &refused) && refused.Kind != errs.Internal {
		return refused.Msg
	}
	var timeout net.Error
	var alert tls.AlertError
	var header tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, context.Canceled):
		return "it was given up"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "it took too long"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		return "the certificate is not valid for that host"
	case errors.As(err, &alert), errors.As(err, &header):
		return "TLS could not be agreed on"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was closed"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "the address cannot be reached"
	}
	return "the connection failed"
}
