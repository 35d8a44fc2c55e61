package notify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// verify reports whether a request is from Countersign and new: at most five
// minutes old, and signed with the key. Compare delivery ids besides, to drop
// what comes again.
func verify(key []byte, timestamp, signature string, body []byte, now time.Time) bool {
	sent, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || now.Sub(time.Unix(sent, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	want := "v1=" + hex.EncodeToString(mac.Sum(nil))
	for _, one := range strings.Split(signature, ",") {
		if hmac.Equal([]byte(one), []byte(want)) {
			return true
		}
	}
	return false
}

// What the page shows is what is tested here.
func TestDocumentedVerification(t *testing.T) {
	source, err := os.ReadFile("verify_test.go")
	must(t, err)
	page, err := os.ReadFile("../../../docs/notifications.md")
	must(t, err)
	_, rest, _ := strings.Cut(string(source), "func verify(")
	body, _, ok := strings.Cut(rest, "\n}\n")
	if !ok || !strings.Contains(string(page), "func verify("+body+"\n}\n") {
		t.Error("docs/notifications.md shows another function")
	}
}
