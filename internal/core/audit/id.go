package audit

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

// idLen is the length of an id: 48 bits of milliseconds, 16 bits of the fraction
// of the millisecond, and 64 random bits, in Crockford's base 32. It is a ULID
// whose random part begins with the finer time, as the ULID specification
// leaves room for, so that ids of one process are in order.
const idLen = 26

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewID returns an id of 26 characters that sorts, as text, by t to about 15
// nanoseconds. The rest is random: ids are unique, and they are not secret, so the
// runtime's ChaCha8 generator (seeded by the system) is enough and cheap.
// Times before 1970 count as 1970.
func NewID(t time.Time) string {
	var raw [16]byte
	var ms, fraction uint64
	if ns := t.UnixNano(); ns > 0 {
		ms, fraction = uint64(ns)/1e6, uint64(ns)%1e6<<16/1e6
	}
	binary.BigEndian.PutUint64(raw[:8], ms<<16|fraction)
	binary.BigEndian.PutUint64(raw[8:], rand.Uint64())
	hi, lo := binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])
	var out [idLen]byte
	for i := idLen - 1; i >= 0; i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(out[:])
}

// ParseIDTime returns the time in an id made by NewID, to the millisecond. It
// refuses everything that NewID cannot return.
func ParseIDTime(id string) (time.Time, error) {
	if len(id) != idLen || id[0] > '7' {
		return time.Time{}, fmt.Errorf("parsing id %q: want %d characters of Crockford's base 32", id, idLen)
	}
	var ms int64
	for i := range idLen {
		v := crockfordValue(id[i])
		if v < 0 {
			return time.Time{}, fmt.Errorf("parsing id %q: character %d is not of Crockford's base 32", id, i+1)
		}
		if i < 10 {
			ms = ms<<5 | int64(v)
		}
	}
	return time.UnixMilli(ms).UTC(), nil
}

func crockfordValue(c byte) int {
	for i := range len(crockford) {
		if crockford[i] == c {
			return i
		}
	}
	return -1
}
