package login

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// An Authenticator checks user names and passwords for every entrance alike.
type Authenticator struct {
	Store  *store.Store
	Hasher *Hasher
	Now    func() time.Time
	// Sleep waits, or returns early with the context's error.
	Sleep func(ctx context.Context, wait time.Duration) error

	lanes lanes
}

// ErrWrong is the one refusal of a name and password: no such user, a wrong
// password, a disabled user, a user without a password.
var ErrWrong = errors.New("login: user name or password is wrong")

// The limits on guessing. Attempts are counted before the password is checked
// and taken back when it was right.
var (
	// perAccount catches guessing at one account from one network: it refuses, for
	// minutes, and only there.
	perAccount = store.Limit{Burst: 8, Interval: 30 * time.Second}
	// perDevice is the budget of a browser that this user has signed in with; no
	// stranger can use it up.
	perDevice = store.Limit{Burst: 10, Interval: 20 * time.Second}
	// everywhere is far larger and only delays: it slows a distributed guess at one
	// account without locking its owner out.
	everywhere = store.Limit{Burst: 100, Interval: time.Minute}
	// perAddress slows an address that has failed a hundred times in ten minutes.
	perAddress = store.Limit{Burst: 100, Interval: 6 * time.Second}
)

// delay is how long an attempt waits whose account or address is under attack.
const delay = 2 * time.Second

// An Attempt is one try to sign in.
type Attempt struct {
	Username string
	Password string
	Device   string // id of a device known for this very user; "" when unknown
	// DeviceOf, when set, finds Device once it is known whose name it is.
	DeviceOf func(usernameKey string) string
}

// Check returns the user whose name and password these are, or ErrWrong; too
// many tries are refused with 429, a full queue with 503. A name is normalised
// first, and a verified address stands for the name of its user, so all of them share
// one account and one bucket.
func (a *Authenticator) Check(ctx context.Context, try Attempt) (user *store.User, err error) {
	web.EventOf(ctx).SignIn = web.PasswordSignIn
	key, err := a.key(ctx, try.Username)
	if err != nil {
		return nil, err
	}
	if try.DeviceOf != nil && key != "" {
		try.Device = try.DeviceOf(key)
	}
	if len(try.Password) > MaxPassword {
		try.Password = ""
	}
	first := firstBucket(ctx, key, try.Device)
	leave, err := a.enter(ctx, first.name, laneWidth)
	if err != nil {
		return nil, err
	}
	defer func() { leave(isAway(ctx, err)) }()
	counted, crowded, err := a.count(ctx, key, first)
	if err != nil {
		return nil, a.takeBack(ctx, counted, err)
	}
	if crowded != "" {
		pass, slow := a.slowDown(ctx, crowded)
		if slow != nil {
			return nil, a.takeBack(ctx, counted, slow)
		}
		defer func() { pass(isAway(ctx, err)) }()
	}
	if user, err = a.judge(ctx, key, try.Password); !errors.Is(err, ErrWrong) {
		err = a.takeBack(ctx, counted, err) // right, or never judged
	}
	return user, err
}

// key is what all names of one account share: the key of the user name that somebody
// typed, or of the user whose verified address it is. What is no address asks the
// database nothing; whether somebody has an address takes no other way than that nobody
// has it.
func (a *Authenticator) key(ctx context.Context, typed string) (string, error) {
	key, err := UsernameKey(typed)
	if err != nil {
		key = "" // a name that nobody can have: checked and counted all the same
	}
	if address := strings.TrimSpace(typed); IsEmail(address) {
		user, err := a.Store.UserBySignIn(ctx, key, address)
		if err == nil {
			return user.UsernameKey, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return "", err
		}
	}
	return key, nil
}

// takeBack forgives an attempt that came to err. While the database does not answer it
// would only make the caller wait as long again.
func (a *Authenticator) takeBack(ctx context.Context, counted []bucket, err error) error {
	if isAway(ctx, err) {
		return err
	}
	return errors.Join(err, a.forgive(ctx, counted))
}

