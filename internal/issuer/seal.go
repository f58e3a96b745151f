package issuer

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"strings"
	"sync"
)

// errNotOurs is returned for everything that this server did not make, or made
// with a key that is gone.
var errNotOurs = errors.New("issuer: not made by this server, or with a key that is gone")

// strict refuses spellings of base64 other than the one we write, so that one
// token has one text.
var strict = base64.RawURLEncoding.Strict()

// sealVersion is the first byte of everything sealed or tagged.
const sealVersion = 1

// Seal encrypts for a purpose: version, key id, nonce, ciphertext, base64url.
func (g *Ring) Seal(purpose string, plain []byte) (string, error) {
	k, err := g.current(purpose)
	if err != nil {
		return "", err
	}
	raw, err := k.begin(len(plain))
	if err != nil {
		return "", err
	}
	return k.seal("", append(raw, plain...)), nil
}

// begin makes what stands in front of a ciphertext, with room for the rest.
func (k *key) begin(size int) ([]byte, error) {
	if k.head == nil {
		return nil, errKeyID
	}
	n := len(k.head) + k.aead.NonceSize()
	raw := append(make([]byte, 0, n+size+k.aead.Overhead()), k.head...)
	raw = raw[:n]
	rand.Read(raw[len(k.head):])
	return raw, nil
}

// seal encrypts in place what stands behind that, and writes it all as text
// behind a prefix.
func (k *key) seal(prefix string, raw []byte) string {
	n := len(k.head) + k.aead.NonceSize()
	raw = k.aead.Seal(raw[:n], raw[len(k.head):n], raw[n:], []byte(k.Purpose))
	return string(base64.RawURLEncoding.AppendEncode(append(make([]byte, 0, 1024), prefix...), raw))
}

// Open decrypts what Seal made for the same purpose.
func (g *Ring) Open(purpose, sealed string) ([]byte, error) {
	_, plain, err := g.unseal(purpose, sealed)
	return plain, err
}

func (g *Ring) unseal(purpose, sealed string) (*key, []byte, error) {
	k, rest, err := g.split(purpose, sealed)
	if err != nil {
		return nil, nil, err
	}
	size := k.aead.NonceSize()
	if len(rest) < size+k.aead.Overhead() {
		return nil, nil, errNotOurs
	}
	plain, err := k.aead.Open(rest[size:size], rest[:size], rest[size:], []byte(purpose))
	if err != nil {
		return nil, nil, errNotOurs
	}
	return k, plain, nil
}

var errKeyID = errors.New("issuer: a key has an id of the wrong form")

// head is version and key id; nil when the id is not one that we make.
func head(keyID string) []byte {
	id, err := base64.RawURLEncoding.DecodeString(keyID)
	if err != nil || len(id) != keyIDSize {
		return nil
	}
	return append([]byte{sealVersion}, id...)
}

// split finds the key of something we made. Line breaks are looked for, because
// the decoder skips them however strict it is.
func (g *Ring) split(purpose, text string) (*key, []byte, error) {
	raw, err := strict.DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") || len(raw) < 1+keyIDSize || raw[0] != sealVersion {
		return nil, nil, errNotOurs
	}
	k, ok := g.byID(purpose, base64.RawURLEncoding.EncodeToString(raw[1:1+keyIDSize]))
	if !ok || k.aead == nil {
		return nil, nil, errNotOurs
	}
	return k, raw[1+keyIDSize:], nil
}

// A macState is an HMAC that was begun with a key, and room for its message.
type macState struct {
	hash    hash.Hash
	message []byte
}

// newMACs keeps the state of HMAC-SHA-256 with a key, which costs as much to make
// as to use.
func newMACs(secret []byte) *sync.Pool {
	return &sync.Pool{New: func() any { return &macState{hash: hmac.New(sha256.New, secret)} }}
}

// mac is an HMAC-SHA-256 with the purpose in front.
func mac[T string | []byte](k *key, message T) (sum [sha256.Size]byte) {
	m := k.macs.Get().(*macState)
	defer k.macs.Put(m)
	m.hash.Reset()
	m.message = append(append(append(m.message[:0], k.Purpose...), 0), message...)
	m.hash.Write(m.message)
	clear(m.message)
	copy(sum[:], m.hash.Sum(m.message[:0]))
	return sum
}

// Tag is a keyed hash of a text for a purpose: key id, a dot, the hash.
func (g *Ring) Tag(purpose, text string) (string, error) {
	k, err := g.current(purpose)
	if err != nil {
		return "", err
	}
	sum := mac(k, text)
	return k.ID + "." + base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// CheckTag reports, in constant time, whether a tag is that of a text, made with
// any key that is kept. A tag of "" never matches and takes as long.
func (g *Ring) CheckTag(purpose, tag, text string) bool {
	id, sum, _ := strings.Cut(tag, ".")
	k, ok := g.byID(purpose, id)
	if !ok {
		var err error
		if k, err = g.current(purpose); err != nil {
			return false
		}
	}
	want, err := strict.DecodeString(sum)
	got := mac(k, text)
	return hmac.Equal(want, got[:]) && ok && err == nil
}

// HashSecret is the stored form of a client secret.
func (g *Ring) HashSecret(secret string) (string, error) { return g.Tag(PurposeClientSecret, secret) }

// CheckSecret compares a secret with its stored form.
func (g *Ring) CheckSecret(stored, secret string) bool {
	return g.CheckTag(PurposeClientSecret, stored, secret)
}

// SealSecret is the stored form of a client secret that is the key of an HMAC.
func (g *Ring) SealSecret(secret string) (string, error) {
	return g.Seal(PurposeSharedSecret, []byte(secret))
}

// OpenSecret reads that back.
func (g *Ring) OpenSecret(sealed string) ([]byte, error) { return g.Open(PurposeSharedSecret, sealed) }
