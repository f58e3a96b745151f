package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"time"
)

// A conn is one connection that is kept. It knows as much of HTTP/1.1 as this
// server and the floor speak and allocates nothing for a request, so that the
// bench leaves the cores to what it measures.
type conn struct {
	net.Conn
	in []byte
}

func dial(ctx context.Context, address string) (*conn, error) {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{c, make([]byte, 16<<10)}, nil
}

// An answer is what came back. Its texts are good until the next request.
type answer struct {
	status   string // three digits
	head     []byte
	body     []byte // with the marks of its chunks, if it came in chunks
	location []byte // where a redirect leads
}

var (
	endOfHead     = []byte("\r\n\r\n")
	endOfLine     = []byte("\r\n")
	lastChunk     = []byte("0\r\n\r\n")
	contentLength = []byte("\r\nContent-Length: ")
	chunked       = []byte("\r\nTransfer-Encoding: chunked")
	location      = []byte("\r\nLocation: ")
)

// roundTrip sends a request and reads the answer to its end.
func (c *conn) roundTrip(request []byte) (a answer, err error) {
	if _, err := c.Write(request); err != nil {
		return a, err
	}
	head, n := -1, 0
	for {
		if n == len(c.in) {
			c.in = append(c.in, make([]byte, n)...)
		}
		m, err := c.Read(c.in[n:])
		n += m
		if head < 0 {
			head = bytes.Index(c.in[:n], endOfHead)
		}
		if head >= 0 {
			a.head, a.body = c.in[:head+2], c.in[head+4:n]
			if whole, err := a.whole(); whole || err != nil {
				return a, err
			}
		}
		if err != nil {
			return a, err
		}
	}
}

// whole reports whether all of the body is there, and reads the head when it is.
func (a *answer) whole() (bool, error) {
	if len(a.head) < len("HTTP/1.1 200") {
		return false, errors.New("not an answer in HTTP")
	}
	if length := field(a.head, contentLength); length != nil {
		size, err := strconv.Atoi(string(length))
		if err != nil || len(a.body) < size {
			return false, err
		}
	} else if !bytes.Contains(a.head, chunked) {
		return false, errors.New("an answer without Content-Length")
	} else if !bytes.HasSuffix(a.body, lastChunk) {
		return false, nil
	}
	a.status, a.location = string(a.head[9:12]), field(a.head, location)
	return true, nil
}

// field finds the value of a header by its name between line break and value.
func field(head, name []byte) []byte {
	_, rest, found := bytes.Cut(head, name)
	if !found {
		return nil
	}
	value, _, _ := bytes.Cut(rest, endOfLine)
	return value
}

// post appends a form to a request that is being written.
func post(out []byte, path, headers string, parts ...string) []byte {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	out = append(append(out, "POST "...), path...)
	out = append(append(out, " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\n"...), headers...)
	out = append(strconv.AppendInt(append(out, "Content-Length: "...), int64(size), 10), "\r\n\r\n"...)
	for _, part := range parts {
		out = append(out, part...)
	}
	return out
}

// get is a request without a body.
func get(path, headers string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: bench\r\n" + headers + "\r\n")
}
