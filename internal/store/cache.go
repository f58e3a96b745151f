package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// How long a copy of a client is good for after it was last compared with the
// database, and how many copies are kept in each of the two generations.
const (
	maxCacheAge = 5 * time.Second
	maxCached   = 4096
)

// maxChanges is how many changed clients are looked at one by one.
const maxChanges = 1000

// A cache holds copies of clients, so that most requests need not ask for theirs.
// Follow compares it with the database; what decides about a grant is never in it.
type cache struct {
	mu         sync.RWMutex
	young, old map[string]*Client
	version    int64 // counts what made copies invalid: a copy read before is not kept
	revision   int64 // of the database, when it was last compared
	epoch      int64 // of the server
	checked    time.Time

	hits, misses atomic.Int64
}

// get returns a copy, nil when there is none to rely on, and the version to put one
// back under.
func (c *cache) get(id string, now time.Time) (*Client, int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if age := now.Sub(c.checked); age < 0 || age > maxCacheAge {
		return nil, -1
	}
	if found := c.young[id]; found != nil {
		return found, c.version
	}
	return c.old[id], c.version
}

// put keeps a copy that was read under a version. When there are too many copies
// they are the old ones, and the old ones go.
func (c *cache) put(client *Client, version int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if version != c.version {
		return
	}
	if len(c.young) >= maxCached || c.young == nil {
		c.young, c.old = map[string]*Client{}, c.young
	}
	c.young[client.ID] = client
}

// drop forgets clients; all of them when ids is nil.
func (c *cache) drop(ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	if ids == nil {
		c.young, c.old = nil, nil
	}
	for _, id := range ids {
		delete(c.young, id)
		delete(c.old, id)
	}
}

// KnownClient is Client from a copy that is a second old at most in the usual case
// and five at the worst; the caller must not change it. A client that nobody knows
// is asked for each time.
func (s *Store) KnownClient(ctx context.Context, id string, now time.Time) (*Client, error) {
	known, version := s.cache.get(id, now)
	if known != nil {
		s.cache.hits.Add(1)
		return known, nil
	}
	s.cache.misses.Add(1)
	c, err := s.Client(ctx, id)
	if err == nil {
		s.cache.put(c, version)
	}
	return c, err
}

// ClientLookups is how often KnownClient had a copy, and how often it had to ask.
func (s *Store) ClientLookups() (hits, misses int64) {
	return s.cache.hits.Load(), s.cache.misses.Load()
}

// Follow compares the copies of clients with the database and forgets those that
// have changed. It returns the revision of the database, by which others can tell
// whether what they keep has changed. A server calls it twice a second.
func (s *Store) Follow(ctx context.Context, now time.Time) (revision int64, err error) {
	c := &s.cache
	c.mu.RLock()
	before, epochBefore := c.revision, c.epoch
	c.mu.RUnlock()
	var epoch int64
	if err := s.row(ctx, `SELECT revision, epoch FROM server`).Scan(&revision, &epoch); err != nil {
		return 0, wrap("follow changes", err)
	}
	changed, err := s.changedClients(ctx, before)
	if err != nil {
		return 0, wrap("follow changes", err)
	}
	if epoch != epochBefore || revision < before || len(changed) > maxChanges {
		c.drop(nil) // a restored backup goes back
	} else if len(changed) > 0 {
		c.drop(changed)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revision, c.epoch, c.checked = revision, epoch, now
	return revision, nil
}

// changedClients are those that changed after a revision, and one more than
// maxChanges at most.
func (q *queries) changedClients(ctx context.Context, after int64) (ids []string, err error) {
	err = q.each(ctx, func(r fields) error {
		var id string
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT id FROM client WHERE revision > $1 LIMIT $2`, after, maxChanges+1)
	return ids, err
}

// Changes is a channel that holds something when there is reason to call Follow at
// once: a change was made here, or heard of.
func (s *Store) Changes() <-chan struct{} { return s.changes }

// changed forgets what a change of this process has made wrong, and tells the
// other servers.
func (s *Store) changed(ids []string) {
	s.cache.drop(ids)
	if s.OnChange != nil {
		s.OnChange()
	}
	s.hurry()
	s.engine.announce()
}

// hurry asks for Follow.
func (s *Store) hurry() {
	select {
	case s.changes <- struct{}{}:
	default: // it has been asked for already
	}
}
