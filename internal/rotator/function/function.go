// Package function rotates by functions that were written for AWS Secrets Manager, or
// like them: it calls them as AWS does, and they keep the values in the store
// themselves, by requests of their own.
//
// The server's configuration says which ARN is served where: by the Invoke API of
// Lambda (API Reference, "Invoke"), or by the runtime interface emulator, which every
// base image for functions has. A function is called four times for a rotation, with
// the step createSecret, setSecret, testSecret or finishSecret in an event:
//
//	{"Step", "SecretId", "ClientRequestToken", "Token", "RotationToken"}
//
// SecretId is the ARN of the secret. ClientRequestToken is the id of the version that
// is to be made, and Token is the same once more: there are functions that read it by
// that name. RotationToken proves to this server that a request belongs to the
// rotation.
//
// createSecret may also answer with the value, as {"SecretString": TEXT} or
// {"SecretBinary": BASE64}; it is then stored in the function's place. What other steps
// answer is not looked at. A function that fails says so by the header
// X-Amz-Function-Error or, with the emulator, by the members errorType and
// errorMessage of its answer, or by a text where it took too long. The type is shown,
// cut; the message is not: it may hold anything.
//
// Requests are signed with AWS's signature, version 4, for the service "lambda", with
// the access key that the configuration names, as Lambda itself asks for.
package function

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"countersign/internal/errs"
	"countersign/internal/rotator"
	"countersign/internal/rotator/call"
	"countersign/internal/sensitive"
)

// Name is that of the kind, and Option names the function by its ARN.
const (
	Name   = "function"
	Option = "function"
)

// MaxAnswer is how much of an answer is read, in bytes.
const MaxAnswer = call.MaxAnswer

// Function is one of the configuration.
type Function struct {
	ARN      string
	Region   string // of the ARN
	Called   string // the name in the ARN
	Version  string // its qualifier; may be empty
	URL      string // where the Invoke API is served
	User     string // as whom it calls back; "" for by the rotation's token alone
	Accounts []string
	Timeout  time.Duration // of one call
	// Credentials reads the file with the access key that signs; nil: nothing is
	// signed.
	Credentials func() (sensitive.Bytes, error)
}

// Config configures Kind.
type Config struct{ Functions []Function }

// Kind is the row of the list of rotators.
func Kind(c Config) rotator.Kind {
	find := func(account string, options map[string]string) *Function {
		for i := range c.Functions {
			if f := &c.Functions[i]; f.ARN == options[Option] && slices.Contains(f.Accounts, account) {
				return f
			}
		}
		return nil
	}
	return rotator.Kind{
		Name:    Name,
		Help:    "whatever a rotation function does, such as one written for AWS Secrets Manager",
		Options: []rotator.Option{{Name: Option, Help: "ARN of a function that the server's configuration has", Require: true}},
		Fate:    rotator.Unknown,
		Stores:  true,
		May: func(account string, options map[string]string) error {
			if find(account, options) == nil { // the same whether it is there for others or not at all
				return errs.InvalidField(Option, "the server's configuration has no function of that ARN for this account")
			}
			return nil
		},
		Timeout: func(options map[string]string) time.Duration {
			for i := range c.Functions {
				if c.Functions[i].ARN == options[Option] {
					return c.Functions[i].Timeout
				}
			}
			return 0
		},
		User: func(account string, options map[string]string) string {
			if f := find(account, options); f != nil {
				return f.User
			}
			return ""
		},
		New: func(env rotator.Env) rotator.Rotator { return &caller{env, find} },
	}
}

type caller struct {
	env  rotator.Env
	find func(account string, options map[string]string) *Function
}

// event is what a function is called with.
type event struct {
	Step               string
	SecretID           string `json:"SecretId"`
	ClientRequestToken string
	Token              string
	RotationToken      string
}

// Create has the function make a value, which it stores, or returns.
func (x *caller) Create(ctx context.Context, j rotator.Job) (rotator.Created, error) {
	body, err := x.invoke(ctx, j, "createSecret")
	if err != nil {
		return rotator.Created{}, err
	}
	v, err := valueOf(body)
	if err != nil {
		return rotator.Created{}, rotator.Fail(rotator.Unsuitable, nil, "the function answered createSecret with what is no value: %s", err)
	}
	return rotator.Created{Value: v}, nil
}

// Set has the function make the target accept the value.
func (x *caller) Set(ctx context.Context, j rotator.Job) error { return x.step(ctx, j, "setSecret") }

// Test has the function prove it.
func (x *caller) Test(ctx context.Context, j rotator.Job) error { return x.step(ctx, j, "testSecret") }

// Finish has the function move the labels. One that does not leaves it to the server.
func (x *caller) Finish(ctx context.Context, j rotator.Job) error {
	return x.step(ctx, j, "finishSecret")
}

// Undo is not known to functions.
func (x *caller) Undo(context.Context, rotator.Job) error {
	return rotator.Fail(rotator.Unsuitable, rotator.ErrCannotUndo, "a rotation function cannot undo")
}

// Retire is not known to functions.
func (x *caller) Retire(context.Context, rotator.Job) error { return nil }

func (x *caller) step(ctx context.Context, j rotator.Job, step string) error {
	_, err := x.invoke(ctx, j, step)
	return err
}

