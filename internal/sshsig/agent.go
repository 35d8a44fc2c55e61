package sshsig

import (
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"countersign/internal/errs"
)

// The agent is asked for its keys at once. To sign it may have to wait for a
// person, who is asked to confirm or to touch a key.
const (
	dialTimeout = 5 * time.Second
	listTimeout = 10 * time.Second
	signTimeout = 2 * time.Minute
)

// maxShown is how many keys of an agent an error lists.
const maxShown = 10

// FromAgent takes a key of the agent at a unix socket, which SSH_AUTH_SOCK
// names. Which key is said by pick: a fingerprint (SHA256:…) or a public key's
// line; when it is empty the agent must have exactly one key that can be used.
// Certificates and keys of types that are not accepted are passed over.
//
// No agent is errs.Unavailable, an agent without keys errs.Precondition, a key
// that is not there errs.NotFound, several keys and no choice errs.Invalid.
func FromAgent(socket, pick string) (Signer, error) {
	fingerprint, err := parsePick(pick)
	if err != nil {
		return nil, err
	}
	if socket == "" {
		return nil, errs.New(errs.Unavailable, "there is no SSH agent: SSH_AUTH_SOCK is not set")
	}
	conn, err := net.DialTimeout("unix", socket, dialTimeout)
	if err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "there is no SSH agent at the socket that SSH_AUTH_SOCK names")
	}
	signer, err := choose(conn, fingerprint)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return signer, nil
}

// parsePick returns a fingerprint, or nothing.
func parsePick(pick string) (string, error) {
	switch {
	case pick == "":
		return "", nil
	case strings.HasPrefix(pick, "SHA256:"):
		if len(pick) != len("SHA256:")+43 {
			return "", errs.InvalidField(FieldPublicKey, "a fingerprint has 43 characters after SHA256:, and this one %d", len(pick)-len("SHA256:"))
		}
		return pick, nil
	case strings.HasPrefix(pick, "MD5:"):
		return "", errs.InvalidField(FieldPublicKey, "MD5 fingerprints are refused: ssh-keygen -l shows the one that begins with SHA256:")
	case !strings.ContainsAny(pick, " \t"):
		return "", errs.InvalidField(FieldPublicKey, "a key is chosen by its fingerprint, which begins with SHA256:, or by its public key")
	}
	key, err := ParsePublicKey(pick)
	return key.Fingerprint(), err
}

// held is a key of the agent that can be used.
type held struct {
	key     PublicKey
	comment string
	raw     *agent.Key
}

func choose(conn net.Conn, fingerprint string) (Signer, error) {
	if err := conn.SetDeadline(time.Now().Add(listTimeout)); err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "the SSH agent cannot be spoken to")
	}
	// Without Close in sight the client reads only while it waits for an answer;
	// otherwise its reader would run into the deadline while nothing is asked.
	client := agent.NewClient(struct{ io.ReadWriter }{conn})
	listed, err := client.List()
	if err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "the SSH agent does not list its keys")
	}
	if len(listed) == 0 {
		return nil, errs.New(errs.Precondition, "the SSH agent has no keys, or it is locked: ssh-add adds one, ssh-add -X unlocks it")
	}
	var usable []held
	for _, k := range listed {
		if key, err := keyOf(k); err == nil {
			usable = append(usable, held{key, k.Comment, k})
		}
	}
	found := usable
	if fingerprint != "" {
		found = nil
		for _, h := range usable {
			if h.key.Fingerprint() == fingerprint {
				found = []held{h}
				break
			}
		}
	}
	switch {
	case len(found) == 1:
		return &agentSigner{conn: conn, client: client, key: found[0].raw}, nil
	case len(usable) == 0:
		return nil, errs.New(errs.Precondition, "the SSH agent has %d keys, and none of a type that is accepted: %s", len(listed), strings.Join(allowed(), ", "))
	case fingerprint != "":
		return nil, errs.New(errs.NotFound, "the SSH agent does not have the key %s; it has %s", fingerprint, show(usable))
	}
	return nil, errs.InvalidField(FieldPublicKey, "the SSH agent has several keys, choose one by its fingerprint: %s", show(found))
}

// show lists keys for a person to choose from.
func show(keys []held) string {
	var b strings.Builder
	for i, h := range keys {
		if i == maxShown {
			fmt.Fprintf(&b, " and %d more", len(keys)-maxShown)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s, %.64q)", h.key.Fingerprint(), h.key.Algorithm(), h.comment)
	}
	return b.String()
}

// agentSigner has its connection to itself, so a deadline on it holds for one
// request.
type agentSigner struct {
	conn   net.Conn
	client agent.ExtendedAgent
	key    *agent.Key
}

// PublicKey is the key's, as the agent gave it.
func (s *agentSigner) PublicKey() ssh.PublicKey { return s.key }

// Sign signs with the algorithm of the key's type.
func (s *agentSigner) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) { return s.sign(data, 0) }

// SignWithAlgorithm signs with the key's own algorithm, or one of RSA with SHA-2.
// The agent has its own randomness.
func (s *agentSigner) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	switch algorithm {
	case "", s.key.Type():
		return s.sign(data, 0)
	case ssh.KeyAlgoRSASHA256:
		return s.sign(data, agent.SignatureFlagRsaSha256)
	case ssh.KeyAlgoRSASHA512:
		return s.sign(data, agent.SignatureFlagRsaSha512)
	}
	return nil, errs.New(errs.Invalid, "the SSH agent does not sign with algorithm %q", algorithm)
}

func (s *agentSigner) sign(data []byte, flags agent.SignatureFlags) (*ssh.Signature, error) {
	deadline := time.Now().Add(signTimeout)
	if err := s.conn.SetDeadline(deadline); err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "the connection to the SSH agent is gone")
	}
	sig, err := s.client.SignWithFlags(s.key, data, flags)
	// The client gives the text of an error of the connection, not the error.
	if err != nil && !time.Now().Before(deadline) {
		return nil, errs.Wrap(errs.Unavailable, err, fmt.Sprintf("the SSH agent did not answer within %s", signTimeout))
	}
	if err != nil {
		return nil, errs.Wrap(errs.Denied, err, "the SSH agent refused: it is locked, the key is gone, or the question that it asked was not answered with yes")
	}
	return sig, nil
}

// Close ends the connection to the agent.
func (s *agentSigner) Close() error { return s.conn.Close() }
