package dbtest

import (
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Proxy stands between a client and a PostgreSQL server (or a pgbouncer) and fails
// as networks do. Its faults may be switched at any time, from any goroutine, add up,
// and apply to the connections there are and to new ones, until Heal. It follows the
// protocol so far that it knows which bytes are which statement, so connections
// through it are without TLS.
type Proxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	target  string
	refuse  bool
	hang    bool
	delay   time.Duration
	trap    *trap
	changed chan struct{} // closed, and made anew, with every change of a fault
	links   map[*link]struct{}
}

// A trap waits for one statement.
type trap struct {
	match  string // as plainText has it
	answer bool   // the answer is lost, else the statement
	refuse bool   // and every connection from then on
	sprung chan struct{}
}

// NewProxy starts a proxy for a server: host:port, or the address of a database on
// it. It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: listener, target: hostOf(target), changed: make(chan struct{}), links: map[*link]struct{}{}}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.Refuse()
		p.running.Wait()
	})
	return p
}

// Addr is where the proxy listens, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// DSN is the address of a database with the proxy in place of its server.
func (p *Proxy) DSN(dsn string) string {
	u := parseDSN(dsn)
	u.Host = p.Addr()
	return u.String()
}

// hostOf is host:port of what names a server.
func hostOf(target string) string {
	if !strings.Contains(target, "://") {
		return target
	}
	return parseDSN(target).Host
}

// parseDSN takes the address of a database apart. One that is none is the
// programmer's mistake, and its password is not for the log.
func parseDSN(dsn string) *url.URL {
	u, err := url.Parse(dsn)
	if err != nil {
		panic("dbtest: not an address of a database")
	}
	return u
}

// Refuse resets every connection, and each new one as soon as it is made.
func (p *Proxy) Refuse() {
	p.change(func() { p.refuse = true })
	p.Cut()
}

// Cut resets the connections there are. New ones are served.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
}

// Hang lets no byte pass in either direction, nor the end of a connection; new
// connections are accepted. What waits is delivered after Heal, as a network does
// that was interrupted, even if its sender has given up meanwhile.
func (p *Proxy) Hang() { p.change(func() { p.hang = true }) }

// Delay holds back what arrives by d before it is passed on, in each direction.
func (p *Proxy) Delay(d time.Duration) { p.change(func() { p.delay = d }) }

// LoseAnswer lets the next statement that contains match in whole words (any
// statement, if empty; neither case nor kind of white space matters) reach the
// server, throws the server's answer away when it is complete, and resets the connection. The statement
// may be a COMMIT, one in simple or extended protocol, or one that was prepared
// before. The channel is closed when it has happened.
func (p *Proxy) LoseAnswer(match string) <-chan struct{} { return p.set(match, true) }

// LoseStatement resets the connection in the middle of the next statement that
// contains match, as in LoseAnswer: the server gets all of it but the end and never
// executes it. For the client nothing tells this from LoseAnswer.
func (p *Proxy) LoseStatement(match string) <-chan struct{} { return p.set(match, false) }

func (p *Proxy) set(match string, answer bool) <-chan struct{} {
	trap := &trap{match: plainText(match), answer: answer, sprung: make(chan struct{})}
	p.change(func() { p.trap = trap })
	return trap.sprung
}

// RefuseFromThen has the statement that LoseAnswer or LoseStatement waits for be the last
// that is heard: before whoever sent it knows that it is lost, every connection is refused.
func (p *Proxy) RefuseFromThen() {
	p.change(func() {
		if p.trap != nil {
			p.trap.refuse = true
		}
	})
}

// spring ends a link on which a statement or its answer was lost.
func (p *Proxy) spring(l *link, sprung *trap) {
	if sprung.refuse {
		p.Refuse()
	}
	l.cut()
	close(sprung.sprung)
}

// Retarget sends new connections to another server, named as in NewProxy, and resets
// those there are, as an address does that moves.
func (p *Proxy) Retarget(target string) {
	p.change(func() { p.target = hostOf(target) })
	p.Cut()
}

