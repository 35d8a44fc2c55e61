package audit

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

func BenchmarkEncode(b *testing.B) {
	r := sample(7)
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendRecord(buf[:0], &r)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecode(b *testing.B) {
	r := sample(7)
	body := appendRecord([]byte(`{"seq":7`), &r)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeRecord(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewID(epoch)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, workers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("workers-%d", workers), func(b *testing.B) {
			l := mustOpen(b, testConfig(b.TempDir()))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					r := sample(w)
					for range b.N / workers {
						if err := l.Append(context.Background(), &r); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			s := l.Stats()
			b.ReportMetric(float64(s.Appended)/float64(max(s.Writes, 1)), "records/write")
			mustClose(b, l)
		})
	}
}