// valueOf is the value in the answer to createSecret, empty when there is none.
func valueOf(body []byte) (rotator.Value, error) {
	o, err := rotator.ParseObject(rotator.Value{Data: sensitive.New(body)})
	if err != nil {
		return rotator.Value{}, nil // null, a text, nothing: functions answer with anything
	}
	return call.Pick(o, "SecretString", "SecretBinary")
}

// invoke calls the function and returns what it answered.
func (x *caller) invoke(ctx context.Context, j rotator.Job, step string) ([]byte, error) {
	f := x.find(j.Account, j.Options)
	if f == nil {
		return nil, rotator.Fail(rotator.Unsuitable, nil, "the server's configuration has no function of that ARN for the account")
	}
	if err := ctx.Err(); err != nil {
		return nil, call.Late(err)
	}
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	body, err := json.Marshal(event{step, j.ARN, j.VersionID, j.VersionID, string(j.Token.Reveal())})
	if err != nil {
		return nil, err
	}
	req, err := call.NewRequest(ctx, f.address(), body)
	if err != nil {
		return nil, err
	}
	for k, v := range map[string]string{"Content-Type": "application/json", "X-Amz-Invocation-Type": "RequestResponse", "X-Amz-Log-Type": "None"} {
		req.Header.Set(k, v)
	}
	if err := f.sign(ctx, req, body, x.env.Now); err != nil {
		return nil, err
	}
	const what = "the function"
	status, header, answer, err := call.Send(x.env.HTTP, req, what, MaxAnswer)
	if err != nil {
		return nil, err
	}
	why := failure(status, header, answer)
	code := ""
	if why != nil {
		code = call.Shown(why.code, j)
	}
	switch {
	case status != http.StatusOK:
		return nil, rotator.Fail(call.ClassOf(status), nil, "%s was answered with status %d at %s%s", what, status, step, code)
	case why != nil && why.late:
		return nil, rotator.Fail(rotator.Unreachable, nil, "%s took too long at %s", what, step)
	case why != nil:
		return nil, rotator.Fail(rotator.Rejected, nil, "%s failed at %s%s; its own log says why", what, step, code)
	}
	return answer, nil
}

// address is that of the Invoke API for the function.
func (f *Function) address() string {
	to := strings.TrimSuffix(f.URL, "/") + "/2015-03-31/functions/" + url.PathEscape(f.Called) + "/invocations"
	if f.Version != "" {
		to += "?Qualifier=" + url.QueryEscape(f.Version)
	}
	return to
}

// timedOut begins what the emulator answers, with status 200 and as plain text, for a
// function that did not end in its time; and it stands in what Lambda says of one.
const timedOut = "Task timed out after "

// errorMember is what every failure has that is told by the answer alone.
const errorMember = "errorMessage"

// failed is how a function failed.
type failed struct {
	code string // the type of its error, as it may be shown
	late bool   // it did not end in its time
}

// failure finds out whether an answer says that the function failed; nil: it does not.
// What looks like a failure is one: a step that is taken for done and is not would
// make a credential current that nothing accepts.
func failure(status int, header http.Header, body []byte) *failed {
	declared := header.Get("X-Amz-Function-Error") != ""
	o, err := rotator.ParseObject(rotator.Value{Data: sensitive.New(body)})
	if err != nil {
		late := bytes.HasPrefix(body, []byte(timedOut)) && status == http.StatusOK
		broken := bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) && bytes.Contains(body, []byte(`"`+errorMember+`"`))
		if declared || late || broken {
			return &failed{late: late}
		}
		return nil
	}
	f := &failed{code: call.Code(o.Get("errorType")), late: strings.Contains(o.Get(errorMember), timedOut)}
	// The emulator has no header.
	if declared || status == http.StatusOK && o.JSON(errorMember) != nil && string(o.JSON(errorMember)) != "null" {
		return f
	}
	if status != http.StatusOK && f.code != "" {
		return f
	}
	return nil
}

// credentials is the file with the access key.
type credentials struct {
	ID    string `json:"access_key_id"`
	Key   string `json:"secret_access_key"`
	Token string `json:"session_token"`
}

// ParseCredentials reads the file with the access key: a JSON object with
// access_key_id, secret_access_key and, where it has one, session_token. The text of
// the error is safe to show.
func ParseCredentials(file sensitive.Bytes) (aws.Credentials, error) {
	var c credentials
	if err := json.Unmarshal(file.Reveal(), &c); err != nil || c.ID == "" || c.Key == "" {
		return aws.Credentials{}, errors.New("the file is a JSON object with access_key_id and secret_access_key")
	}
	return aws.Credentials{AccessKeyID: c.ID, SecretAccessKey: c.Key, SessionToken: c.Token}, nil
}

// sign signs a request, if there is a key to do it with.
func (f *Function) sign(ctx context.Context, r *http.Request, body []byte, now func() time.Time) error {
	if f.Credentials == nil {
		return nil
	}
	file, err := f.Credentials()
	if err != nil {
		return rotator.Fail(rotator.Unsuitable, err, "the access key that calls of the function are signed with cannot be read")
	}
	key, err := ParseCredentials(file)
	if err != nil {
		return rotator.Fail(rotator.Unsuitable, err, "the access key that calls of the function are signed with is unusable: %s", err)
	}
	sum := sha256.Sum256(body)
	at := time.Now()
	if now != nil {
		at = now()
	}
	if err := v4.NewSigner().SignHTTP(ctx, key, r, hex.EncodeToString(sum[:]), "lambda", f.Region, at); err != nil {
		return fmt.Errorf("signing a call: %w", err)
	}
	return nil
}
