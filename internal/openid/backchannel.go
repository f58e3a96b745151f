package openid

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/store"
)

// A Backchannel tells clients, from server to server, that a session has ended in which
// they took part, OpenID Connect Back-Channel Logout 1.0. The database knows what is to
// be told; whoever signs out waits for nobody.
type Backchannel struct {
	Store  *store.Store
	Issuer *issuer.Issuer
	// Post sends a form to an address that a client has registered, and returns the
	// status of the answer.
	Post func(ctx context.Context, address string, form url.Values) (status int, err error)
	Now  func() time.Time
	Log  *slog.Logger

	once    sync.Once
	places  chan struct{} // one for each notice on its way
	running sync.WaitGroup

	mu   sync.Mutex
	deaf map[string]time.Time // clients that do not answer, and until when that is taken for granted
}

// maxUnderWay is how many notices are on their way at once, so that clients that do not
// answer cost no more than that.
const maxUnderWay = 32

// deafness is how long a client that did not answer is not gone to: a thousand sessions of
// it, ended at once, would keep every place for as long as they all take.
const deafness = 5 * time.Second

// waits are the times between the attempts to tell a client. When they are used up it
// is not told.
var waits = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour}

// Deliver sends what is due. It does not wait for the answers, and so nobody for a
// client that is slow.
func (b *Backchannel) Deliver(ctx context.Context) error {
	b.once.Do(func() { b.places = make(chan struct{}, maxUnderWay) })
	for {
		select {
		case b.places <- struct{}{}: // there is room for one at least
		case <-ctx.Done():
			return nil
		}
		room := maxUnderWay - len(b.places) + 1
		<-b.places
		notices, err := b.Store.ClaimLogoutNotices(ctx, b.Now(), room)
		if err != nil {
			return err
		}
		for _, n := range notices {
			b.places <- struct{}{}
			b.running.Go(func() {
				defer func() { <-b.places }()
				b.tell(ctx, n)
			})
		}
		if len(notices) == 0 { // fewer than there is room for tells nothing: another server may have taken the others
			return nil
		}
	}
}

// Wait waits for what Deliver has begun. Its context must have ended, or this takes as
// long as clients take to answer.
func (b *Backchannel) Wait() { b.running.Wait() }

// tell sends one notice and writes down what came of it.
func (b *Backchannel) tell(ctx context.Context, n store.LogoutNotice) {
	log := b.Log.With("client", n.ClientID, "user", n.UserID, "attempt", n.Attempts)
	outcome, cause := b.send(ctx, n)
	if ctx.Err() != nil && outcome == toldLater {
		return // this server stops; another one, or the next, tells the client
	}
	ctx = context.WithoutCancel(ctx)
	var err error
	switch {
	case outcome == toldLater && int(n.Attempts) <= len(waits):
		log.Info("a client could not be told of a sign-out, and will be tried again", "cause", cause)
		err = b.Store.PostponeLogoutNotice(ctx, n, b.Now().Add(waits[n.Attempts-1]))
	case outcome == toldNever, outcome == toldLater:
		log.Warn("a client was not told of a sign-out", "cause", cause)
		err = b.Store.SettleLogoutNotice(ctx, n)
	default:
		err = b.Store.SettleLogoutNotice(ctx, n)
	}
	if err != nil {
		log.Error("what came of telling a client of a sign-out could not be written", "cause", err)
	}
}

// An outcome is what came of an attempt.
type outcome int

const (
	told      outcome = iota // or nothing to tell any more
	toldLater                // the next attempt may go better
	toldNever                // the client has refused it
)

// send makes one attempt, Section 2.5.
func (b *Backchannel) send(ctx context.Context, n store.LogoutNotice) (outcome, error) {
	c, err := b.Store.KnownClient(ctx, n.ClientID, b.Now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return told, nil
	case err != nil:
		return toldLater, err
	case !c.DisabledAt.IsZero() || c.Metadata.BackchannelLogoutURI == "":
		return told, nil
	}
	if b.isDeaf(c.ID) {
		return toldLater, errors.New("it did not answer a moment ago")
	}
	if err := b.Issuer.Ring.MakeFor(ctx, &c.Metadata); err != nil {
		return toldLater, err
	}
	token, err := b.Issuer.LogoutToken(c.ID, &c.Metadata, n.UserID, n.SID)
	if err != nil {
		return toldLater, err
	}
	status, err := b.Post(ctx, c.Metadata.BackchannelLogoutURI, url.Values{"logout_token": {token}})
	switch {
	case err != nil:
		b.noteDeaf(c.ID)
		return toldLater, err
	case status == http.StatusOK, status == http.StatusNoContent: // Section 2.8
		return told, nil
	case status == http.StatusBadRequest:
		return toldNever, errors.New("it has refused the logout token")
	}
	return toldLater, fmt.Errorf("it has answered with status %d", status)
}

// isDeaf reports whether a client did not answer a moment ago.
func (b *Backchannel) isDeaf(clientID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	until, known := b.deaf[clientID]
	if known && !b.Now().Before(until) {
		delete(b.deaf, clientID)
	}
	return b.Now().Before(until)
}

func (b *Backchannel) noteDeaf(clientID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deaf == nil {
		b.deaf = map[string]time.Time{}
	}
	b.deaf[clientID] = b.Now().Add(deafness)
}
