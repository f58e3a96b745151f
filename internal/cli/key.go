package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/server"
	"github.com/hufu-auth/hufu/internal/store"
)

// A keyAnswer is what commands print about a key: never the key.
type keyAnswer struct {
	ID        string     `json:"id"`
	Purpose   string     `json:"purpose"`
	State     string     `json:"state"`
	CreatedAt *time.Time `json:"created_at"`
	ActiveAt  *time.Time `json:"active_at"`
	RetiredAt *time.Time `json:"retired_at,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

func answerKey(k store.Key, now time.Time) keyAnswer {
	state := "active"
	switch {
	case k.ActiveAt.After(now):
		state = "next"
	case !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now):
		state = "expired" // of an ID token of its time it can still be told that it is ours
	case !k.RetiredAt.IsZero() && !k.RetiredAt.After(now):
		state = "retired"
	}
	return keyAnswer{
		ID: k.ID, Purpose: k.Purpose, State: state, CreatedAt: stamp(k.CreatedAt), ActiveAt: stamp(k.ActiveAt),
		RetiredAt: stamp(k.RetiredAt), ExpiresAt: stamp(k.ExpiresAt),
	}
}

func (a *app) keyCommand() *cobra.Command {
	ls := &cobra.Command{Use: "list", Short: "List the keys that sign and seal", Args: takes()}
	ls.RunE = a.with(func(_ context.Context, o opened, _ []string) error { return a.showKeys(o.Ring.List()) })
	remove := &cobra.Command{
		Use: "remove KID", Short: "Take a key out of use at once, in an emergency", Args: takes("KID"),
		Long: "Take a key out of use at once. What it signed or sealed is refused from now on; a\nsuccessor is in use at once. For a key that merely got old, use hufu key rotate.",
	}
	remove.RunE = a.with(func(ctx context.Context, o opened, args []string) error {
		i := slices.IndexFunc(o.Ring.List(), func(k store.Key) bool { return k.ID == args[0] })
		if i < 0 {
			return fmt.Errorf("no key %q", args[0])
		}
		if purpose := o.Ring.List()[i].Purpose; issuer.IsForGood(purpose) {
			return staysForGood(purpose)
		}
		if err := o.Ring.Remove(ctx, args[0], operator); err != nil {
			return err
		}
		return a.showKeys(o.Ring.List())
	})
	return group("key", "Look after the keys of the server", ls, a.keyRotate(), remove, a.keyReseal(), a.keyReset())
}

// staysForGood is the answer about a key that has no successor.
func staysForGood(purpose string) error {
	made := "every client secret"
	if purpose == issuer.PurposePairwise {
		made = "every pairwise subject"
	}
	return fmt.Errorf("the key for %s stays: %s was made with it (hufu key reset makes everything new)", purpose, made)
}

func (a *app) showKeys(keys []store.Key) error {
	l, now := a.list("ID", "PURPOSE", "STATE", "CREATED", "ACTIVE", "RETIRED", "EXPIRES"), a.now()
	for _, k := range keys {
		answer := answerKey(k, now)
		if err := l.add(answer, k.ID, k.Purpose, answer.State, day(k.CreatedAt), day(k.ActiveAt), day(k.RetiredAt), day(k.ExpiresAt)); err != nil {
			return err
		}
	}
	return l.end()
}

func (a *app) keyRotate() *cobra.Command {
	cmd := &cobra.Command{Use: "rotate [PURPOSE]", Short: "Make a successor for the signing keys, or for the key of one purpose", Args: cobra.MaximumNArgs(1)}
	cmd.Long = cmd.Short + ".\nA new signing key is published for a while before it signs. Purposes: " + strings.Join(issuer.Purposes(), ", ") + "."
	run := a.with(func(ctx context.Context, o opened, args []string) error {
		purposes := o.Ring.Signing()
		if len(args) > 0 {
			purposes = []string{purposeOf(args[0])}
		}
		var made []store.Key
		for _, p := range purposes {
			if issuer.IsForGood(p) {
				return staysForGood(p)
			}
			next, err := o.Ring.Rotate(ctx, p, operator)
			if errors.Is(err, store.ErrConflict) {
				return fmt.Errorf("the key for %s was rotated by somebody else at this moment", p)
			}
			if err != nil {
				return err
			}
			made = append(made, next)
		}
		return a.showKeys(made)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && !slices.Contains(issuer.Purposes(), purposeOf(args[0])) {
			return usagef("%s: no purpose %q; want one of %s", cmd.CommandPath(), args[0], strings.Join(issuer.Purposes(), ", "))
		}
		return run(cmd, args)
	}
	return cmd
}

// purposeOf lets a signing key be named by its algorithm alone.
func purposeOf(typed string) string {
	for _, p := range issuer.Purposes() {
		if issuer.IsSigning(p) && strings.EqualFold(p, "sign:"+typed) {
			return p
		}
	}
	return typed
}

// A masterAnswer says where the master key is after it changed.
type masterAnswer struct {
	MasterKey string `json:"master_key_file,omitempty"`
	Keys      int    `json:"keys"`
}

func (a *app) keyReseal() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "reseal", Short: "Seal the keys of the server with a new master key", Args: takes(),
		Long: "Seal the keys of the server with a new master key. Tokens and secrets stay valid. No\nserver may run meanwhile. The new key is made in the data directory, or is the one\nof --new-master-key-file, which is then for the configuration to name.",
	}
	cmd.Flags().StringVar(&file, "new-master-key-file", "", "file with the new key: 32 random bytes as base64 or hex")
	cmd.RunE = a.with(func(ctx context.Context, o opened, _ []string) (err error) {
		release, err := o.Store.Lock()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, release()) }()
		if file != "" {
			return a.resealWith(ctx, o, file)
		}
		if configured(o.config) {
			return usagef("the master key is in the configuration; say --new-master-key-file FILE, and name that file there afterwards")
		}
		return a.resealInPlace(ctx, o)
	})
	return cmd
}

// configured reports whether the master key comes from the configuration.
func configured(c *config.Config) bool { return c.MasterKey != "" || c.MasterKeyFile != "" }

// resealInPlace changes the key in the data directory. The new one lies beside
// the old one until the database is sealed with it, so that whatever happens in
// between, one of the two fits; the next start puts it in place.
func (a *app) resealInPlace(ctx context.Context, o opened) error {
	path := server.MasterKeyPath(o.config)
	next, err := newMasterFile(path)
	if err != nil {
		return err
	}
	if err := a.reseal(ctx, o, next); err != nil {
		return err
	}
	return a.masterMoved(ctx, o.Store, path, len(o.Ring.List()))
}

// newMasterFile makes a key beside the one at path.
func newMasterFile(path string) (*issuer.Master, error) {
	key := make([]byte, issuer.MasterKeySize)
	rand.Read(key)
	if err := issuer.ReplaceMasterFile(path+issuer.NextMaster, key); err != nil {
		return nil, err
	}
	return issuer.NewMaster(key)
}

// masterMoved puts a new key in its place and tells where that is.
func (a *app) masterMoved(ctx context.Context, db *store.Store, path string, keys int) error {
	state, err := db.Server(ctx)
	if err != nil {
		return err
	}
	if err := issuer.FinishReplacement(path, state.KeyCheck); err != nil {
		return err
	}
	if err := a.show(masterAnswer{MasterKey: path, Keys: keys}); err != nil {
		return err
	}
	a.note("the new master key is in %s; keep a copy of it elsewhere, away from backups of the database", path)
	return nil
}

// resealWith changes to a key that the operator brings.
func (a *app) resealWith(ctx context.Context, o opened, file string) error {
	next, err := masterFromFile(file)
	if err != nil {
		return err
	}
	if err := a.reseal(ctx, o, next); err != nil {
		return err
	}
	if err := a.show(masterAnswer{MasterKey: file, Keys: len(o.Ring.List())}); err != nil {
		return err
	}
	a.note("set master_key_file to %s before anything else; keep a copy of the key elsewhere, away from backups of the database", file)
	return nil
}

func masterFromFile(file string) (*issuer.Master, error) {
	key, err := (&config.Config{MasterKeyFile: file}).ReadMasterKey()
	if err != nil {
		return nil, fmt.Errorf("--new-master-key-file: %s", strings.TrimPrefix(err.Error(), "master_key_file: "))
	}
	return issuer.NewMaster(key)
}

func (a *app) reseal(ctx context.Context, o opened, next *issuer.Master) error {
	err := o.Ring.Reseal(ctx, next, operator)
	if errors.Is(err, store.ErrConflict) {
		return errors.New("the keys changed meanwhile; nothing was done, try again")
	}
	return err
}

func (a *app) keyReset() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "reset", Short: "Make new keys when the master key is lost; every token and client secret is gone", Args: takes(),
		Long: "Make new keys when the master key is lost. Every token, every client secret and\neverything sealed is gone for good; clients, users and their passwords stay. Clients\nwith pairwise subjects know every user by a new one. No server may run meanwhile.",
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !yes {
			return usagef("%s: every token and every client secret would be gone for good; say --yes if that is what you want", cmd.CommandPath())
		}
		c, err := a.load()
		if err != nil {
			return err
		}
		return a.reset(cmd.Context(), c)
	}
	return cmd
}

// reset does not open the keys, for they are what cannot be opened.
func (a *app) reset(ctx context.Context, c *config.Config) (err error) {
	db, err := server.OpenStore(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	release, err := db.Lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()

	master, err := a.masterForReset(c)
	if err != nil {
		return err
	}
	if err := issuer.Reset(ctx, db, master, a.now(), operator); err != nil {
		return err
	}
	ring := &issuer.Ring{Store: db, Master: master, Now: a.now, Publish: c.JWKSMaxAge}
	if err := ring.Prepare(ctx); err != nil {
		return err
	}
	a.note("new keys were made; every token, every session and every client secret made before is gone. Users and their passwords stay, but clients with pairwise subjects know them by new ones. Give each confidential client a new secret (hufu client secret add ID)")
	if !configured(c) {
		return a.masterMoved(ctx, db, server.MasterKeyPath(c), len(ring.List()))
	}
	return a.show(masterAnswer{MasterKey: c.MasterKeyFile, Keys: len(ring.List())})
}

// masterForReset is the configured key, or a new one in the data directory.
func (a *app) masterForReset(c *config.Config) (*issuer.Master, error) {
	key, err := c.ReadMasterKey()
	if err != nil {
		return nil, err
	}
	if key != nil {
		return issuer.NewMaster(key)
	}
	return newMasterFile(server.MasterKeyPath(c))
}
