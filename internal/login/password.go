// Package login knows who sits at the browser and how sure the server is of it:
// passwords, browser sessions, the limits on guessing.
//
// It serves /login. Its one invariant: whatever the entrance (page, password
// grant, alias), a password is checked in one place, behind one limiter, and a
// refusal looks the same whoever was asked for.
package login

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

// The cost of Argon2id, by the OWASP Password Storage Cheat Sheet's first
// choice: memory in KiB, passes, threads.
const (
	argonMemory  = 19 * 1024
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32
)

// A Hasher hashes passwords in a bounded number of slots with a bounded queue,
// so that a flood of sign-ins neither takes all memory nor slows the rest.
type Hasher struct {
	// Watch, when set, is called when a password is about to be hashed, and what it
	// returns when it has been.
	Watch func() (ended func())
	// Memory is what a hash takes, in KiB. NewHasher sets what the server uses; tests
	// that are not about passwords lower it.
	Memory uint32

	slots chan struct{}
	queue chan struct{}
}

// NewHasher makes a hasher with so many slots, and room for so many who wait.
func NewHasher(slots, queue int) *Hasher {
	return &Hasher{Memory: argonMemory, slots: make(chan struct{}, slots), queue: make(chan struct{}, slots+queue)}
}

// Load is how many passwords wait for a slot, and how many are being hashed.
func (h *Hasher) Load() (waiting, running int) {
	running = len(h.slots)
	return max(0, len(h.queue)-running), running
}

// enter takes a slot; it fails at once when the queue is full.
func (h *Hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.queue <- struct{}{}:
	default:
		return nil, web.Busy(2*time.Second, oauth.Because("hash_queue", "the queue of password checks is full"))
	}
	select {
	case h.slots <- struct{}{}:
		if h.Watch == nil {
			return func() { <-h.slots; <-h.queue }, nil
		}
		ended := h.Watch()
		return func() { ended(); <-h.slots; <-h.queue }, nil
	case <-ctx.Done():
		<-h.queue
		return nil, web.Busy(2*time.Second, fmt.Errorf("waited for a password check: %w", ctx.Err()))
	}
}

// Hash makes the PHC form of a password's Argon2id hash. How a keyboard composes an
// accented letter makes no difference: the bytes hashed are those of the password in
// NFC, as RFC 8265 Section 4.2 has it.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	key := argon2.IDKey(norm.NFC.Bytes([]byte(password)), salt, argonTime, h.Memory, argonThreads, argonKey)
	return phc{h.Memory, argonTime, argonThreads, salt, key}.String(), nil
}

// nobody is checked against when there is no hash, so that a name that does not
// exist takes as long as one that does. Its key is not a hash of anything known.
func (h *Hasher) nobody() phc {
	return phc{h.Memory, argonTime, argonThreads, []byte("hufu-nobody-salt"), make([]byte, argonKey)}
}

// Check compares a password with a hash in PHC form; a hash of "" never
// matches. stale tells that the hash was made at another cost than today's.
func (h *Hasher) Check(ctx context.Context, hash, password string) (match, stale bool, err error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	known, p := hash != "", h.nobody()
	if known {
		if p, err = parsePHC(hash); err != nil {
			return false, false, err
		}
	}
	key := argon2.IDKey(norm.NFC.Bytes([]byte(password)), p.salt, p.time, p.memory, p.threads, uint32(len(p.key))) //nolint:gosec // bounded by parsePHC
	match = subtle.ConstantTimeCompare(key, p.key) == 1 && known && password != ""
	return match, p.memory != h.Memory || p.time != argonTime || p.threads != argonThreads || len(p.key) != argonKey, nil
}

// A phc is a hash with what it was made of.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

// String is the form in which it is stored.
func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads,
		base64.RawStdEncoding.EncodeToString(p.salt), base64.RawStdEncoding.EncodeToString(p.key))
}

// parsePHC reads the form that String writes, and no other spelling of it, at any
// bearable cost.
func parsePHC(text string) (p phc, err error) {
	var version int
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return p, errors.New("login: not an Argon2id hash")
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return p, errors.New("login: unknown version of Argon2id")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return p, errors.New("login: Argon2id hash without its cost")
	}
	p.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	if err == nil {
		p.key, err = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	}
	if err != nil || len(p.key) < 16 || len(p.key) > 64 || p.memory > 1<<20 || p.time < 1 || p.time > 100 || p.threads < 1 || p.String() != text {
		return p, errors.New("login: damaged Argon2id hash")
	}
	return p, nil
}
