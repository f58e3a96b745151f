package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/store"
)

// A factorAnswer is what commands print about a second factor; never its secret.
type factorAnswer struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"`
	CreatedAt *time.Time `json:"created_at"`
	UsedAt    *time.Time `json:"used_at,omitempty"`
}

// answerFactors is a user with their second factors.
func answerFactors(ctx context.Context, db *store.Store, u *store.User) (userAnswer, error) {
	answer := answerUser(u)
	factors, err := db.SecondFactors(ctx, u.ID)
	if err != nil {
		return answer, err
	}
	for _, f := range factors {
		answer.SecondFactors = append(answer.SecondFactors, factorAnswer{f.ID, string(f.Kind), stamp(f.CreatedAt), stamp(f.UsedAt)})
	}
	if answer.RecoveryCodes, err = db.RecoveryCodesLeft(ctx, u.ID); err != nil {
		return answer, err
	}
	answer.Passkeys, err = answerPasskeys(ctx, db, u)
	return answer, err
}

// changedMeanwhile is for a user who has another password since the command read them.
func changedMeanwhile(u *store.User) error {
	return fmt.Errorf("user %q has just changed: run the command again", u.Username)
}

// userSecondFactor helps those who have lost everything they could sign in with.
func (a *app) userSecondFactor() *cobra.Command {
	remove := &cobra.Command{
		Use: "remove NAME", Short: "Remove a user's second factors and recovery codes; the password alone does then", Args: takes("NAME"),
		Long: "Remove a user's second factors and recovery codes, for somebody who has lost them\nall. The password alone does then, unless a second factor is required: then they set\none up when they sign in next. A passkey is a second factor too; `hufu user passkey\nremove` takes a lost one away. Make sure that it is they who ask.",
	}
	remove.RunE = a.withUser(func(ctx context.Context, o opened, u *store.User) error {
		factors, err := o.Store.SecondFactors(ctx, u.ID)
		if err != nil {
			return err
		}
		if len(factors) == 0 {
			return fmt.Errorf("user %q has no second factor", u.Username)
		}
		for _, f := range factors {
			err := o.Store.RemoveAuthenticatorApp(ctx, u.ID, u.Epoch, f.ID, a.now(), operator)
			if errors.Is(err, store.ErrNotLive) {
				return changedMeanwhile(u)
			}
			if err != nil && !errors.Is(err, store.ErrNotFound) { // somebody else was quicker
				return err
			}
		}
		return a.showUser(ctx, o, u.ID)
	})
	return group("second-factor", "Look after a user's second factors", remove)
}
