package issuer

import (
	"crypto/sha256"
	"sync"
)

// maxSeen is how many tokens each of the two generations of seen holds, about
// half a kilobyte each.
const maxSeen = 4096

// seen remembers what tokens say whose signature or seal was right. To verify one
// again gives the same answer, and costs more than all else that an introspection
// does. Nothing that can change is remembered: whether the key is still kept, the
// time, and the database are asked each time.
type seen struct {
	mu         sync.Mutex
	young, old map[textHash]*seenToken
}

type seenToken struct {
	purpose, keyID string
	token          AccessToken
}

// A textHash is the SHA-256 of the whole text of a token.
type textHash [sha256.Size]byte

func hashOf(text string) textHash {
	return sha256.Sum256(append(make([]byte, 0, 1024), text...)) // on the stack, as a rule
}

func (s *seen) get(sum textHash) (*seenToken, bool) {
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

func (s *seen) put(sum textHash, t *seenToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(sum, t)
}

// keep makes a token young. When there are too many of them they are the old
// ones, and the old ones go: what is asked about stays, what is not falls out.
func (s *seen) keep(sum textHash, t *seenToken) {
	if len(s.young) >= maxSeen || s.young == nil {
		s.young, s.old = make(map[textHash]*seenToken), s.young
	}
	s.young[sum] = t
}