// Heal ends every fault, and takes back a LoseAnswer or LoseStatement that has not
// met its statement.
func (p *Proxy) Heal() {
	p.change(func() { p.refuse, p.hang, p.delay, p.trap = false, false, 0, nil })
}

// change changes what the proxy does, and wakes those who wait for that.
func (p *Proxy) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		l := newLink(conn)
		p.mu.Lock()
		if p.refuse {
			l.cut()
		} else {
			p.links[l] = struct{}{}
			p.running.Go(func() { p.serve(l) })
		}
		p.mu.Unlock()
	}
}

// serve carries one connection to its end.
func (p *Proxy) serve(l *link) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
		l.close()
	}()
	if !p.pass(l) {
		return
	}
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := net.DialTimeout("tcp", target, patience)
	if err != nil {
		l.cut()
		return
	}
	p.mu.Lock()
	l.server = server
	p.mu.Unlock()
	if !p.pass(l) { // it was cut while there was no server to cut it from
		_ = server.Close()
		return
	}
	var up sync.WaitGroup
	up.Go(func() { p.up(l) })
	p.down(l)
	l.close()
	up.Wait()
}

// pass waits until bytes may pass, and reports false when the connection is over.
func (p *Proxy) pass(l *link) bool {
	for {
		p.mu.Lock()
		hang, delay, changed := p.hang, p.delay, p.changed
		p.mu.Unlock()
		var wait <-chan time.Time // never, when it hangs
		switch {
		case !hang && delay == 0:
			return !l.over()
		case !hang:
			wait = time.After(delay)
		}
		select {
		case <-l.done:
			return false
		case <-changed:
		case <-wait:
			return true
		}
	}
}

// chunk is how many bytes are read at a time.
const chunk = 32 << 10

// up carries what the client says.
func (p *Proxy) up(l *link) {
	buf := make([]byte, chunk)
	for {
		n, err := l.client.Read(buf)
		if !p.pass(l) {
			return
		}
		through, lost := p.hear(l, buf[:n])
		if _, err := l.server.Write(buf[:through]); err != nil {
			l.cut()
			return
		}
		if lost != nil {
			p.spring(l, lost)
			return
		}
		if errors.Is(err, io.EOF) {
			_ = l.server.(*net.TCPConn).CloseWrite() // the server may still have to answer
			return
		}
		if err != nil {
			l.cut()
			return
		}
	}
}

// down carries what the server says, until it ends the connection.
func (p *Proxy) down(l *link) {
	buf := make([]byte, chunk)
	for {
		n, err := l.server.Read(buf)
		if !p.pass(l) {
			return
		}
		lost, complete := p.overhear(l, buf[:n])
		if complete {
			p.spring(l, lost)
			return
		}
		if lost == nil {
			if _, err := l.client.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hear follows what the client says and springs the trap. It returns how many bytes
// may go through, and the trap if the connection is to be cut behind them.
func (p *Proxy) hear(l *link, data []byte) (through int, lost *trap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	through = len(data)
	l.fromClient.read(data, func(kind byte, body []byte, end int) {
		said := l.said(kind, body)
		if !said.executes || p.trap == nil || !says(plainText(said.statement), p.trap.match) {
			return
		}
		if p.trap.answer {
			l.trap, l.awaited = p.trap, said.answer
		} else {
			through, lost = end-1, p.trap
		}
		p.trap = nil
	})
	return through, lost
}

// overhear follows what the server says. It returns the trap if the bytes are to be
// lost, and whether they were the last of the answer.
func (p *Proxy) overhear(l *link, data []byte) (lost *trap, complete bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.fromServer.read(data, func(kind byte, _ []byte, _ int) {
		if kind == 'Z' {
			l.answered++
		}
	})
	return l.trap, l.trap != nil && l.answered >= l.awaited
}
