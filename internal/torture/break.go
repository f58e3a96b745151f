package torture

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
)

// A Breaker breaks what servers stand on, and mends it again.
type Breaker struct {
	Fleet    *Fleet
	History  *History
	Database *dbtest.Server // of a fleet on PostgreSQL
	Seed     uint64

	rng   *rand.Rand
	done  atomic.Int64
	kinds sync.Map // of faults that have happened
}

// A Breakage is one way to break something.
type Breakage struct {
	Name     string
	Replicas []*Replica // whom it touches
	Stops    bool       // their processes end
	Length   time.Duration
	Hurt     func() error
	Heal     func() error
}

// Break breaks so many things, one after another and now and then two at once, with
// pauses between.
func (b *Breaker) Break(t testing.TB, faults int) {
	t.Helper()
	if b.rng == nil {
		b.rng = rand.New(rand.NewPCG(b.Seed, 1<<32))
	}
	for end := int(b.done.Load()) + faults; int(b.done.Load()) < end; {
		for _, err := range b.round() {
			if err != nil {
				t.Error(err)
				return
			}
		}
		if !pause(t.Context(), b.upTo(2*time.Second)) {
			return
		}
	}
}

// Kinds are how many different ways of breaking were used.
func (b *Breaker) Kinds() (n int) {
	b.kinds.Range(func(any, any) bool { n++; return true })
	return n
}

// Faults are how many things were broken.
func (b *Breaker) Faults() int { return int(b.done.Load()) }

func (b *Breaker) upTo(most time.Duration) time.Duration {
	return time.Duration(b.rng.Int64N(int64(most)))
}

// round is one thing broken, or two at once.
func (b *Breaker) round() []error {
	order := b.rng.Perm(len(b.Fleet.Replicas))
	faults := []Breakage{b.anything(b.Fleet.Replicas[order[0]])}
	if len(order) > 1 && b.rng.IntN(4) == 0 {
		faults = append(faults, b.ofOne(b.Fleet.Replicas[order[1]]))
	}
	errs := make([]error, len(faults))
	var breaking sync.WaitGroup
	for i, f := range faults {
		breaking.Go(func() { errs[i] = b.Do(f) })
	}
	breaking.Wait()
	return errs
}

// Do breaks something, mends it, and waits until service is back.
func (b *Breaker) Do(f Breakage) error {
	b.done.Add(1)
	b.kinds.Store(f.Name, true)
	entry := Fault{Name: f.Name, Stopped: f.Stops, Began: b.History.Now()}
	for _, r := range f.Replicas {
		entry.Replicas = append(entry.Replicas, r.Number)
	}
	if err := f.Hurt(); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	time.Sleep(f.Length)
	if err := f.Heal(); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	entry.Healed = b.History.Now()
	for _, r := range f.Replicas {
		if err := r.supervise(); err != nil {
			return fmt.Errorf("after %s: %w", f.Name, err)
		}
	}
	entry.Ended = b.History.Now()
	b.History.AddFault(entry)
	return nil
}

// supervise waits until a server is ready, and launches it again when it could not
// start because what it stands on was broken: whoever runs servers does that.
func (r *Replica) supervise() error {
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := r.AwaitReady()
		if err == nil || !strings.Contains(err.Error(), "the server ended") || time.Since(began) > readyPatience {
			return err
		}
		if err := r.Launch(); err != nil {
			return err
		}
	}
}

// anything is any fault there is.
func (b *Breaker) anything(r *Replica) Breakage {
	if b.Database != nil && b.rng.IntN(3) == 0 {
		return b.ofAll()
	}
	return b.ofOne(r)
}

// ofOne is a fault of one server, or of its way to the database.
func (b *Breaker) ofOne(r *Replica) Breakage {
	faults := []func(*Replica) Breakage{b.kill, b.kill, b.terminate, b.killTwice}
	if r.Proxy != nil {
		faults = append(faults, b.cut, b.refuse, b.hang, b.delay, b.loseAnswer, b.loseAnswer, b.loseAnswer, b.loseAnswer, b.loseAnswer, b.loseStatement)
	}
	f := faults[b.rng.IntN(len(faults))](r)
	f.Replicas = []*Replica{r}
	return f
}

func (b *Breaker) kill(r *Replica) Breakage {
	return Breakage{Name: "kill -9", Stops: true, Length: b.upTo(500 * time.Millisecond),
		Hurt: func() error { r.Kill(); return nil }, Heal: r.Launch}
}

