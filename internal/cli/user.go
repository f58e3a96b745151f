package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/store"
)

// A userAnswer is what commands print about a user; never the password's hash.
type userAnswer struct {
	Subject       string          `json:"sub"`
	Username      string          `json:"username"`
	Email         string          `json:"email,omitempty"`
	EmailVerified bool            `json:"email_verified"`
	Password      bool            `json:"password"` // whether there is one
	SecondFactor  bool            `json:"second_factor"`
	SecondFactors []factorAnswer  `json:"second_factors,omitempty"`
	RecoveryCodes int             `json:"recovery_codes,omitempty"` // left
	Passkeys      []passkeyAnswer `json:"passkeys,omitempty"`
	Claims        json.RawMessage `json:"claims"`
	CreatedAt     *time.Time      `json:"created_at"`
	UpdatedAt     *time.Time      `json:"updated_at"`
	Disabled      bool            `json:"disabled"`
	DisabledAt    *time.Time      `json:"disabled_at,omitempty"`
}

func answerUser(u *store.User) userAnswer {
	return userAnswer{
		Subject: u.ID, Username: u.Username, Email: u.Email, EmailVerified: u.EmailVerified, Password: u.Password != "", SecondFactor: u.SecondFactor, Claims: u.Claims,
		CreatedAt: stamp(u.CreatedAt), UpdatedAt: stamp(u.UpdatedAt), Disabled: !u.DisabledAt.IsZero(), DisabledAt: stamp(u.DisabledAt),
	}
}

func (a *app) userCommand() *cobra.Command {
	show := &cobra.Command{Use: "show NAME", Short: "Show a user", Args: takes("NAME")}
	show.RunE = a.withUser(func(ctx context.Context, o opened, u *store.User) error {
		answer, err := answerFactors(ctx, o.Store, u)
		if err != nil {
			return err
		}
		return a.show(answer)
	})
	remove := &cobra.Command{Use: "delete NAME", Short: "Delete a user for good; the subject is never given to anybody else", Args: takes("NAME")}
	remove.RunE = a.withUser(func(ctx context.Context, o opened, u *store.User) error {
		if err := noUser(u.Username, o.Store.DeleteUser(ctx, u.ID, a.now(), operator)); err != nil {
			return err
		}
		return a.show(struct {
			Subject  string `json:"sub"`
			Username string `json:"username"`
			Deleted  bool   `json:"deleted"`
		}{u.ID, u.Username, true})
	})
	return group("user", "Make users and look after them", a.userCreate(), a.userList(), show, a.userUpdate(), a.userPassword(),
		a.userSwitch("disable", "Take a user out of force; sessions and tokens end for good", (*store.Store).DisableUser),
		a.userSwitch("enable", "Let a disabled user sign in again", (*store.Store).EnableUser), a.userSecondFactor(), a.userPasskey(), remove,
		a.userInvite(), a.userResetLink())
}

// withUser makes the run function of a command about one user, by name.
func (a *app) withUser(run func(ctx context.Context, o opened, u *store.User) error) func(*cobra.Command, []string) error {
	return a.with(func(ctx context.Context, o opened, args []string) error {
		u, err := findUser(ctx, o.Store, args[0])
		if err != nil {
			return err
		}
		return run(ctx, o, u)
	})
}

// findUser finds a user by any spelling of the name.
func findUser(ctx context.Context, db *store.Store, name string) (*store.User, error) {
	key, err := login.UsernameKey(name)
	if err != nil {
		return nil, noUser(name, store.ErrNotFound) // a name that nobody can have
	}
	u, err := db.UserByName(ctx, key)
	return u, noUser(name, err)
}

// noUser says which user there is not.
func noUser(name string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("no user %q", name)
	}
	return err
}

// showUser prints a user as the database has it now.
func (a *app) showUser(ctx context.Context, o opened, id string) error {
	u, err := o.Store.User(ctx, id)
	if err != nil {
		return err
	}
	return a.show(answerUser(u))
}

func (a *app) userCreate() *cobra.Command {
	var name string
	var fromStdin bool
	cmd := &cobra.Command{Use: "create --username NAME", Short: "Make a user", Args: takes()}
	cmd.Flags().StringVar(&name, "username", "", "name to sign in with")
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input (default: none, so no sign-in by password)")
	flags := addUserFlags(cmd)
	run := a.with(func(ctx context.Context, o opened, _ []string) error {
		u, err := a.newUser(name)
		if err != nil {
			return err
		}
		if err := flags.edit(u); err != nil {
			return err
		}
		if fromStdin { // its owner's names are known by now
			if u.Password, err = a.readPassword(ctx, o, u); err != nil {
				return err
			}
		}
		if err := o.Store.CreateUser(ctx, u, operator); errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("there is a user %q already", name)
		} else if err != nil {
			return err
		}
		if u.Password == "" {
			a.note("%s has no password and cannot sign in with one; hufu user password %s sets it", name, name)
		}
		return a.showUser(ctx, o, u.ID)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if name == "" {
			return usagef("%s: --username is missing", cmd.CommandPath())
		}
		return run(cmd, args)
	}
	return cmd
}

