// Package sigv4 verifies AWS Signature Version 4 on the server's side, for
// requests signed in the Authorization header and for presigned URLs.
//
// A front uses it in four steps, and reads the body only after the second:
//
//	req, err := sigv4.Parse(r)                                // what the request claims
//	err = verifier.Check(&req, sigv4.Call{Services: services}) // time, scope, what must be signed
//	key, err := keys.Key(req.KeyID(generation), secret)       // after looking up req.AccessKeyID
//	err = verifier.Verify(&req, body, key)                    // the signature itself
//
// Nothing that Parse or Check returned is to be believed before Verify has
// returned nil. Verify refuses a request that Check has not passed. The body is
// given as bytes, already read under the front's limit, so that this package
// never holds a stranger's stream.
//
// # What a verified request means
//
// Requests with the same canonical form verify alike, so the canonical form
// here is a function of what net/http and net/url make of the request:
//
//   - method, host, body and every signed header are as signed; the host may
//     differ in case and in the scheme's default port;
//   - a query is compared by its decoded parameters: their order, an empty
//     segment, "a" for "a=", "+" for "%20" and the case of percent-encoding
//     may differ;
//   - a path is compared in its encoded form, as received on the wire and not
//     as net/http cleans it. AWS normalizes dot segments and repeated slashes
//     before signing and some of its SDKs do not, so both forms verify. A front
//     must therefore route on a clean path, as http.ServeMux does, or compare
//     the path with "/";
//   - runs of spaces within a header value count as one, and the values of a
//     repeated header are joined by commas. A repeated x-amz-* header is
//     refused, because http.Header.Get would show the first alone.
//
// Headers that are not signed prove nothing. Host and every x-amz-* header must
// be signed (so nobody can change X-Amz-Target); X-Amz-Cf-Id, which CloudFront
// adds on the way, may be there and means nothing, as does X-Amz-Date beside a
// presigned URL. AWS leaves the signing of Content-Type to the client and so
// does this package: a front must not let an unsigned Content-Type decide what
// a body means.
//
// # Bodies
//
// A body is always hashed. A declared X-Amz-Content-Sha256 must be that hash.
// UNSIGNED-PAYLOAD is accepted in a signed header over TLS alone, where the
// transport protects the body, and never in a presigned URL: there it would let
// whoever finds the URL send any body, and in the protocols served here the
// body is the whole request. Chunked signatures (STREAMING-...) are refused.
//
// # Refusals
//
// Every refusal is an *errs.Error whose Code is AWS's name of the error and
// whose Msg is AWS's text, without what AWS echoes: neither the canonical
// request, nor the Authorization header, nor a credential that was not
// understood, because people put the secret key there by mistake. An unknown
// access key is the caller's to refuse (UnrecognizedClientException).
//
// Signatures are compared in constant time. What is parsed is bounded: the
// length of the Authorization header and of the query, the number of query
// parameters and of signed headers. Header values are bounded by the server's
// MaxHeaderBytes.
//
// Source: the "Signature Version 4 signing process" chapter of the AWS IAM User
// Guide, the signers of botocore and of the AWS SDKs for Go and JavaScript, and
// AWS's published signing test suite.
package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/errs"
)

const (
	// Algorithm is the only signing algorithm served.
	Algorithm = "AWS4-HMAC-SHA256"

	// DefaultSkew is how far a client's clock may be from the server's.
	DefaultSkew = 15 * time.Minute

	// MaxExpires is the longest life of a presigned URL: seven days.
	MaxExpires = 604800 * time.Second

	terminator  = "aws4_request"
	stampLayout = "20060102T150405Z"
)

