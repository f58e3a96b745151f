package server

import (
	"context"
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
// ring, rotate aged keys, remove expired rows.
func (s *Server) run(ctx context.Context) {
	defer close(s.jobsEnd)
	refresh, expire, rotate := time.NewTicker(refreshEvery), time.NewTicker(expireEvery), time.NewTicker(rotateEvery)
	defer refresh.Stop()
	defer expire.Stop()
	defer rotate.Stop()
	for {
		var err error
		var job string
		select {
		case <-ctx.Done():
			return
		case <-refresh.C:
			job, err = "read key ring", s.Ring.Refresh(ctx)
		case <-expire.C:
			job, err = "delete expired rows", s.expire(ctx)
		case <-rotate.C:
			job, err = "rotate keys", s.rotate(ctx)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("job failed", "job", job, "cause", err)
		}
	}
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
