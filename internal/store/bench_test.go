package store_test

import (
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
)

// What a refresh costs the database when nobody waits beside it, and when many do.
func BenchmarkNextGeneration(b *testing.B) {
	p := newParty(b, open)
	var grants []*store.Grant
	for i := range 1000 {
		grants = append(grants, p.createLive(b, string(rune('a'+i%26))+time.Duration(i).String()))
	}
	b.ReportAllocs()
	b.SetParallelism(8)
	var next int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			g := grants[int(next)%len(grants)]
			if _, err := p.NextGeneration(b.Context(), store.Refresh{GrantID: g.ID, ClientID: g.ClientID, Generation: 1 << 40, Grace: time.Minute, Idle: time.Hour, Now: now}); err != nil {
				b.Error(err)
			}
		}
	})
}

// What an introspection costs the database.
func BenchmarkTokenState(b *testing.B) {
	p := newParty(b, open)
	g := p.createLive(b, "a")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.TokenState(b.Context(), g.ID, g.ClientID, "jti", now); err != nil {
			b.Fatal(err)
		}
	}
}
