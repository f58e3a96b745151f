package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
)

// How often the jobs run.
const (
	followEvery   = 500 * time.Millisecond // a change made elsewhere is seen within a second
	takeBackEvery = 100 * time.Millisecond // a client may come again as soon as the database is back
	expireEvery   = 10 * time.Second
	rotateEvery   = time.Minute
	tellEvery     = 2 * time.Second // a session that a command has ended
	mailEvery     = 2 * time.Second // mail that a command, another server or an event has written
)

// holdFor is how long a job is this server's after it was last heard of.
const holdFor = 30 * time.Second

// run does what must be done by itself, until the server closes: follow what others
// change, settle what was left open, tell clients of sign-outs, remove expired rows,
// rotate aged keys. None waits for another.
func (s *Server) run(ctx context.Context) {
	defer close(s.jobsEnd)
	var jobs sync.WaitGroup
	for _, job := range []struct {
		name  string
		every time.Duration
		wake  <-chan struct{}
		do    func(ctx context.Context) error
	}{
		{"follow changes", followEvery, s.Store.Changes(), s.follow},
		{"take back", takeBackEvery, nil, func(ctx context.Context) error { return s.Store.TakeBack(ctx, s.now()) }},
		{"tell clients of sign-outs", tellEvery, s.Store.SignOuts(), s.backchannel.Deliver},
		{"send mail", mailEvery, s.Store.Mails(), s.sendMail},
		{"delete expired rows", expireEvery, nil, s.alone("expire", s.expire)},
		{"rotate keys", rotateEvery, nil, s.alone("rotate", s.rotate)},
	} {
		jobs.Go(func() {
			failing := false
			for wait(ctx, job.every, job.wake) == nil {
				err := job.do(ctx)
				if err != nil && !failing && ctx.Err() == nil {
					s.log.Error("job failed", "job", job.name, "cause", err)
				}
				if failing && err == nil {
					s.log.Info("job works again", "job", job.name)
				}
				failing = err != nil
			}
		})
	}
	jobs.Wait()
	s.backchannel.Wait()
	s.outbox.wait()
	// Whoever comes again because this server told him to would be taken for a thief.
	if err := s.Store.TakeBack(context.WithoutCancel(ctx), s.now()); err != nil {
		s.log.Error("codes stay spent that were refused without knowing their outcome", "cause", err)
	}
}

// wait sleeps until it is time or somebody wakes it.
func wait(ctx context.Context, most time.Duration, wake <-chan struct{}) error {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// alone runs a job on one server at a time.
func (s *Server) alone(name string, do func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		held, err := s.Store.HoldJob(ctx, name, s.name, s.now(), holdFor)
		if err != nil || !held {
			return err
		}
		return do(ctx)
	}
}

// sendMail sends what waits to be sent, where mail is sent at all.
func (s *Server) sendMail(ctx context.Context) error {
	if s.outbox == nil {
		return nil
	}
	return s.outbox.deliver(ctx)
}

// follow keeps near the database what this server has copies of: clients, keys, and
// the metadata that tells what clients use.
func (s *Server) follow(ctx context.Context) error {
	revision, err := s.Store.Follow(ctx, s.now())
	if err != nil || revision == s.revision {
		return err
	}
	if err := errors.Join(s.Ring.Refresh(ctx), s.discovery.Refresh(ctx)); err != nil {
		return err
	}
	s.revision = revision
	return nil
}

// expire removes expired rows in small batches, and breathes between them, so
// that traffic does not feel it. It goes on while there are any, and says so to
// whoever waits for the job.
func (s *Server) expire(ctx context.Context) error {
	for n := 1; ; n++ {
		more, err := s.Store.DeleteExpired(ctx, s.now())
		if err != nil || !more {
			return err
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
		if n%1000 != 0 {
			continue
		}
		if held, err := s.Store.HoldJob(ctx, "expire", s.name, s.now(), holdFor); err != nil || !held {
			return err
		}
	}
}

func (s *Server) rotate(ctx context.Context) error {
	rotated, err := s.Ring.RotateAged(ctx, s.config.KeyRotation, store.By{Actor: "server"})
	for _, k := range rotated {
		s.log.Info("key rotated", "purpose", k.Purpose, "kid", k.ID, "active", k.ActiveAt)
	}
	return err
}
