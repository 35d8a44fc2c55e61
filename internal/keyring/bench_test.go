package keyring

import (
	"testing"
)

func BenchmarkOpenRing(b *testing.B) {
	_, db, s := newRing(b)
	for b.Loop() {
		open(b, db, s)
	}
}

func BenchmarkSeal300(b *testing.B) {
	r, _, _ := newRing(b)
	plain, aad, buf := make([]byte, 300), make([]byte, 80), make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Seal(buf, plain, aad, acct); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen300(b *testing.B) {
	r, _, _ := newRing(b)
	aad, buf := make([]byte, 80), make([]byte, 0, 512)
	ct := must(b)(r.Seal(nil, make([]byte, 300), aad, acct))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open(buf, ct, aad, acct); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValue300(b *testing.B) {
	r, _, _ := newRing(b)
	id := ValueID{Account: acct, Kind: "secret", Region: "eu-west-1", Name: "myapp/database", Suffix: "AbCdEf", Version: 3}
	plain := make([]byte, 300)
	wrapped := must(b)(r.NewDataKey(acct))
	ct := must(b)(r.SealValue(wrapped, id, plain))
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.SealValue(wrapped, id, plain); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.OpenValue(wrapped, id, ct); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open-parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := r.OpenValue(wrapped, id, ct); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

func BenchmarkNewDataKey(b *testing.B) {
	r, _, _ := newRing(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.NewDataKey(acct); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFingerprint(b *testing.B) {
	r, _, _ := newRing(b)
	value := make([]byte, 300)
	b.ReportAllocs()
	for b.Loop() {
		r.Fingerprint(acct, value)
	}
}

func BenchmarkLookupHash(b *testing.B) {
	r, _, _ := newRing(b)
	b.ReportAllocs()
	for b.Loop() {
		r.LookupHash("access-key", "AKIAIOSFODNN7EXAMPLE")
	}
}