func (b *Breaker) killTwice(r *Replica) Breakage {
	wait := b.upTo(80 * time.Millisecond)
	return Breakage{Name: "kill -9, again while it starts", Stops: true, Length: wait, Heal: r.Launch, Hurt: func() error {
		r.Kill()
		if err := r.Launch(); err != nil {
			return err
		}
		time.Sleep(wait)
		r.Kill()
		return nil
	}}
}

func (b *Breaker) terminate(r *Replica) Breakage {
	return Breakage{Name: "SIGTERM", Stops: true, Length: b.upTo(300 * time.Millisecond), Hurt: r.Terminate, Heal: r.Launch}
}

func (b *Breaker) cut(r *Replica) Breakage {
	return Breakage{Name: "connections cut", Hurt: func() error { r.Proxy.Cut(); return nil }, Heal: func() error { return nil }}
}

// healed is the end of a fault of a proxy.
func healed(r *Replica) func() error {
	return func() error { r.Proxy.Heal(); return nil }
}

func (b *Breaker) refuse(r *Replica) Breakage {
	return Breakage{Name: "database refuses", Length: b.upTo(3 * time.Second), Heal: healed(r),
		Hurt: func() error { r.Proxy.Refuse(); return nil }}
}

func (b *Breaker) hang(r *Replica) Breakage {
	return Breakage{Name: "database hangs", Length: b.upTo(6 * time.Second), Heal: healed(r),
		Hurt: func() error { r.Proxy.Hang(); return nil }}
}

func (b *Breaker) delay(r *Replica) Breakage {
	delay := []time.Duration{20 * time.Millisecond, 300 * time.Millisecond, time.Second, 5 * time.Second}[b.rng.IntN(4)]
	return Breakage{Name: fmt.Sprintf("database delayed by %v", delay), Length: b.upTo(4 * time.Second), Heal: healed(r),
		Hurt: func() error { r.Proxy.Delay(delay); return nil }}
}

// statements are those whose fate it is good to be unsure of.
var statements = []string{
	"SET redeemed_at = $3", "SET redeemed_at = $3", "SET redeemed_at = $3", "SET redeemed_at = $3", "SET redeemed_at = $3", "SET redeemed_at = $3",
	"SET generation", "SET generation", "SET revoked_at", "INSERT INTO revoked_token", "INSERT INTO oauth_grant", "COMMIT",
}

func (b *Breaker) loseAnswer(r *Replica) Breakage {
	statement := statements[b.rng.IntN(len(statements))]
	return b.trap("answer lost: "+statement, r, func() <-chan struct{} { return r.Proxy.LoseAnswer(statement) })
}

func (b *Breaker) loseStatement(r *Replica) Breakage {
	statement := statements[b.rng.IntN(len(statements))]
	return b.trap("statement lost: "+statement, r, func() <-chan struct{} { return r.Proxy.LoseStatement(statement) })
}

// trap waits until a statement has met its fate. Mostly the database is then away
// for long enough that the request cannot find out about it.
func (b *Breaker) trap(name string, r *Replica, set func() <-chan struct{}) Breakage {
	stay := b.rng.IntN(3) > 0
	length := time.Duration(0)
	if stay {
		name, length = name+", and the database is away", 2500*time.Millisecond+b.upTo(time.Second)
	}
	return Breakage{Name: name, Length: length, Heal: healed(r), Hurt: func() error {
		select {
		case <-set():
			if stay {
				r.Proxy.Refuse()
			}
		case <-time.After(5 * time.Second): // nobody sent it
		}
		return nil
	}}
}

// ofAll is a fault of the database itself.
func (b *Breaker) ofAll() Breakage {
	f := b.pauseAll()
	if b.rng.IntN(2) == 0 {
		f = b.restart()
	}
	f.Replicas = b.Fleet.Replicas
	return f
}

func (b *Breaker) restart() Breakage {
	modes := map[dbtest.StopMode]string{dbtest.Fast: "fast", dbtest.Immediate: "immediate", dbtest.Kill: "kill -9"}
	mode := dbtest.StopMode(b.rng.IntN(len(modes)))
	return Breakage{Name: "database restarted, " + modes[mode], Length: b.upTo(3 * time.Second),
		Hurt: func() error { return b.Database.Stop(mode) }, Heal: b.Database.Restart}
}

func (b *Breaker) pauseAll() Breakage {
	return Breakage{Name: "database frozen", Length: b.upTo(6 * time.Second), Hurt: b.Database.Pause, Heal: b.Database.Resume}
}
