package record

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// Direct is a record that reads itself, for those that are read at every
// request: reflection takes three times as long. It must read what Decode
// would, or nothing: what it does not know it leaves to Decode with Source.Fail.
type Direct interface {
	// Member reads the member with that key.
	Member(key uint64, s *Source)
}

// Source is an encoded record, read from its beginning. It knows what Put
// writes and no other spelling. From the first thing that it does not know all
// that it returns is zero, and the record is decoded by reflection instead.
type Source struct {
	rest   []byte
	failed bool
}

// direct reads a whole record, and reports whether it could.
func direct(b []byte, d Direct) bool {
	s := Source{rest: b}
	s.Members(d.Member)
	return !s.failed && len(s.rest) == 0
}

// Fail gives up.
func (s *Source) Fail() { s.failed, s.rest = true, nil }

// The types of items, RFC 8949 section 3.1.
const (
	typeUint   = 0
	typeBytes  = 2
	typeText   = 3
	typeArray  = 4
	typeMap    = 5
	simpleTrue = 0xf5
)

// head reads the head of an item of that type.
func (s *Source) head(kind byte) uint64 {
	if len(s.rest) == 0 || s.rest[0]>>5 != kind {
		s.Fail()
		return 0
	}
	short := s.rest[0] & 31
	size := 0
	switch {
	case short < 24:
		s.rest = s.rest[1:]
		return uint64(short)
	case short <= 27:
		size = 1 << (short - 24)
	}
	if size == 0 || len(s.rest) < 1+size {
		s.Fail()
		return 0
	}
	var wide [8]byte
	copy(wide[8-size:], s.rest[1:1+size])
	s.rest = s.rest[1+size:]
	return binary.BigEndian.Uint64(wide[:])
}

func (s *Source) take(kind byte) []byte {
	n := s.head(kind)
	if n > uint64(len(s.rest)) {
		s.Fail()
		return nil
	}
	b := s.rest[:n:n]
	s.rest = s.rest[n:]
	return b
}

// Uint reads a number.
func (s *Source) Uint() uint64 { return s.head(typeUint) }

// Int reads a number that is not negative.
func (s *Source) Int() int64 {
	n := s.head(typeUint)
	if n > math.MaxInt64 {
		s.Fail()
		return 0
	}
	return int64(n)
}

// True reads a bool that is true: false is left out.
func (s *Source) True() bool {
	if len(s.rest) == 0 || s.rest[0] != simpleTrue {
		s.Fail()
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// Bytes reads a byte string, as a copy.
func (s *Source) Bytes() []byte {
	b := s.Borrow()
	if s.failed {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

// Borrow is Bytes without a copy: it is valid until the record's bytes are not.
func (s *Source) Borrow() []byte { return s.take(typeBytes) }

// Text reads a text. It is valid until the record's bytes are not.
func (s *Source) Text() []byte {
	b := s.take(typeText)
	if !utf8.Valid(b) {
		s.Fail()
		return nil
	}
	return b
}

// String is Text as a copy.
func (s *Source) String() string { return string(s.Text()) }

// Len reads the head of an array, whose elements are to be read next.
func (s *Source) Len() int { return s.count(typeArray) }

// Pairs reads the head of a map with keys of text, which are to be read next,
// each before its value.
func (s *Source) Pairs() int { return s.count(typeMap) }

func (s *Source) count(kind byte) int {
	n := s.head(kind)
	if n > uint64(len(s.rest)) { // each has a byte at least
		s.Fail()
		return 0
	}
	return int(n)
}

// Members reads a record, or one in it: f reads each member. Keys ascend, so
// that none is there twice.
func (s *Source) Members(f func(key uint64, s *Source)) {
	last := uint64(0)
	for i := range s.Pairs() {
		key := s.Uint()
		if i > 0 && key <= last {
			s.Fail()
		}
		if s.failed {
			return
		}
		last = key
		f(key, s)
	}
}