// judge compares the password of a name.
func (a *Authenticator) judge(ctx context.Context, key, password string) (*store.User, error) {
	user, hash, err := a.find(ctx, key)
	if err != nil {
		return nil, err
	}
	match, stale, err := a.Hasher.Check(ctx, hash, password)
	if err != nil {
		return nil, err
	}
	if !match || !user.DisabledAt.IsZero() {
		return nil, ErrWrong
	}
	if stale {
		return user, a.rehash(ctx, user, password)
	}
	return user, nil
}

// find reads the user; a hash of "" stands for nobody.
func (a *Authenticator) find(ctx context.Context, key string) (*store.User, string, error) {
	user, err := a.Store.UserByName(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	return user, user.Password, nil
}

// A bucket is a limit that an attempt was counted against.
type bucket struct {
	name  string
	limit store.Limit
}

// firstBucket is the one that refuses when it is full: a known device has a
// budget of its own, everybody else shares the account's in their network.
func firstBucket(ctx context.Context, key, device string) bucket {
	if device != "" {
		return bucket{store.Bucket("login device", key, device), perDevice}
	}
	return bucket{store.Bucket("login", key, web.Network(web.EventOf(ctx).Address)), perAccount}
}

// enter waits for a place in a lane.
func (a *Authenticator) enter(ctx context.Context, name string, width int) (leave func(away bool), err error) {
	leave, err = a.lanes.enter(ctx, name, width)
	if errors.Is(err, errLaneFull) {
		return nil, web.TooManyRequests(delay, err)
	}
	if err != nil {
		return nil, web.Busy(delay, err)
	}
	return leave, nil
}

// slowDown holds an attempt up whose account or address is under attack, and
// then judges those of one address or account one at a time: however many an
// attacker sends, the others keep their share of the slots.
func (a *Authenticator) slowDown(ctx context.Context, crowded string) (leave func(away bool), err error) {
	if err := a.Sleep(ctx, delay); err != nil {
		return nil, web.Busy(delay, err)
	}
	return a.enter(ctx, "slow "+crowded, 1)
}

// count notes the attempt before it is made. Behind the bucket that refuses
// stand two large ones that only slow strangers down; crowded names the one that
// was full.
func (a *Authenticator) count(ctx context.Context, key string, first bucket) (counted []bucket, crowded string, err error) {
	wait, err := a.Store.Attempt(ctx, first.name, first.limit, a.Now())
	switch {
	case err != nil:
		return nil, "", err
	case wait > 0:
		return nil, "", web.TooManyRequests(wait, errors.New("too many attempts to sign in to one account"))
	}
	counted = []bucket{first}
	if first.limit == perDevice {
		return counted, "", nil
	}
	address := source(web.EventOf(ctx).Address)
	for _, b := range []bucket{{store.Bucket("login account", key), everywhere}, {store.Bucket("login address", address), perAddress}} {
		wait, err := a.Store.Attempt(ctx, b.name, b.limit, a.Now())
		if err != nil {
			return counted, "", err
		}
		if wait > 0 {
			crowded = b.name
			continue
		}
		counted = append(counted, b)
	}
	return counted, crowded, nil
}

// source is what an address is counted by: an IPv4 address by itself, an IPv6
// one by its /64, all of which one machine has for the taking.
func source(address string) string {
	if strings.Contains(address, ":") {
		return web.Network(address)
	}
	return address
}

// forgive takes an attempt back that was right, or that was never judged, also
// when its caller did not wait for the answer.
func (a *Authenticator) forgive(ctx context.Context, counted []bucket) error {
	for _, b := range counted {
		if err := a.Store.Forgive(context.WithoutCancel(ctx), b.name, b.limit); err != nil {
			return err
		}
	}
	return nil
}

// rehash brings the hash of a password that was right to today's cost.
func (a *Authenticator) rehash(ctx context.Context, user *store.User, password string) error {
	hash, err := a.Hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	return a.Store.Rehash(ctx, user.ID, user.Password, hash)
}
