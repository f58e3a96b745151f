package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
)

// spread is how long a new key that is not published waits before its first
// use: every replica has read the ring by then.
const spread = 5 * time.Second

// Rotate makes a successor for the newest key of a purpose. A key that others see is
// published for a whole cache period before it is used. Those of client secrets
// cannot be rotated: what is stored was made with them.
func (g *Ring) Rotate(ctx context.Context, purpose string, by store.By) (store.Key, error) {
	lifetime, err := lifetimeOf(purpose)
	if err != nil {
		return store.Key{}, err
	}
	old := g.newest(purpose)
	switch {
	case old == nil && OnRequest(purpose):
		return store.Key{}, fmt.Errorf("issuer: there is no key for %s yet: it is made when a client is registered for it", purpose)
	case old == nil:
		return store.Key{}, fmt.Errorf("issuer: no key for %s", purpose)
	}
	wait := spread
	if isPublished(purpose) {
		wait = g.Publish + spread
	}
	active := g.Now().Add(wait)
	if active.Before(old.ActiveAt) {
		active = old.ActiveAt
	}
	next, err := g.make(purpose, active)
	if err != nil {
		return next, err
	}
	if err := g.Store.SucceedKey(ctx, old.ID, next, active.Add(lifetime), by); err != nil {
		return next, err
	}
	return next, g.Refresh(ctx)
}

func lifetimeOf(purpose string) (time.Duration, error) {
	for _, p := range purposes {
		if p.name == purpose && p.lifetime > 0 {
			return p.lifetime, nil
		}
	}
	return 0, fmt.Errorf("issuer: there is no key to rotate for %q", purpose)
}

// RotateAged rotates every published key that has been in use for longer than age. Of
// several replicas that try, one does.
func (g *Ring) RotateAged(ctx context.Context, age time.Duration, by store.By) (rotated []store.Key, err error) {
	for _, p := range purposes {
		newest := g.newest(p.name)
		if !isPublished(p.name) || newest == nil || newest.ActiveAt.Add(age).After(g.Now()) {
			continue
		}
		next, failed := g.Rotate(ctx, p.name, by)
		switch {
		case failed == nil:
			rotated = append(rotated, next)
		case !errors.Is(failed, store.ErrConflict):
			err = errors.Join(err, failed)
		}
	}
	return rotated, err
}

// Remove takes a key out of the ring at once: what it signed or sealed is
// refused from now on. A successor is in use at once.
func (g *Ring) Remove(ctx context.Context, id string, by store.By) error {
	k := g.keys.Load().opened[id]
	if k == nil {
		return store.ErrNotFound
	}
	if _, err := lifetimeOf(k.Purpose); err != nil {
		return err
	}
	next, err := g.make(k.Purpose, g.Now())
	if err != nil {
		return err
	}
	if err := g.Store.RemoveKey(ctx, id, next, by); err != nil {
		return err
	}
	return g.Refresh(ctx)
}

// Signing are the purposes of the keys that sign.
func (g *Ring) Signing() []string {
	var names []string
	for _, p := range purposes {
		if IsSigning(p.name) && g.newest(p.name) != nil {
			names = append(names, p.name)
		}
	}
	return names
}

// List returns the ring as it is in the database, without what it seals.
func (g *Ring) List() []store.Key {
	var keys []store.Key
	for _, p := range purposes {
		for _, k := range g.keys.Load().all {
			if k.Purpose == p.name {
				k.Sealed = ""
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// Reseal seals the ring with another master key.
func (g *Ring) Reseal(ctx context.Context, next *Master, by store.By) error {
	all, err := g.Store.Keys(ctx)
	if err != nil {
		return err
	}
	for i, k := range all {
		plain, err := g.Master.open(k.Purpose, k.Sealed)
		if err != nil {
			return err
		}
		all[i].Sealed = next.seal(k.Purpose, plain)
	}
	return g.Store.ResealKeys(ctx, all, g.Master.check(), next.check(), g.Now(), by)
}

// Reset makes new keys under a new master key, for when the old one is lost.
// Every token and every client secret is gone; passwords live.
func Reset(ctx context.Context, s *store.Store, next *Master, now time.Time, by store.By) error {
	return s.ResetKeys(ctx, next.check(), now, by)
}
