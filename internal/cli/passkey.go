package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/store"
)

// A passkeyAnswer is what commands print about a passkey.
type passkeyAnswer struct {
	ID         string     `json:"id"`
	Name       string     `json:"name,omitempty"`
	AAGUID     string     `json:"aaguid"`
	CreatedAt  *time.Time `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

// answerPasskeys are those of a user.
func answerPasskeys(ctx context.Context, db *store.Store, u *store.User) ([]passkeyAnswer, error) {
	passkeys, err := db.Passkeys(ctx, u.ID)
	var all []passkeyAnswer
	for _, k := range passkeys {
		all = append(all, passkeyAnswer{k.ID, k.Name, k.AAGUID, stamp(k.CreatedAt), stamp(k.LastUsedAt)})
	}
	return all, err
}

// userPasskey helps those who have lost what a passkey was kept on.
func (a *app) userPasskey() *cobra.Command {
	remove := &cobra.Command{Use: "remove NAME PASSKEY-ID", Short: "Remove a passkey that a user has lost", Args: takes("NAME", "PASSKEY-ID"),
		Long: "Remove a passkey that a user has lost. `hufu user show NAME` lists theirs. Put -- in\nfront of an id that begins with a dash."}
	remove.RunE = a.with(func(ctx context.Context, o opened, args []string) error {
		u, err := findUser(ctx, o.Store, args[0])
		if err != nil {
			return err
		}
		err = o.Store.RemovePasskey(ctx, u.ID, u.Epoch, args[1], a.now(), operator)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("user %q has no passkey %q", u.Username, args[1])
		case errors.Is(err, store.ErrLast):
			return fmt.Errorf("user %q could not sign in without this passkey: set a password first (hufu user password %s)", u.Username, u.Username)
		case errors.Is(err, store.ErrNotLive):
			return changedMeanwhile(u)
		case err != nil:
			return err
		}
		return a.showUser(ctx, o, u.ID)
	})
	return group("passkey", "Look after a user's passkeys", remove)
}
