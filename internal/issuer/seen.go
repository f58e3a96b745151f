package issuer

import (
	"crypto/sha256"
	"sync"
)

// maxSeen is how many tokens each of the two generations of seen holds, about
// half a kilobyte each.
const maxSeen = 4096

// seen remembers what signed tokens say whose signature was right. Verifying one
// again gives the same answer, and costs more than all else that an introspection
// does. Nothing that can change is remembered: whether the key is still kept, the
// time, and the database are asked each time.
type seen struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]seenToken
}

type seenToken struct {
	keyID string
	token AccessToken
}

// get finds a token by its whole text.
func (s *seen) get(text string) (seenToken, bool) {
	sum := sha256.Sum256([]byte(text))
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.young[sum]; ok {
		return t, true
	}
	t, ok := s.old[sum]
	if ok {
		s.keep(sum, t)
	}
	return t, ok
}

func (s *seen) put(text string, t seenToken) {
	sum := sha256.Sum256([]byte(text))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(sum, t)
}

// keep makes a token young. When there are too many of them they are the old
// ones, and the old ones go: what is asked about stays, what is not falls out.
func (s *seen) keep(sum [sha256.Size]byte, t seenToken) {
	if len(s.young) >= maxSeen || s.young == nil {
		s.young, s.old = make(map[[sha256.Size]byte]seenToken), s.young
	}
	s.young[sum] = t
}
