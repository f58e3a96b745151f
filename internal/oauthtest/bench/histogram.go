package main

import (
	"math/bits"
	"time"
)

// A histogram counts latencies in buckets that are a sixty-fourth of their value
// wide, so that noting one costs nothing and allocates nothing.
type histogram struct {
	buckets [2048]uint32
	count   int
}

const steps = 64 // buckets for each power of two

func (h *histogram) add(d time.Duration) {
	h.buckets[bucket(uint64(max(d, 0)))]++ //nolint:gosec // not negative
	h.count++
}

func bucket(n uint64) int {
	if n < steps {
		return int(n)
	}
	power := bits.Len64(n) - 7 // n>>power is in [64, 128)
	return min(power*steps+int(n>>power), len(histogram{}.buckets)-1)
}

// middle is the value that stands for a bucket, in nanoseconds.
func middle(bucket int) float64 {
	if bucket < 2*steps {
		return float64(bucket)
	}
	power := bucket/steps - 1
	return (float64(bucket-power*steps) + 0.5) * float64(uint64(1)<<power)
}

// merge adds what another has counted.
func (h *histogram) merge(other *histogram) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.count += other.count
}

// quantile is the latency that so large a share stays within, in milliseconds.
func (h *histogram) quantile(share float64) float64 {
	left := share * float64(h.count)
	for i, n := range h.buckets {
		if left -= float64(n); left < 0 {
			return middle(i) / 1e6
		}
	}
	return 0
}
