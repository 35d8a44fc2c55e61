package script

import (
	"os"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"github.com/rogpeppe/go-internal/testscript"
)

// authenticator writes a code for the otpauth:// address that the last command
// printed, or for the one in $URI, into a file: "authenticator FILE [STEPS]".
// STEPS later than now is a code that was not used yet.
func authenticator(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: authenticator FILE [next]")
	}
	uri := ts.Getenv("URI")
	if uri == "" {
		uri = strings.TrimSpace(ts.ReadFile("stdout"))
		ts.Setenv("URI", uri)
	}
	key, err := otp.NewKeyFromURL(uri)
	ts.Check(err)
	at := time.Now()
	if len(args) > 1 {
		at = at.Add(30 * time.Second)
	}
	code, err := totp.GenerateCode(key.Secret(), at)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(code+"\n"), 0o600))
}
