package boltkv_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
)

// BenchmarkUpdate is the reference for the budget of writes: durable updates of
// 6 keys of 300 bytes, by as many goroutines as the name says.
func BenchmarkUpdate(b *testing.B) {
	for _, workers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("goroutines-%d", workers), func(b *testing.B) {
			db := openAt(b, boltkv.Config{Path: filepath.Join(b.TempDir(), "store.db")})
			defer db.Close()
			b.SetParallelism(max(1, workers/2))
			value := make([]byte, 300)
			var n atomic.Uint64
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					id := n.Add(1)
					_, err := db.Update(b.Context(), func(tx kv.Txn) error {
						for i := range uint64(6) {
							if err := tx.Put(kv.K("000000000001", "bench").Num(i).Num(id*0x9e3779b97f4a7c15), value); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
		})
	}
}

// BenchmarkOpen opens a file of 100,000 pairs.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "store.db")
	db := openAt(b, boltkv.Config{Path: path})
	for i := 0; i < 100_000; i += 100 {
		_, err := db.Update(b.Context(), func(tx kv.Txn) error {
			for j := range 100 {
				if err := tx.Put(kv.K("000000000001", "bench").Num(uint64(i+j)*0x9e3779b97f4a7c15), make([]byte, 300)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		db = openAt(b, boltkv.Config{Path: path})
	}
	db.Close()
}
