package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A kind is one kind of request. next makes one, for worker number w; answered is
// told the answer, for requests that build on the one before.
type kind struct {
	name     string
	floor    bool
	address  string
	next     func(w int) url.Values // nil: a GET
	answered func(w int, body []byte)
}

// kinds lists what is measured. Clients and grants are picked at random, so that
// no cache is flattered.
func kinds(d *data, floor, hufu string) []kind {
	var code atomic.Int64
	tokens := make([]held, 4096) // refresh tokens by worker, moved on as they rotate
	seen := make([]string, 4096)
	return []kind{
		{name: "floor", floor: true, address: floor, next: func(int) url.Values { return credentials(0, "grant_type", "client_credentials") }},
		{name: "client credentials, JWT", address: hufu + "/token", next: func(int) url.Values { return credentials(d.pick(false), "grant_type", "client_credentials") }},
		{name: "client credentials, opaque", address: hufu + "/token", next: func(int) url.Values { return credentials(d.pick(true), "grant_type", "client_credentials") }},
		{name: "refresh, JWT, rotating", address: hufu + "/token", next: func(w int) url.Values {
			// Each worker has its own slice of the grants, so that no two refresh one.
			i := w + 64*rand.IntN(len(d.refresh)/64)
			tokens[w] = held{i, ""}
			return credentials(d.refresh[i].client, "grant_type", "refresh_token", "refresh_token", d.refresh[i].text)
		}, answered: func(w int, body []byte) { d.refresh[tokens[w].client].text = member(body, "refresh_token") }},
		{name: "code exchange, JWT", address: hufu + "/token", next: func(int) url.Values {
			i := code.Add(1) - 1
			if i >= int64(len(d.codes)) {
				return nil
			}
			return credentials(d.codes[i].client, "grant_type", "authorization_code", "redirect_uri", redirectURI, "code", d.codes[i].text)
		}},
		{name: "introspection, seen before", address: hufu + "/introspect", next: func(w int) url.Values {
			c := w % d.clients
			if isOpaque(c) {
				c--
			}
			if seen[w] == "" {
				seen[w] = fetchToken(hufu+"/token", credentials(c, "grant_type", "client_credentials"))
			}
			return credentials(c, "token", seen[w])
		}},
		{name: "metadata", address: hufu + "/.well-known/oauth-authorization-server"},
		{name: "keys", address: hufu + "/jwks"},
	}
}

// pick chooses a client at random.
func (d *data) pick(opaque bool) int {
	for {
		if i := rand.IntN(d.clients); isOpaque(i) == opaque {
			return i
		}
	}
}

func credentials(client int, pairs ...string) url.Values {
	form := url.Values{"client_id": {clientOf(client)}, "client_secret": {secretOf(client)}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

func member(body []byte, name string) string {
	var members map[string]any
	_ = json.Unmarshal(body, &members)
	text, _ := members[name].(string)
	return text
}

func fetchToken(address string, form url.Values) string {
	r, err := http.PostForm(address, form) //nolint:noctx // once per worker
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	return member(body, "access_token")
}

// A result is one cell of the table.
type result struct {
	rate     float64 // requests a second
	p50, p99 time.Duration
	cpu      float64 // microseconds of the server process a request
}

// drive sends one kind of request over so many kept connections for a while.
func drive(k kind, connections int, span time.Duration, server *process) (result, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	var failure atomic.Pointer[error]
	work := func(until time.Time) []time.Duration {
		var mu sync.Mutex
		var all []time.Duration
		var group sync.WaitGroup
		for w := range connections {
			group.Go(func() {
				times, err := repeat(k, w, client, until)
				if err != nil {
					failure.Store(&err)
				}
				mu.Lock()
				all = append(all, times...)
				mu.Unlock()
			})
		}
		group.Wait()
		return all
	}
	work(time.Now().Add(span / 10)) // warm up
	before, err := server.cpu()
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	times := work(began.Add(span))
	took := time.Since(began)
	after, err := server.cpu()
	if err != nil {
		return result{}, err
	}
	if err := failure.Load(); err != nil {
		return result{}, *err
	}
	if len(times) == 0 {
		return result{}, fmt.Errorf("nothing was left to send; use more -codes or fewer -seconds")
	}
	slices.Sort(times)
	n := float64(len(times))
	return result{rate: n / took.Seconds(), p50: times[len(times)/2], p99: times[len(times)*99/100], cpu: float64((after - before).Microseconds()) / n}, nil
}

// repeat is one worker.
func repeat(k kind, w int, client *http.Client, until time.Time) (times []time.Duration, err error) {
	for time.Now().Before(until) {
		method, body := http.MethodGet, io.Reader(nil)
		if k.next != nil {
			form := k.next(w)
			if form == nil {
				return times, nil
			}
			method, body = http.MethodPost, strings.NewReader(form.Encode())
		}
		r, err := http.NewRequest(method, k.address, body) //nolint:noctx // the client has a timeout
		if err != nil {
			return times, err
		}
		if k.next != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		began := time.Now()
		answer, err := client.Do(r)
		if err != nil {
			return times, err
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		times = append(times, time.Since(began))
		if err != nil || answer.StatusCode != http.StatusOK || bytes.Contains(text, []byte(`"active":false`)) {
			return times, fmt.Errorf("%d %s %w", answer.StatusCode, text, err)
		}
		if k.answered != nil {
			k.answered(w, text)
		}
	}
	return times, nil
}