// Config is what a Verifier accepts.
type Config struct {
	// Regions are the region labels this server answers for. At least one.
	Regions []string
	// Skew is how far a request's time may be from Now. Zero means DefaultSkew.
	Skew time.Duration
	// MaxExpires bounds X-Amz-Expires of presigned URLs. Zero means MaxExpires,
	// which is also the most that can be set.
	MaxExpires time.Duration
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// Verifier checks requests against one configuration. It is safe for
// concurrent use and holds no secrets.
type Verifier struct {
	regions    []string
	skew       time.Duration
	maxExpires time.Duration
	now        func() time.Time
}

// New returns a Verifier, or an error of kind Invalid that names the field.
func New(cfg Config) (*Verifier, error) {
	v := &Verifier{regions: slices.Clone(cfg.Regions), skew: cfg.Skew, maxExpires: cfg.MaxExpires, now: cfg.Now}
	if len(v.regions) == 0 || slices.Contains(v.regions, "") {
		return nil, errs.InvalidField("Regions", "at least one region is needed, and none may be empty")
	}
	if v.skew == 0 {
		v.skew = DefaultSkew
	}
	if v.skew < 0 {
		return nil, errs.InvalidField("Skew", "must not be negative")
	}
	if v.maxExpires == 0 {
		v.maxExpires = MaxExpires
	}
	if v.maxExpires < time.Second || v.maxExpires > MaxExpires {
		return nil, errs.InvalidField("MaxExpires", "must be from one second to seven days")
	}
	if v.now == nil {
		v.now = time.Now
	}
	return v, nil
}

// Call says what one request may be signed for.
type Call struct {
	// Services are the service names accepted in the credential's scope, such
	// as "secretsmanager". The first is named in the refusal.
	Services []string
	// Secure says that the request came over TLS, seen by this server or
	// vouched for by a proxy it trusts. It allows UNSIGNED-PAYLOAD and says
	// which port is the default one.
	Secure bool
}

// Check tells whether req may be verified at all: its time is current, its
// scope names an accepted service and a configured region, and all that must be
// signed is. It needs neither the key nor the body, so that a front can refuse
// before it looks up the one and reads the other.
func (v *Verifier) Check(req *Request, call Call) error {
	if req.http == nil {
		return errs.New(errs.Internal, "checking a request that was not parsed")
	}
	req.checked = false // an earlier call's answer does not stand for this one
	if err := v.checkTime(req); err != nil {
		return err
	}
	if err := checkSigned(req); err != nil {
		return err
	}
	if err := v.checkScope(req, call); err != nil {
		return err
	}
	if err := checkPayloadMode(req, call); err != nil {
		return err
	}
	req.checked, req.secure = true, call.Secure
	return nil
}

// checkTime refuses a request from outside the window around now: Skew on both
// sides, or for a presigned URL with X-Amz-Expires that long after its date.
func (v *Verifier) checkTime(req *Request) error {
	if req.Expires > v.maxExpires {
		return incomplete("X-Amz-Expires must be at most %d seconds", int64(v.maxExpires/time.Second))
	}
	past := v.skew
	if req.Expires > 0 {
		past = req.Expires
	}
	now := v.now().UTC().Truncate(time.Second)
	if oldest := now.Add(-past); req.Time.Before(oldest) {
		return invalidSignature("Signature expired: %s is now earlier than %s (%s - %s)", req.stamp,
			oldest.Format(stampLayout), now.Format(stampLayout), minutes(past))
	}
	if newest := now.Add(v.skew); req.Time.After(newest) {
		return invalidSignature("Signature not yet current: %s is still later than %s (%s + %s)", req.stamp,
			newest.Format(stampLayout), now.Format(stampLayout), minutes(v.skew))
	}
	return nil
}

// minutes spells a duration as AWS does, "15 min.", and one that is no whole
// number of minutes in seconds.
func minutes(d time.Duration) string {
	if d%time.Minute == 0 {
		return strconv.FormatInt(int64(d/time.Minute), 10) + " min."
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + " sec."
}

// checkSigned refuses a request that leaves out of its signature what must be
// in it: the host and every x-amz-* header.
func checkSigned(req *Request) error {
	if !listed(req.signedHeaders, "host") {
		return invalidSignature("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name, values := range req.http.Header {
		if !isAmz(name) || strings.EqualFold(name, "X-Amz-Cf-Id") {
			continue
		}
		if req.Presigned && strings.EqualFold(name, "X-Amz-Date") {
			continue
		}
		if len(values) > 1 {
			return invalidSignature("Header '%s' is present more than once.", shown(name))
		}
		if !listed(req.signedHeaders, name) {
			return invalidSignature("There were headers present in the request which were not signed: '%s'.", shown(name))
		}
	}
	return nil
}

func isAmz(name string) bool {
	return len(name) >= 6 && strings.EqualFold(name[:6], "x-amz-")
}

// listed reports whether a SignedHeaders list has name, whatever name's case.
func listed(list, name string) bool {
	for list != "" {
		var one string
		one, list, _ = strings.Cut(list, ";")
		if len(one) == len(name) && strings.EqualFold(one, name) {
			return true
		}
	}
	return false
}

// checkScope compares the credential's scope with the call and, as AWS does,
// names everything that is wrong with it in one message.
func (v *Verifier) checkScope(req *Request, call Call) error {
	var wrong []string
	if i := slices.Index(v.regions, req.Region); i >= 0 {
		req.Region = v.regions[i] // the same text, without the header that it is a part of
	} else {
		wrong = append(wrong, "Credential should be scoped to a valid region.")
	}
	if !slices.Contains(call.Services, req.Service) {
		if len(call.Services) == 0 {
			return errs.New(errs.Internal, "checking a request for no service")
		}
		wrong = append(wrong, "Credential should be scoped to correct service: '"+call.Services[0]+"'.")
	}
	if req.terminator != terminator {
		wrong = append(wrong, "Credential should be scoped with a valid terminator: '"+terminator+"', not '"+shown(req.terminator)+"'.")
	}
	if req.Date != req.stamp[:8] {
		wrong = append(wrong, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"+
			shown(req.Date)+"' != '"+req.stamp[:8]+"', from '"+req.stamp+"'.")
	}
	if len(wrong) > 0 {
		return invalidSignature("%s", strings.Join(wrong, " "))
	}
	return nil
}

// checkPayloadMode refuses declarations of the payload that this server does
// not take, before the body is read.
func checkPayloadMode(req *Request, call Call) error {
	switch {
	case strings.HasPrefix(req.payload, "STREAMING-"):
		return invalidSignature("Chunked payload signing (x-amz-content-sha256: STREAMING-...) is not supported by this service.")
	case req.payload != unsignedPayload:
		return nil
	case req.Presigned:
		return invalidSignature("UNSIGNED-PAYLOAD is not accepted in a presigned URL by this service.")
	case !call.Secure:
		return invalidSignature("UNSIGNED-PAYLOAD is accepted over TLS only by this service.")
	}
	return nil
}

// Signed reports whether r carries a Signature Version 4, well-formed or not,
// for a front that takes other credentials as well.
func Signed(r *http.Request) bool {
	if auth := r.Header["Authorization"]; len(auth) > 0 && strings.HasPrefix(auth[0], "AWS4-") {
		return true
	}
	_, query := target(r)
	return queryAuth(query)
}
