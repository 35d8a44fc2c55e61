package boltkv

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/bits"

	"countersign/internal/kv"
)

// Format is the version of the layout that this package writes, and the only
// one that it opens.
const Format = 1

var ( // never changed
	metaBucket = []byte("countersign")
	dataBucket = []byte("data")
	formatKey  = []byte("format")
	stateKey   = []byte("state")
)

// State is what a store file says of its own content.
type State struct {
	Revision uint64
	Count    uint64    // pairs
	sum      [2]uint64 // of the digests of all pairs, modulo 2^128
	h        hash.Hash
	buf      [sha256.Size]byte
}

const stateSize = 40 // revision, count, sum, and 8 bytes of their SHA-256

// Add counts one pair in.
func (s *State) add(key, value []byte) {
	lo, hi := s.digest(key, value)
	var carry uint64
	s.sum[0], carry = bits.Add64(s.sum[0], lo, 0)
	s.sum[1], _ = bits.Add64(s.sum[1], hi, carry)
	s.Count++
}

func (s *State) remove(key, value []byte) {
	lo, hi := s.digest(key, value)
	var borrow uint64
	s.sum[0], borrow = bits.Sub64(s.sum[0], lo, 0)
	s.sum[1], _ = bits.Sub64(s.sum[1], hi, borrow)
	s.Count--
}

func (s *State) digest(key, value []byte) (lo, hi uint64) {
	if s.h == nil {
		s.h = sha256.New()
	}
	s.h.Reset()
	s.h.Write(binary.BigEndian.AppendUint32(s.buf[:0], uint32(len(key))))
	s.h.Write(key)
	s.h.Write(value)
	sum := s.h.Sum(s.buf[:0])
	return binary.BigEndian.Uint64(sum), binary.BigEndian.Uint64(sum[8:])
}

func (s *State) encode() []byte {
	b := make([]byte, 0, stateSize)
	for _, n := range []uint64{s.Revision, s.Count, s.sum[0], s.sum[1]} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	check := sha256.Sum256(b)
	return append(b, check[:8]...)
}

func parseState(b []byte) (State, error) {
	if len(b) != stateSize {
		return State{}, fmt.Errorf("%w: state record of %d bytes", kv.ErrCorrupt, len(b))
	}
	if check := sha256.Sum256(b[:stateSize-8]); string(check[:8]) != string(b[stateSize-8:]) {
		return State{}, fmt.Errorf("%w: state record does not match its check", kv.ErrCorrupt)
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	return State{Revision: n(0), Count: n(1), sum: [2]uint64{n(2), n(3)}}, nil
}
