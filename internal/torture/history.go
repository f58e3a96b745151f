package torture

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Kind is what a request asks for.
type Kind string

// The kinds of requests.
const (
	Page              Kind = "page"      // a step of a sign-in
	Authorize         Kind = "authorize" // a code, with a session
	ClientToken       Kind = "client token"
	Redeem            Kind = "redeem"
	Refresh           Kind = "refresh"
	RevokeGrant       Kind = "revoke grant" // by a refresh token
	RevokeAccess      Kind = "revoke access"
	IntrospectAccess  Kind = "introspect access"
	IntrospectRefresh Kind = "introspect refresh"
)

// An Answer is what became of a request, as far as its sender knows.
type Answer string

// The answers.
const (
	Unheard  Answer = "unheard" // nobody listened: it was not done
	Lost     Answer = "lost"    // none came: it may have been done
	Away     Answer = "away"    // 503: it may have been done
	Done     Answer = "done"    // 200 or 303, with what was asked for
	Refused  Answer = "refused" // invalid_grant
	Active   Answer = "active"
	Inactive Answer = "inactive"
	Odd      Answer = "odd" // never right
)

// An Operation is one request with its answer.
type Operation struct {
	Grant        int // number of the grant it is about; 0 is none
	Kind         Kind
	Replica      int
	Began, Ended time.Duration // since the history began, by a clock that never steps
	Token        string        // the code or token it presents
	Answer       Answer
	Status       int // of HTTP; 0 when there was none
	RetryAfter   string
	Code         string // what it was given
	Refresh      string
	Access       string
	Detail       string // for whoever reads a verdict
}

// A Grant is what is known about a grant beside its operations.
type Grant struct {
	Client       string
	Grace        time.Duration // how long the previous refresh token gives the same successor
	CodeLifetime time.Duration
}

// A Fault is something that was broken.
type Fault struct {
	Name     string
	Replicas []int         // whom it touches
	Stopped  bool          // their processes ended
	Began    time.Duration // as in Operation
	Healed   time.Duration // nothing is broken any more
	Ended    time.Duration // they have said that they are ready
}

// A Probe is a request that needs no database, asked all the time. It tells how
// quick the machine itself was.
type Probe struct {
	Replica      int
	Began, Ended time.Duration
	Status       int // 0 when no answer came
}

// A History is everything that happened.
type History struct {
	mu         sync.Mutex
	start      time.Time
	Grants     map[int]Grant
	Operations []Operation
	Faults     []Fault
	Probes     []Probe

	byGrant map[int][]Operation // each in the order of its beginnings; made by Judge
}

// NewHistory begins a history now.
func NewHistory() *History { return &History{start: time.Now(), Grants: map[int]Grant{}} }

// Now is the time since the history began.
func (h *History) Now() time.Duration { return time.Since(h.start) }

// Grant gives a new grant its number.
func (h *History) Grant(g Grant) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	number := len(h.Grants) + 1
	h.Grants[number] = g
	return number
}

// Add writes an operation down.
func (h *History) Add(o Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Operations = append(h.Operations, o)
}

// AddFault writes a fault down.
func (h *History) AddFault(f Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Faults = append(h.Faults, f)
}

// AddProbe writes a probe down.
func (h *History) AddProbe(p Probe) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Probes = append(h.Probes, p)
}

// forever is later than anything.
const forever = time.Duration(math.MaxInt64)

// touches reports whether a fault has to do with a replica.
func (f *Fault) touches(replica int) bool { return slices.Contains(f.Replicas, replica) }

// settles is when a redemption that was answered without knowing its outcome must
// have been undone: its server was at peace for long enough. forever, when that
// server ended before.
func (h *History) settles(o *Operation) time.Duration {
	at := o.Ended
	for i := range h.Faults { // in the order of their beginnings
		f := &h.Faults[i]
		if !f.touches(o.Replica) || f.Ended < at {
			continue
		}
		if f.Began > at+settled {
			break
		}
		if f.Stopped {
			return forever
		}
		at = max(at, f.Ended)
	}
	return at + settled
}

// lag is how slow the machine itself was with a replica at a time.
func (h *History) lag(replica int, from, to time.Duration) (lag time.Duration) {
	for _, p := range h.Probes {
		if p.Replica == replica && p.Ended >= from && p.Began <= to {
			lag = max(lag, p.Ended-p.Began)
		}
	}
	return lag
}

// tellAll writes the operations of a grant and the faults around them for a reader.
func (h *History) tellAll(grant int) string {
	var lines []string
	from, to := forever, time.Duration(0)
	names := h.names(grant)
	for _, o := range h.byGrant[grant] {
		from, to = min(from, o.Began), max(to, o.Ended)
		lines = append(lines, tell(o, names))
	}
	lines = append(lines, h.tellFaults(from, to)...)
	slices.Sort(lines)
	g := h.Grants[grant]
	return fmt.Sprintf("grant %d of %s (grace %v):\n%s", grant, g.Client, g.Grace, strings.Join(lines, "\n"))
}

// tellFaults writes what was broken at a time.
func (h *History) tellFaults(from, to time.Duration) (lines []string) {
	for _, f := range h.Faults {
		if f.Ended >= from && f.Began <= to {
			lines = append(lines, fmt.Sprintf("%10.3f %10.3f  ~ %s at %v until %.3f", f.Began.Seconds(), f.Ended.Seconds(), f.Name, f.Replicas, f.Healed.Seconds()))
		}
	}
	return lines
}

func tell(o Operation, names map[string]string) string {
	line := fmt.Sprintf("%10.3f %10.3f  %d %s", o.Began.Seconds(), o.Ended.Seconds(), o.Replica, o.Kind)
	if o.Token != "" {
		line += " " + names[o.Token]
	}
	line += ": " + string(o.Answer)
	for _, got := range []string{o.Code, o.Refresh, o.Access} {
		if got != "" {
			line += " " + names[got]
		}
	}
	if o.Detail != "" {
		line += " (" + o.Detail + ")"
	}
	return line
}

// sort puts everything in order for the judge.
func (h *History) sort() {
	slices.SortStableFunc(h.Faults, func(a, b Fault) int { return int(a.Began - b.Began) })
	slices.SortStableFunc(h.Operations, func(a, b Operation) int { return int(a.Began - b.Began) })
	h.byGrant = map[int][]Operation{}
	for _, o := range h.Operations {
		h.byGrant[o.Grant] = append(h.byGrant[o.Grant], o)
	}
}

// names gives what a grant's operations have given out short names, in the order in
// which it came.
func (h *History) names(grant int) map[string]string {
	operations := slices.Clone(h.byGrant[grant])
	slices.SortStableFunc(operations, func(a, b Operation) int { return int(a.Ended - b.Ended) })
	names, refresh, access := map[string]string{}, 0, 0
	for _, o := range operations {
		if o.Code != "" {
			names[o.Code] = "code"
		}
		if o.Refresh != "" && names[o.Refresh] == "" {
			names[o.Refresh] = fmt.Sprint("r", refresh)
			refresh++
		}
		if o.Access != "" && names[o.Access] == "" {
			names[o.Access] = fmt.Sprint("a", access)
			access++
		}
	}
	return names
}

// Sum tells how many requests of each kind had which answer.
func (h *History) Sum() string {
	counts := map[string]int{}
	for _, o := range h.Operations {
		counts[string(o.Kind)+" "+string(o.Answer)]++
	}
	var lines []string
	for name, n := range counts {
		lines = append(lines, fmt.Sprintf("%s: %d", name, n))
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}
