// Package client speaks the native API of a Countersign server, version 1.
//
// A Client is made from a Config and is safe for concurrent use. Every method
// sends one request, waits for its answer, and returns either the decoded
// answer or an *Error whose kind is one of errs.Kind, so that a caller decides
// by kind and never by text.
//
// What it promises about credentials and values:
//
//   - The token is sent over HTTPS, or over plain HTTP to a loopback address.
//     Any other address is refused when the Client is made, unless
//     Config.AllowPlaintext says so.
//   - A redirect is never followed: it would carry the token to a place that
//     nobody chose.
//   - Secret values travel in bodies, never in a URL, and are held as
//     sensitive.Bytes. No error of this package holds a value or a token.
//
// It trusts the server's certificate as the system does, or as Config.CAFile
// says. It does not trust the size of an answer: one over 32 MiB is refused,
// except for the streams of Backup and FollowAudit.
//
// The package knows the wire and nothing of the server's insides.
package client
