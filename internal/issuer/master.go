package issuer

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// MasterKeySize is the size of a master key in bytes.
const MasterKeySize = 32

// A Master seals the key ring. Its key comes from outside of the database, so
// that a stolen database opens nothing.
type Master struct {
	key  []byte
	aead cipher.AEAD
}

// NewMaster takes a key of MasterKeySize bytes.
func NewMaster(key []byte) (*Master, error) {
	if len(key) != MasterKeySize {
		return nil, fmt.Errorf("issuer: a master key has %d bytes, not %d", MasterKeySize, len(key))
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("issuer: master key: %w", err)
	}
	return &Master{key: key, aead: aead}, nil
}

// seal encrypts a key of the ring for a purpose; it opens for no other.
func (m *Master) seal(purpose string, plain []byte) string {
	nonce := make([]byte, m.aead.NonceSize(), m.aead.NonceSize()+len(plain)+m.aead.Overhead())
	rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(m.aead.Seal(nonce, nonce, plain, []byte(purpose)))
}

func (m *Master) open(purpose, sealed string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil || len(raw) < m.aead.NonceSize() {
		return nil, errors.New("issuer: a sealed key is damaged")
	}
	plain, err := m.aead.Open(nil, raw[:m.aead.NonceSize()], raw[m.aead.NonceSize():], []byte(purpose))
	if err != nil {
		return nil, fmt.Errorf("issuer: a key for %s does not open with this master key", purpose)
	}
	return plain, nil
}

// check is a value that only this key gives, and that tells nothing about it.
func (m *Master) check() string {
	mac := hmac.New(sha256.New, m.key)
	mac.Write([]byte("hufu master key check"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Fits reports whether this key gave a check value.
func (m *Master) Fits(check string) bool { return hmac.Equal([]byte(m.check()), []byte(check)) }

// ErrNoMasterKey is returned when the database was sealed with a master key and
// there is none here.
var ErrNoMasterKey = errors.New("the database was sealed with a master key that is not here: " +
	"set master_key or master_key_file, or put the file back (hufu key reset makes new keys and ends every token and client secret)")

// LoadMasterFile reads the master key from a file. When there is no such file
// and the database has none yet, it makes one: once, exclusively, mode 0600.
func LoadMasterFile(path string, sealed bool) (*Master, error) {
	text, err := os.ReadFile(filepath.Clean(path))
	switch {
	case errors.Is(err, fs.ErrNotExist) && sealed:
		return nil, fmt.Errorf("issuer: %s: %w", path, ErrNoMasterKey)
	case errors.Is(err, fs.ErrNotExist):
		return makeMasterFile(path)
	case err != nil:
		return nil, fmt.Errorf("issuer: master key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != MasterKeySize {
		return nil, fmt.Errorf("issuer: %s does not hold a master key: want %d bytes as base64", path, MasterKeySize)
	}
	return NewMaster(key)
}

// makeMasterFile writes a new key beside its place and links it there, so that
// of two processes one makes the key, and none ever reads half of one.
func makeMasterFile(path string) (*Master, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("issuer: master key: %w", err)
	}
	key := make([]byte, MasterKeySize)
	rand.Read(key)
	if err := writeFileOnce(path, []byte(base64.StdEncoding.EncodeToString(key)+"\n")); errors.Is(err, fs.ErrExist) {
		return LoadMasterFile(path, false)
	} else if err != nil {
		return nil, fmt.Errorf("issuer: make master key: %w", err)
	}
	return NewMaster(key)
}

// writeFileOnce makes a durable file that was not there; fs.ErrExist when it was.
func writeFileOnce(path string, content []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err != nil {
		return err
	}
	if err := os.Link(temporary.Name(), path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// ReplaceMasterFile puts a new key into the place of the old one, for reseal
// and reset.
func ReplaceMasterFile(path string, key []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("issuer: replace master key: %w", err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err == nil {
		err = syncDirectory(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("issuer: replace master key: %w", err)
	}
	return nil
}

// NextMaster is the ending of the file in which a new master key waits until the
// database is sealed with it.
const NextMaster = ".new"

// FinishReplacement puts the key that waits beside path in its place, when it is
// the one whose check value the database holds: whoever changed the key was
// stopped before the last step. A waiting key that does not fit is left alone,
// for somebody may be about to seal the database with it.
func FinishReplacement(path, check string) error {
	waiting := path + NextMaster
	next, err := LoadMasterFile(waiting, true)
	if errors.Is(err, ErrNoMasterKey) {
		return nil
	}
	if err != nil || next.check() != check {
		return err
	}
	// Another process may have done it at the same moment.
	if err := os.Rename(waiting, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("issuer: replace master key: %w", err)
	}
	if err := syncDirectory(filepath.Dir(path)); err != nil {
		return fmt.Errorf("issuer: replace master key: %w", err)
	}
	return nil
}

func syncDirectory(path string) error {
	directory, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
