package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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

// serveFloor is what any token endpoint must do at least: parse the form, check
// one SHA-256, sign once with ES256, and answer with as many bytes.
func serveFloor(address string, size int) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
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
		_, _, err := ecdsa.Sign(rand.Reader, key, digest[:])
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

// A floorProcess is the bench again, in a process of its own.
type floorProcess struct {
	*target
	cmd *exec.Cmd
}

// launchFloor starts the floor with answers as long as those of the server's
// token endpoint.
func launchFloor(ctx context.Context, server *target, db *database) (*floorProcess, error) {
	c, err := dial(ctx, server.address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	size, err := c.roundTrip(floorKind(db).next(0, 1))
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
	cmd := exec.Command(self, "-floor", address, "-size", strconv.Itoa(size))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	f := &floorProcess{&target{address: address, pid: cmd.Process.Pid}, cmd}
	for range 500 {
		if c, err := dial(ctx, address); err == nil {
			return f, c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.stop()
	return nil, fmt.Errorf("the floor does not answer at %s", address)
}

func (f *floorProcess) stop() {
	_ = f.cmd.Process.Kill()
	_ = f.cmd.Wait()
}
