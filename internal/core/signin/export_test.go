package signin

import "sync/atomic"

// CountHashes counts the passwords that a service hashes.
func CountHashes(s *Service) func() int64 {
	var n atomic.Int64
	s.hasher.count = func() { n.Add(1) }
	return n.Load
}
