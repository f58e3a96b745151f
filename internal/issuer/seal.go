package issuer

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
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
	raw, err := header(k)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, k.aead.NonceSize())
	rand.Read(nonce)
	raw = append(raw, nonce...)
	return base64.RawURLEncoding.EncodeToString(k.aead.Seal(raw, nonce, plain, []byte(purpose))), nil
}

// Open decrypts what Seal made for the same purpose.
func (g *Ring) Open(purpose, sealed string) ([]byte, error) {
	k, rest, err := g.split(purpose, sealed)
	if err != nil {
		return nil, err
	}
	size := k.aead.NonceSize()
	if len(rest) < size+k.aead.Overhead() {
		return nil, errNotOurs
	}
	plain, err := k.aead.Open(nil, rest[:size], rest[size:], []byte(purpose))
	if err != nil {
		return nil, errNotOurs
	}
	return plain, nil
}

// header is version and key id.
func header(k *key) ([]byte, error) {
	id, err := base64.RawURLEncoding.DecodeString(k.ID)
	if err != nil || len(id) != keyIDSize {
		return nil, errors.New("issuer: a key has an id of the wrong form")
	}
	return append([]byte{sealVersion}, id...), nil
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

// mac is an HMAC-SHA-256 with the purpose in front.
func (k *key) mac(message []byte) []byte {
	h := hmac.New(sha256.New, k.secret)
	h.Write([]byte(k.Purpose))
	h.Write([]byte{0})
	h.Write(message)
	return h.Sum(nil)
}

// Tag is a keyed hash of a text for a purpose: key id, a dot, the hash.
func (g *Ring) Tag(purpose, text string) (string, error) {
	k, err := g.current(purpose)
	if err != nil {
		return "", err
	}
	return k.ID + "." + base64.RawURLEncoding.EncodeToString(k.mac([]byte(text))), nil
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
	return hmac.Equal(want, k.mac([]byte(text))) && ok && err == nil
}

// HashSecret is the stored form of a client secret.
func (g *Ring) HashSecret(secret string) (string, error) { return g.Tag(PurposeClientSecret, secret) }

// CheckSecret compares a secret with its stored form.
func (g *Ring) CheckSecret(stored, secret string) bool {
	return g.CheckTag(PurposeClientSecret, stored, secret)
}
