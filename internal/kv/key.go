package kv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// Key builds tuple keys whose byte order is the order of their parts: strings
// by their bytes, numbers by value. A key that is the beginning of another
// tuple is a prefix of its bytes, so a listing is a range scan.
//
// A string is written with each 0x00 as 0x00 0xff and ends in 0x00 0x01; a
// number is eight bytes, big-endian. No part can run into the next.
type Key []byte

// K starts a key with string parts.
func K(parts ...string) Key {
	n := 24 // room for numbers that follow
	for _, p := range parts {
		n += len(p) + 2
	}
	return make(Key, 0, n).Str(parts...)
}

// Str appends string parts. It may reuse k's memory.
func (k Key) Str(parts ...string) Key {
	for _, p := range parts {
		if strings.IndexByte(p, 0) < 0 { // nearly always
			k = append(append(k, p...), 0, 1)
			continue
		}
		for i := range len(p) {
			k = append(k, p[i])
			if p[i] == 0 {
				k = append(k, 0xff)
			}
		}
		k = append(k, 0, 1)
	}
	return k
}

// Num appends a number.
func (k Key) Num(n uint64) Key { return binary.BigEndian.AppendUint64(k, n) }

// Parts reads a key back by its shape: one letter a part, 's' for a string and
// 'n' for a number. It fails when the key has another shape.
func (k Key) Parts(shape string) (strs []string, nums []uint64, err error) {
	rest := []byte(k)
	for _, c := range shape {
		switch c {
		case 's':
			s, after, ok := cutString(rest)
			if !ok {
				return nil, nil, fmt.Errorf("key %q does not have the shape %q", []byte(k), shape)
			}
			strs, rest = append(strs, s), after
		case 'n':
			if len(rest) < 8 {
				return nil, nil, fmt.Errorf("key %q does not have the shape %q", []byte(k), shape)
			}
			nums, rest = append(nums, binary.BigEndian.Uint64(rest)), rest[8:]
		default:
			return nil, nil, fmt.Errorf("unknown letter %q in key shape %q", c, shape)
		}
	}
	if len(rest) != 0 {
		return nil, nil, fmt.Errorf("key %q is longer than the shape %q", []byte(k), shape)
	}
	return strs, nums, nil
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	var out []byte
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 || i+1 >= len(b) {
			return "", nil, false
		}
		out = append(out, b[:i]...)
		switch b[i+1] {
		case 1:
			return string(out), b[i+2:], true
		case 0xff:
			out, b = append(out, 0), b[i+2:]
		default:
			return "", nil, false
		}
	}
}
