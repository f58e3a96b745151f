package torture

import (
	"fmt"
	"strings"
	"time"
)

// A state is what a grant may look like to the server at one moment.
type state struct {
	by      int  // event that redeemed the code; none while it is pending
	newest  int  // generation of the newest refresh token
	rotated int  // event by which that came
	undone  int  // redemption that was taken back last; none
	revoked bool // the whole grant
	dead    set  // access tokens that were revoked by themselves
}

// none stands for no event.
const none = -1

// maxEvents is how many events of one grant can be judged.
const maxEvents = 256

// A set holds numbers below maxEvents.
type set [maxEvents / 64]uint64

func (s set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

func (s set) with(i int) set {
	s[i/64] |= 1 << (i % 64)
	return s
}

// An event is what an operation may have done to its grant, at one moment between
// its beginning and its end.
type event struct {
	Operation
	until      time.Duration // forever when nobody knows its end
	maybe      bool          // it may not have happened at all
	undoes     int           // the redemption that it takes back; none
	settles    time.Duration // when this redemption must have been taken back
	shaken     bool          // its server had reason to lose the answer of the database
	generation int           // of the refresh token presented
	access     int           // number of the access token presented
}

// A model is one grant: what happened to it, and what can have.
type model struct {
	Grant
	issued Operation // of the code
	events []event
}

// newModel reads the operations of a grant, and returns what can be said to be wrong
// with them without looking for an order.
func newModel(h *History, grant int) (m *model, wrong []string) {
	m = &model{Grant: h.Grants[grant]}
	t := tokens{generation: map[string]int{}, access: map[string]int{}}
	for _, o := range h.byGrant[grant] {
		wrong = append(wrong, t.learn(o)...)
		switch {
		case o.Kind == Authorize:
			m.issued = o
		case o.Answer != Unheard:
			m.add(h, o, t)
		}
	}
	if len(m.events) > maxEvents {
		wrong = append(wrong, fmt.Sprintf("%d events of one grant are too many to be judged", len(m.events)))
	}
	return m, wrong
}

// add makes the events of an operation.
func (m *model) add(h *History, o Operation, t tokens) {
	e := event{Operation: o, until: o.Ended, undoes: none, settles: forever, generation: t.generation[o.Token], access: t.access[o.Token]}
	if o.Answer != Lost && o.Answer != Away {
		e.shaken = h.disturbed(o.Replica, o.Began, o.Ended)
		m.events = append(m.events, e)
		return
	}
	e.until, e.maybe = forever, true
	switch o.Kind {
	case Redeem:
		if o.Answer == Away {
			e.settles = h.settles(&o)
		}
		m.events = append(m.events, e)
		e.undoes = len(m.events) - 1
		m.events = append(m.events, e)
	case Refresh, RevokeGrant, RevokeAccess:
		m.events = append(m.events, e)
	}
}

// tokens are what a grant has given out, by number.
type tokens struct{ generation, access map[string]int }

// learn notes what an operation was given. It sees operations in the order of their
// beginnings, and nobody presents what he has not got.
func (t tokens) learn(o Operation) (wrong []string) {
	if o.Access != "" {
		if _, known := t.access[o.Access]; known {
			wrong = append(wrong, "one access token was given out twice")
		}
		t.access[o.Access] = len(t.access)
	}
	if o.Refresh == "" {
		return wrong
	}
	generation := 0
	if o.Kind == Refresh {
		generation = t.generation[o.Token] + 1
	}
	for token, of := range t.generation {
		switch {
		case token == o.Refresh && of != generation:
			wrong = append(wrong, fmt.Sprintf("one refresh token is that of generation %d and %d", of, generation))
		case token != o.Refresh && of == generation && o.Kind == Redeem:
			wrong = append(wrong, "one code was redeemed twice")
		case token != o.Refresh && of == generation:
			wrong = append(wrong, fmt.Sprintf("there are two refresh tokens of generation %d", generation))
		}
	}
	t.generation[o.Refresh] = generation
	return wrong
}

// next lists what the grant can look like after an event; nothing, when the event
// cannot have happened in this state with the answer that it has.
func (m *model) next(s state, i int) []state {
	e := &m.events[i]
	if s.by != none && !s.revoked && e.Began > m.events[s.by].settles {
		return nil // the redemption should have been taken back by then
	}
	switch e.Kind {
	case ClientToken:
		return only(s.by == none, s.redeemed(i))
	case Redeem:
		return m.redeem(s, i)
	case Refresh:
		return m.refresh(s, i)
	case RevokeGrant:
		return only(e.Answer != Refused, s.revoke())
	case RevokeAccess:
		s.dead = s.dead.with(e.access)
		return only(e.Answer != Refused, s)
	case IntrospectAccess:
		live := s.by != none && !s.revoked && !s.dead.has(e.access)
		return only(live == (e.Answer == Active), s)
	case IntrospectRefresh:
		return m.introspectRefresh(s, e)
	}
	return nil
}

func only(possible bool, s state) []state {
	if !possible {
		return nil
	}
	return []state{s}
}

func (s state) redeemed(by int) state {
	s.by, s.newest, s.rotated = by, 0, by
	return s
}

func (s state) revoke() state {
	s.revoked = true
	return s
}

// redeem is a code that is presented: the first time it is spent, and a second time
// ends what came of it.
func (m *model) redeem(s state, i int) []state {
	e := &m.events[i]
	switch {
	case e.undoes != none:
		possible := s.by == e.undoes && s.rotated == e.undoes && !s.revoked
		s.by, s.undone = none, e.undoes
		return only(possible, s)
	case e.Answer == Done || e.maybe && s.by == none:
		possible := s.by == none && !s.revoked && e.Began < m.issued.Ended+m.CodeLifetime
		return only(possible, s.redeemed(i))
	case s.revoked:
		return only(e.Answer == Refused, s)
	case s.by != none:
		return []state{s.revoke()}
	}
	var found []state
	if e.Ended >= m.issued.Began+m.CodeLifetime-time.Second { // whole seconds are kept
		found = append(found, s)
	}
	// It redeemed the code and lost the answer of the database, and before it had asked
	// again another one that brought the code at the same time took it for stolen.
	if e.shaken && m.rivals(i) {
		found = append(found, s.redeemed(i).revoke())
	}
	// It met a redemption that was taken back before it could end the grant.
	if s.undone != none && e.Began <= m.events[s.undone].settles {
		found = append(found, s.revoke())
	}
	return found
}

// rivals reports whether somebody else brought the code while an event lasted.
func (m *model) rivals(i int) bool {
	e := &m.events[i]
	for j := range m.events {
		if other := &m.events[j]; j != i && other.Kind == Redeem && other.Began <= e.until && e.Began <= other.until {
			return true
		}
	}
	return false
}

// refresh is a refresh token that is presented: the newest moves the grant on, the one
// before gives the same successor for a while, and any other is a thief's.
func (m *model) refresh(s state, i int) []state {
	e := &m.events[i]
	if s.revoked {
		return only(e.Answer == Refused, s)
	}
	if s.by == none {
		return nil
	}
	inGrace, late := m.grace(s, e)
	previous := s.newest == e.generation+1
	switch {
	case e.Answer == Refused, e.maybe && s.newest > e.generation:
		return only(s.newest > e.generation+1 || previous && late, s.revoke())
	case s.newest == e.generation:
		s.newest, s.rotated = e.generation+1, i
		return []state{s}
	}
	return only(previous && inGrace, s)
}

func (m *model) introspectRefresh(s state, e *event) []state {
	inGrace, late := m.grace(s, e)
	previous := s.newest == e.generation+1
	if e.Answer == Active {
		return only(s.by != none && !s.revoked && (s.newest == e.generation || previous && inGrace), s)
	}
	return only(s.revoked || s.newest > e.generation+1 || previous && late, s)
}

// grace tells whether the token before the newest may still have been good, and
// whether it may no longer have been. The server keeps whole seconds.
func (m *model) grace(s state, e *event) (inGrace, late bool) {
	if s.rotated == none {
		return true, false
	}
	by := &m.events[s.rotated]
	return e.Began < by.Ended+m.Grace, e.Ended >= by.Began+m.Grace-time.Second
}

// A node is a moment of a possible past: what has happened by then, and what the
// grant looked like.
type node struct {
	done  set
	state state
}

// A search looks for an order of the events in which every answer is right.
type search struct {
	m     *model
	seen  map[node]struct{}
	best  int // how many answers the best order explained
	stuck []int
}

// maxNodes bounds a search. What takes longer is condemned: nobody could check it.
const maxNodes = 1 << 21

// explain returns "" when some order of the events makes every answer right, and
// otherwise what it could not explain.
func (m *model) explain() string {
	s := &search{m: m, seen: map[node]struct{}{}, best: none}
	if s.from(node{state: state{by: none, rotated: none, undone: none}}) {
		return ""
	}
	if len(s.seen) > maxNodes {
		return "there are too many orders to try"
	}
	var names []string
	for _, i := range s.stuck {
		e := m.events[i]
		names = append(names, fmt.Sprintf("%s at %.3f: %s", e.Kind, e.Began.Seconds(), e.Answer))
	}
	return "no order of these requests gives these answers; at best, one cannot go on to: " + strings.Join(names, ", ")
}

// from reports whether the events that are left can be put in order.
func (s *search) from(n node) bool {
	if _, known := s.seen[n]; known || len(s.seen) > maxNodes {
		return false
	}
	s.seen[n] = struct{}{}
	candidates, left := s.candidates(n)
	if left == 0 {
		return true
	}
	s.note(len(s.m.events)-left, candidates)
	for _, i := range candidates {
		// What is right and changes nothing can as well stand here.
		if next := s.m.next(n.state, i); !s.m.events[i].maybe && len(next) == 1 && next[0] == n.state {
			return s.from(node{n.done.with(i), n.state})
		}
	}
	for _, i := range candidates {
		for _, next := range s.m.next(n.state, i) {
			if next != n.state && s.from(node{n.done.with(i), next}) {
				return true
			}
		}
	}
	return false
}

// candidates are the events that may come next: nothing that is left had ended when
// they began. left counts those that must still come.
func (s *search) candidates(n node) (found []int, left int) {
	end := forever
	for i := range s.m.events {
		if e := &s.m.events[i]; !n.done.has(i) && !e.maybe {
			end = min(end, e.until)
			left++
		}
	}
	for i := range s.m.events {
		if !n.done.has(i) && s.m.events[i].Began <= end {
			found = append(found, i)
		}
	}
	return found, left
}

// note remembers how far the best order came.
func (s *search) note(explained int, candidates []int) {
	if explained <= s.best {
		return
	}
	s.best, s.stuck = explained, nil
	for _, i := range candidates {
		if !s.m.events[i].maybe {
			s.stuck = append(s.stuck, i)
		}
	}
}
