package dbtest

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// A StopMode says how a server is stopped.
type StopMode int

// The ways to stop a server.
const (
	Fast      StopMode = iota // connections are ended in order, data is written out; SIGINT
	Immediate                 // at once; the next start recovers; SIGQUIT
	Kill                      // kill -9 of every process, as when the machine dies; the next start recovers
)

// Stop stops the server and returns when all its processes are gone. A server that
// is paused is stopped too; one that is stopped stays so.
func (s *Server) Stop(mode StopMode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	if err := s.stop(mode); err != nil {
		return fmt.Errorf("dbtest: stop PostgreSQL: %w", err)
	}
	s.process = nil
	return nil
}

func (s *Server) stop(mode StopMode) error {
	if s.process.ended() {
		return nil
	}
	pid := s.process.cmd.Process.Pid
	family, err := s.freeze() // so that no process is made while we look
	if err != nil {
		return err
	}
	switch mode {
	case Fast:
		err = syscall.Kill(pid, syscall.SIGINT)
	case Immediate:
		err = syscall.Kill(pid, syscall.SIGQUIT)
	case Kill:
		err = signalAll(family, syscall.SIGKILL)
	}
	if mode != Kill {
		err = errors.Join(err, signalAll(family, syscall.SIGCONT))
	}
	if err != nil {
		return err
	}
	return s.awaitGone(family)
}

// Pause stops every process of the server in its tracks: connections are accepted
// by the kernel and nothing ever answers, as on a machine that hangs.
func (s *Server) Pause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return errors.New("dbtest: pause: the server is stopped")
	}
	if _, err := s.freeze(); err != nil {
		return fmt.Errorf("dbtest: pause: %w", err)
	}
	return nil
}

// Resume lets a paused server go on where it was; on another it does nothing.
func (s *Server) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	family, err := s.family()
	if err == nil {
		err = signalAll(family, syscall.SIGCONT)
	}
	if err != nil {
		return fmt.Errorf("dbtest: resume: %w", err)
	}
	return nil
}

// PID is the process id of the server's first process; 0 when it is stopped.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.cmd.Process.Pid
}

// CPU is the CPU time, to about 10 ms for each process, that all processes of the
// server have used since it was last started, those that have ended included.
func (s *Server) CPU() (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0, errors.New("dbtest: CPU time: the server is stopped")
	}
	pid := s.process.cmd.Process.Pid
	children, err := childrenOf(pid)
	if err != nil {
		return 0, fmt.Errorf("dbtest: CPU time: %w", err)
	}
	first, err := readStat(pid)
	if err != nil {
		return 0, fmt.Errorf("dbtest: CPU time: %w", err)
	}
	sum := first.used + first.children
	for _, child := range children {
		sum += child.used
	}
	return sum, nil
}

func (s *Server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process != nil && !s.process.ended()
}

// family lists the server's processes, the first one first.
func (s *Server) family() ([]int, error) {
	pid := s.process.cmd.Process.Pid
	children, err := childrenOf(pid)
	pids := []int{pid}
	for _, child := range children {
		pids = append(pids, child.pid)
	}
	return pids, err
}

// freeze stops the server's processes and lists them. The first one makes all
// others, so it goes first, and is waited for: a signal takes effect a little later.
func (s *Server) freeze() ([]int, error) {
	pid := s.process.cmd.Process.Pid
	if err := signalAll([]int{pid}, syscall.SIGSTOP); err != nil {
		return nil, err
	}
	err := await("a process does not stop", func() bool {
		now, err := readStat(pid)
		return err != nil || now.state == 'T' || now.state == 'Z'
	})
	if err != nil {
		return nil, err
	}
	family, err := s.family()
	if err != nil {
		return nil, err
	}
	return family, signalAll(family, syscall.SIGSTOP)
}

// awaitGone waits until a server that was stopped is no more. Its children end with
// it, or a little later when it was killed.
func (s *Server) awaitGone(family []int) error {
	select {
	case <-s.process.done:
	case <-time.After(patience):
		return errors.New("it does not end")
	}
	return await("a child does not end", func() bool {
		for _, pid := range family {
			if now, err := readStat(pid); err == nil && now.state != 'Z' {
				return false
			}
		}
		return true
	})
}

// await waits until something is so.
func await(otherwise string, so func() bool) error {
	for waited := time.Duration(0); !so(); waited += time.Millisecond {
		if waited > patience {
			return errors.New(otherwise)
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// signalAll sends a signal to processes; one that is no more needs none.
func signalAll(pids []int, signal syscall.Signal) error {
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}
