package dbtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a server program that ends with this process.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// launch starts a server program in a directory of its own, where its log is. It
// sends the program the signal farewell when this process ends.
func launch(name, dir string, farewell syscall.Signal, args ...string) (*process, error) {
	path, err := program(name)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("dbtest: start %s: %w", name, err)
	}
	defer log.Close() // the program has its own descriptor
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	p, err := spawn(cmd, farewell)
	if err != nil {
		return nil, fmt.Errorf("dbtest: start %s: %w", name, err)
	}
	return p, nil
}

// spawn starts a program that must not outlive us: the kernel sends it the signal
// when we end, whatever ends us. The kernel means by "us" the thread that started
// it, so that thread does nothing else until the program has ended.
func spawn(cmd *exec.Cmd, farewell syscall.Signal) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: credential(),
		Setpgid:    true, // Ctrl-C is for us; the program hears of it by our end
		Pdeathsig:  farewell,
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	return p, <-started
}

// logTail is the end of the log of a program that was launched in dir.
func logTail(dir string) string {
	const most = 4096
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// ended reports whether the program has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// credential is who servers run as: us, or, since PostgreSQL and pgbouncer refuse
// to run as root, the account that Debian's packages make.
func credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil // the program refuses, and says why better than we could
	}
	uid, _ := strconv.ParseUint(account.Uid, 10, 32)
	gid, _ := strconv.ParseUint(account.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// give makes a file belong to the account that servers run as.
func give(path string) error {
	if c := credential(); c != nil {
		return os.Chown(path, int(c.Uid), int(c.Gid))
	}
	return nil
}

// A stat is what /proc/PID/stat says of a process, proc(5).
type stat struct {
	pid, parent    int
	state          byte
	used, children time.Duration // CPU time of its own, and of its children that ended
}

// tick is the unit of times in /proc: USER_HZ, 100 on every Linux.
const tick = 10 * time.Millisecond

// readStat reads about a process. A process that is no more is an error.
func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, err
	}
	// The name in parentheses may hold anything, so fields count from its end.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return stat{}, fmt.Errorf("/proc/%d/stat: %q", pid, text)
	}
	number := func(field int) time.Duration { // by its number in proc(5)
		n, _ := strconv.ParseInt(fields[field-3], 10, 64)
		return time.Duration(n)
	}
	return stat{
		pid: pid, parent: int(number(4)), state: fields[0][0],
		used:     (number(14) + number(15)) * tick,
		children: (number(16) + number(17)) * tick,
	}, nil
}

// childrenOf lists the processes that pid has made and that still run.
func childrenOf(pid int) ([]stat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []stat
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // not a process
		}
		s, err := readStat(child)
		if err == nil && s.parent == pid && s.state != 'Z' {
			found = append(found, s)
		}
	}
	return found, nil
}

// program finds a program: where PATH leads, else where Debian puts it; of several
// versions of PostgreSQL the newest.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob("/usr/sbin/" + name)
	if versions, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(versions) > 0 {
		found = versions
	}
	if len(found) == 0 {
		return "", fmt.Errorf("dbtest: %s is not installed; run: make setup", name)
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }), nil
}

// version tells one installed PostgreSQL from another.
func version() (string, error) {
	initdb, err := program("initdb")
	if err != nil {
		return "", err
	}
	out, err := exec.Command(initdb, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("dbtest: %s --version: %w", initdb, err)
	}
	return initdb + " " + string(out), nil
}

// run runs a program to its end, with text for it to read.
func run(name, input string, args ...string) error {
	path, err := program(name)
	if err != nil {
		return err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = "/" // it may not be able to enter ours
	cmd.Stdin = strings.NewReader(input)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential()}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// freeMemory gives back the segment of shared memory by which a PostgreSQL server
// knows that it is alone on its data. One that is killed leaves it to its next start;
// without one it would stay until the machine runs out of them.
func freeMemory(data string) error {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it ended in order
	}
	if err != nil {
		return err
	}
	// The seventh line is key and id of the segment.
	lines := strings.SplitN(string(text), "\n", 8)
	if len(lines) < 7 {
		return nil // it ended before it had one
	}
	_, number, _ := strings.Cut(strings.TrimSpace(lines[6]), " ")
	id, err := strconv.ParseUint(strings.TrimSpace(number), 10, 31)
	if err != nil {
		return fmt.Errorf("postmaster.pid: %w", err)
	}
	const remove = 0 // IPC_RMID
	_, _, errno := syscall.Syscall(syscall.SYS_SHMCTL, uintptr(id), remove, 0)
	if errno != 0 && errno != syscall.EINVAL { // EINVAL: it is no more
		return fmt.Errorf("remove a segment of shared memory: %w", errno)
	}
	return nil
}