// newUser is a user under a name that may be taken.
func (a *app) newUser(name string) (*store.User, error) {
	key, err := login.CheckUsername(name)
	if err != nil {
		return nil, err
	}
	return &store.User{ID: store.NewUserID(), Username: name, UsernameKey: key, CreatedAt: a.now()}, nil
}

// readPassword reads a password that a user may have, and hashes it.
func (a *app) readPassword(ctx context.Context, o opened, u *store.User) (string, error) {
	password, err := a.readSecret("--password-stdin")
	if err != nil {
		return "", err
	}
	return o.Passwords.HashNew(ctx, o.Hasher, password, login.OwnNames(u)...)
}

func (a *app) userUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change a user's e-mail address and claims", Args: takes("NAME"),
		Long: "Change a user's e-mail address and claims. Only what is given changes; an empty\nvalue takes an address or a claim away. Another address counts as not verified\nunless --email-verified says otherwise.",
	}
	flags := addUserFlags(cmd)
	cmd.RunE = a.withUser(func(ctx context.Context, o opened, u *store.User) error {
		for range 5 { // somebody else may change the user meanwhile
			changed := *u
			if err := flags.edit(&changed); err != nil {
				return err
			}
			err := o.Store.UpdateUser(ctx, u, &changed, a.now(), operator)
			if err == nil {
				return a.showUser(ctx, o, u.ID)
			}
			if !errors.Is(err, store.ErrConflict) {
				return err
			}
			if u, err = o.Store.User(ctx, u.ID); err != nil {
				return noUser(changed.Username, err)
			}
		}
		return fmt.Errorf("user %q is being changed by somebody else; try again", u.Username)
	})
	return cmd
}

func (a *app) userPassword() *cobra.Command {
	var fromStdin bool
	cmd := &cobra.Command{Use: "password NAME --password-stdin", Short: "Set a user's password; sessions and tokens under the old one end", Args: takes("NAME")}
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	run := a.withUser(func(ctx context.Context, o opened, u *store.User) error {
		hash, err := a.readPassword(ctx, o, u)
		if err != nil {
			return err
		}
		if err := o.Store.SetPassword(ctx, u.ID, hash, a.now(), operator); err != nil {
			return noUser(u.Username, err)
		}
		return a.showUser(ctx, o, u.ID)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !fromStdin {
			return usagef("%s: say --password-stdin, and give the password on standard input", cmd.CommandPath())
		}
		return run(cmd, args)
	}
	return cmd
}

func (a *app) userList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List all users", Args: takes()}
	cmd.RunE = a.with(func(ctx context.Context, o opened, _ []string) error {
		l := a.list("USERNAME", "SUBJECT", "EMAIL", "CREATED", "STATE")
		err := eachUser(ctx, o.Store, func(u store.User) error {
			state := "enabled"
			if !u.DisabledAt.IsZero() {
				state = "disabled"
			}
			return l.add(answerUser(&u), u.Username, u.ID, u.Email, day(u.CreatedAt), state)
		})
		return errors.Join(err, l.end())
	})
	return cmd
}

// eachUser walks all users in the order of their names.
func eachUser(ctx context.Context, db *store.Store, visit func(u store.User) error) error {
	for after := ""; ; {
		page, err := db.Users(ctx, after, pageSize)
		if err != nil {
			return err
		}
		for _, u := range page {
			if err := visit(u); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		after = page[len(page)-1].UsernameKey
	}
}

// userSwitch is user disable or user enable.
func (a *app) userSwitch(name, short string, change func(*store.Store, context.Context, string, time.Time, store.By) error) *cobra.Command {
	cmd := &cobra.Command{Use: name + " NAME", Short: short, Args: takes("NAME")}
	cmd.RunE = a.withUser(func(ctx context.Context, o opened, u *store.User) error {
		if err := change(o.Store, ctx, u.ID, a.now(), operator); err != nil {
			return noUser(u.Username, err)
		}
		return a.showUser(ctx, o, u.ID)
	})
	return cmd
}
