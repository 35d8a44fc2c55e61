package sshsig

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"countersign/internal/errs"
)

// slow asks its person for as long as that takes.
type slow struct {
	agent.Agent
	takes time.Duration
}

func (s slow) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	time.Sleep(s.takes)
	return s.Agent.Sign(key, data)
}

// inBubble serves an agent with one key over a pipe, whose deadlines go by the
// bubble's clock.
func inBubble(t *testing.T, takes time.Duration) (Signer, error) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	go func() { _ = agent.ServeAgent(slow{ring, takes}, theirs) }()
	return choose(ours, "")
}

// TestPauses reviews for an hour between choosing a key and signing with it.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := inBubble(t, signTimeout-time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			time.Sleep(time.Hour)
			if _, err := Sign(s, "n", []byte("m")); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAgentThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := inBubble(t, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = Sign(s, "n", []byte("m"))
		if !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "did not answer within 2m0s") || time.Since(start) != signTimeout {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		time.Sleep(25 * time.Hour) // the agent goes home too
	})
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		start := time.Now()
		_, err := choose(ours, "")
		if !errs.Is(err, errs.Unavailable) || time.Since(start) != listTimeout {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}
