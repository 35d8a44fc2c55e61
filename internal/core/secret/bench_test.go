package secret_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
)

func BenchmarkReadValue(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("of-%d", n), func(b *testing.B) {
			f := start(b, coretest.Config{Bolt: true})
			for i := range n {
				f.create(fmt.Sprintf("prod/app-%05d/database", i), `{"username":"admin","password":"correct horse battery staple","host":"db.internal"}`)
			}
			ids := make([]secret.ReadRequest, n)
			for i := range ids {
				ids[i].ID = id(fmt.Sprintf("prod/app-%05d/database", i))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := f.Secrets.ReadValue(f.ctx, f.Admin, ids[i*7919%n]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPutValue(b *testing.B) {
	f := start(b, coretest.Config{Bolt: true, Keep: 10})
	const writers = 64
	for i := range writers {
		f.create(fmt.Sprint("s", i), "v")
	}
	var who, version atomic.Int64
	b.SetParallelism(writers / 2) // on two cores
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		s := id(fmt.Sprint("s", who.Add(1)%writers))
		for pb.Next() {
			_, err := f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: s, VersionID: token(int(version.Add(1)) + 1), Value: *text("a value of thirty-two characters")})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkReadVersion(b *testing.B) {
	f := start(b, coretest.Config{Bolt: true})
	f.create("prod/app/database", `{"username":"admin","password":"correct horse battery staple","host":"db.internal"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Secrets.ReadVersion(f.ctx, f.Admin, secret.KVRead{ID: id("prod/app/database")}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkListFolder(b *testing.B) {
	f := start(b, coretest.Config{Bolt: true})
	for i := range 2000 {
		f.create(fmt.Sprintf("apps/%03d/secret-%04d", i%200, i), "v")
	}
	for _, prefix := range []string{"", "apps/", "apps/007/"} {
		b.Run("of-"+prefix, func(b *testing.B) {
			for b.Loop() {
				if _, err := f.Secrets.ListFolder(f.ctx, f.Admin, secret.FolderRequest{Prefix: prefix}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
