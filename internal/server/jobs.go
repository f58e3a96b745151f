package server

import (
	"context"
	"sync"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
)

// How often the jobs run.
const (
	refreshEvery = 500 * time.Millisecond // so that a change by a command is seen within a second
	expireEvery  = 10 * time.Second
	rotateEvery  = time.Minute
)

// run does what must be done by itself, until the server closes: follow the key
// ring, remove expired rows, rotate aged keys. None waits for another.
func (s *Server) run(ctx context.Context) {
	defer close(s.jobsEnd)
	var jobs sync.WaitGroup
	for _, job := range []struct {
		name  string
		every time.Duration
		do    func(ctx context.Context) error
	}{
		{"read key ring", refreshEvery, s.Ring.Refresh},
		{"delete expired rows", expireEvery, s.expire},
		{"rotate keys", rotateEvery, s.rotate},
	} {
		jobs.Go(func() {
			for sleep(ctx, job.every) == nil {
				if err := job.do(ctx); err != nil && ctx.Err() == nil {
					s.log.Error("job failed", "job", job.name, "cause", err)
				}
			}
		})
	}
	jobs.Wait()
}

// expire removes expired rows in small batches, and breathes between them, so
// that traffic does not feel it. What is left waits for the next round.
func (s *Server) expire(ctx context.Context) error {
	for range 200 {
		more, err := s.Store.DeleteExpired(ctx, s.now())
		if err != nil || !more {
			return err
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) rotate(ctx context.Context) error {
	rotated, err := s.Ring.RotateAged(ctx, s.config.KeyRotation, store.By{Actor: "server"})
	for _, k := range rotated {
		s.log.Info("key rotated", "purpose", k.Purpose, "kid", k.ID, "active", k.ActiveAt)
	}
	return err
}
