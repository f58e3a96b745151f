package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// Algorithms that a floor can sign with.
const (
	es256 = "ES256"
	rs256 = "RS256"
)

// newSigner makes a key as the server makes its own.
func newSigner(algorithm string) (crypto.Signer, error) {
	if algorithm == rs256 {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// serveFloor is what any token endpoint must do at least: parse the form, check
// one SHA-256, sign once, and answer with as many bytes.
func serveFloor(address, algorithm string, size int) error {
	key, err := newSigner(algorithm)
	if err != nil {
		return err
	}
	want := sha256.Sum256([]byte("a secret"))
	answer := bytes.Repeat([]byte("x"), size)
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return (&http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		sum := sha256.Sum256([]byte(r.PostForm.Get("client_secret")))
		digest := sha256.Sum256(answer)
		_, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
		if subtle.ConstantTimeCompare(sum[:], want[:]) == 2 || err != nil {
			http.Error(w, "never", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = w.Write(answer)
	})}).Serve(l)
}

// A floor is the bench again, in a process of its own.
type floor struct {
	*target
	cmd  *exec.Cmd
	kind *kind // what it is asked: the form that the token endpoint gets
}

// launchFloor starts a floor with answers as long as those that the server gives
// to clients of a group.
func launchFloor(ctx context.Context, server *target, g *group) (*floor, error) {
	k := &kind{status: "200", write: g.clientCredentials}
	size, err := bodySize(ctx, server, k)
	if err != nil {
		return nil, err
	}
	address, err := oauthtest.FreeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-floor", address, "-floor-algorithm", g.algorithm, "-floor-size", strconv.Itoa(size))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	f := &floor{&target{address: address, pid: cmd.Process.Pid}, cmd, k}
	for range 1000 { // an RSA key takes a moment
		if c, err := dial(ctx, address); err == nil {
			return f, c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.stop()
	return nil, fmt.Errorf("the floor does not answer at %s", address)
}

// bodySize asks once, and returns how many bytes the answer has.
func bodySize(ctx context.Context, to *target, k *kind) (int, error) {
	c, err := dial(ctx, to.address)
	if err != nil {
		return 0, err
	}
	w := &worker{conn: c, of: 1}
	defer c.Close()
	k.write(w)
	a, err := c.roundTrip(w.out)
	if err != nil {
		return 0, err
	}
	if problem := k.judge(&a); problem != "" {
		return 0, fmt.Errorf("%s", problem)
	}
	return len(a.body), nil
}

func (f *floor) stop() {
	_ = f.cmd.Process.Kill()
	_ = f.cmd.Wait()
}
