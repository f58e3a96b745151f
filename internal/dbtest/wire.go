package dbtest

import (
	"bytes"
	"encoding/binary"
	"net"
	"strings"
	"sync"
)

// A link is one connection through a proxy, and what was said on it so far.
type link struct {
	client, server net.Conn // server is nil until there is one
	done           chan struct{}
	once           sync.Once

	// Under the mutex of the proxy.
	fromClient, fromServer scanner
	statements, portals    map[string]string // text by name
	asked, answered        int               // requests that the server ends with ReadyForQuery
	trap                   *trap             // sprung: the answer is lost, up to and with
	awaited                int               // this ReadyForQuery
}

func newLink(client net.Conn) *link {
	return &link{
		client: client, done: make(chan struct{}), fromClient: scanner{start: true},
		statements: map[string]string{}, portals: map[string]string{},
	}
}

// over reports whether the connection was ended.
func (l *link) over() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// close ends both sides in order.
func (l *link) close() {
	l.once.Do(func() { close(l.done) })
	_ = l.client.Close()
	if l.server != nil {
		_ = l.server.Close()
	}
}

// cut ends both sides so that the client finds its connection reset and nothing left
// to read.
func (l *link) cut() {
	_ = l.client.(*net.TCPConn).SetLinger(0)
	l.close()
}

// Codes that stand where the version of the protocol stands in a connection's first
// message.
const (
	cancelRequest     = 80877102
	encryptionRequest = 80877103 // and 80877104, for TLS and for GSSAPI
)

// A saying is what one message of a client means to a proxy.
type saying struct {
	statement string
	executes  bool
	answer    int // its answer ends with this ReadyForQuery, counted from the first
}

// said takes note of a message of the client. Names and texts in it end with a zero
// byte; PostgreSQL's manual has them under Message Formats.
func (l *link) said(kind byte, body []byte) saying {
	first, rest, _ := bytes.Cut(body, []byte{0})
	second, _, _ := bytes.Cut(rest, []byte{0})
	switch kind {
	case 0:
		l.began(body)
	case 'P': // Parse: name, text
		l.statements[string(first)] = string(second)
	case 'B': // Bind: portal, statement
		l.portals[string(first)] = l.statements[string(second)]
	case 'E': // Execute: portal; the Sync that asks for the answer is yet to come
		return saying{l.portals[string(first)], true, l.asked + 1}
	case 'S': // Sync
		l.asked++
	case 'Q': // Query: text
		l.asked++
		return saying{string(first), true, l.asked}
	}
	return saying{}
}

// began takes note of a connection's first message.
func (l *link) began(body []byte) {
	if len(body) < 4 {
		return
	}
	switch code := binary.BigEndian.Uint32(body); code {
	case encryptionRequest, encryptionRequest + 1:
		l.fromClient.start = true // refused; what comes next is again a first message
		l.fromServer.skip++       // by one byte that is no message
	case cancelRequest:
	default:
		l.asked++ // the first ReadyForQuery comes when the client is let in
	}
}

// A scanner finds the messages of PostgreSQL's protocol in a stream.
type scanner struct {
	start   bool   // the next message is a connection's first, which has no kind
	skip    int    // bytes that belong to no message
	pending []byte // of a message that is not complete
}

// read calls f with every message that data completes: its kind (0 for the first),
// its content, and where in data it ends.
func (s *scanner) read(data []byte, f func(kind byte, body []byte, end int)) {
	skipped := min(s.skip, len(data))
	s.skip -= skipped
	s.pending = append(s.pending, data[skipped:]...)
	for {
		head := 1
		if s.start {
			head = 0
		}
		if len(s.pending) < head+4 {
			return
		}
		// The length counts itself. One that does not is no protocol of ours.
		size := head + max(4, int(binary.BigEndian.Uint32(s.pending[head:])))
		if len(s.pending) < size {
			return
		}
		kind, body := byte(0), s.pending[head+4:size]
		if !s.start {
			kind = s.pending[0]
		}
		s.start = false
		s.pending = s.pending[size:]
		f(kind, body, len(data)-len(s.pending))
	}
}

// plainText is a statement, or part of one, as statements are compared.
func plainText(sql string) string {
	return strings.ToLower(strings.Join(strings.Fields(sql), " "))
}

// says reports whether text contains match as whole words: a COMMIT is one, and the
// beginning of a transaction that is read committed is none. Both are plain text.
func says(text, match string) bool {
	for from := 0; ; from++ {
		at := strings.Index(text[from:], match)
		if at < 0 {
			return false
		}
		from += at
		if !isInWord(text, from) && !isInWord(text, from+len(match)) {
			return true
		}
	}
}

// isInWord reports whether a place is between two characters of one word.
func isInWord(text string, at int) bool {
	return at > 0 && at < len(text) && isWord(text[at-1]) && isWord(text[at])
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z'
}
