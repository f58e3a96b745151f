package issuer

import (
	"fmt"
	"testing"
)

// What is remembered is bounded, and what is asked about again and again stays,
// whatever passes by. (Inside the package: only memory would show it outside.)
func TestSeenIsBounded(t *testing.T) {
	t.Parallel()
	var s seen
	s.put(hashOf("asked about"), &seenToken{keyID: "k"})
	for i := range 5 * maxSeen {
		s.put(hashOf(fmt.Sprint(i)), &seenToken{})
		if i%1000 == 0 {
			if known, ok := s.get(hashOf("asked about")); !ok || known.keyID != "k" {
				t.Fatalf("after %d others it is forgotten: %+v", i, known)
			}
		}
	}
	if n := len(s.young) + len(s.old); n > 2*maxSeen {
		t.Errorf("%d tokens are remembered, want %d at most", n, 2*maxSeen)
	}
	if _, ok := s.get(hashOf("0")); ok {
		t.Error("nothing is forgotten")
	}
}
