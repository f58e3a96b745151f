package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// A clientAnswer is what commands print about a client: the information response
// of RFC 7591 Section 3.2.1. The secret is there when it was just made, and then
// never again.
type clientAnswer struct {
	ClientID        string `json:"client_id"`
	IssuedAt        int64  `json:"client_id_issued_at"`
	Secret          string `json:"client_secret,omitempty"`
	SecretExpiresAt *int64 `json:"client_secret_expires_at,omitempty"` // 0: never
	oauth.ClientMetadata
	UpdatedAt   *time.Time     `json:"updated_at,omitempty"`
	DisabledAt  *time.Time     `json:"disabled_at,omitempty"`
	UnusedUntil *time.Time     `json:"unused_until,omitempty"` // registered itself, and goes then unless it is used
	Secrets     []secretAnswer `json:"secrets,omitempty"`
	Warnings    []string       `json:"warnings,omitempty"`
}

// A secretAnswer is what can be told about a secret.
type secretAnswer struct {
	ID        string     `json:"id"`
	Sealed    bool       `json:"sealed,omitempty"` // kept itself, as the key of an HMAC
	Secret    string     `json:"client_secret,omitempty"`
	CreatedAt *time.Time `json:"created_at"`
	ExpiresAt int64      `json:"client_secret_expires_at"` // 0: never
}

func answerClient(c *store.Client) clientAnswer {
	answer := clientAnswer{
		ClientID: c.ID, IssuedAt: c.CreatedAt.Unix(), ClientMetadata: c.Metadata,
		UpdatedAt: stamp(c.UpdatedAt), DisabledAt: stamp(c.DisabledAt), UnusedUntil: stamp(c.UnusedUntil),
	}
	for _, s := range c.Secrets {
		answer.Secrets = append(answer.Secrets, secretAnswer{ID: s.ID, Sealed: s.Sealed != "", CreatedAt: stamp(s.CreatedAt), ExpiresAt: unixOrZero(s.ExpiresAt)})
	}
	return answer
}

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func (a *app) clientCommand() *cobra.Command {
	show := &cobra.Command{Use: "show ID", Short: "Show a client and its secrets by their ids", Args: takes("ID")}
	show.RunE = a.with(func(ctx context.Context, o opened, args []string) error {
		c, err := o.Store.Client(ctx, args[0])
		if err != nil {
			return noClient(args[0], err)
		}
		return a.show(answerClient(c))
	})
	remove := &cobra.Command{Use: "delete ID", Short: "Delete a client; its tokens end at once", Args: takes("ID")}
	remove.RunE = a.with(func(ctx context.Context, o opened, args []string) error {
		if err := noClient(args[0], o.Store.DeleteClient(ctx, args[0], a.now(), operator)); err != nil {
			return err
		}
		return a.show(struct {
			ClientID string `json:"client_id"`
			Deleted  bool   `json:"deleted"`
		}{args[0], true})
	})
	return group("client", "Register clients and look after them", a.clientCreate(), a.clientList(), show, a.clientUpdate(), remove,
		a.clientSwitch("disable", "Take a client out of force; its tokens end for good", (*store.Store).DisableClient),
		a.clientSwitch("enable", "Let a disabled client begin anew", (*store.Store).EnableClient),
		group("secret", "Rotate the secret of a client", a.secretAdd(), a.secretRemove()))
}

func (a *app) clientCreate() *cobra.Command {
	var id string
	var fromStdin bool
	cmd := &cobra.Command{Use: "create", Short: "Register a client", Args: takes()}
	flags := addClientFlags(cmd)
	cmd.Flags().StringVar(&id, "id", "", "client_id (default: made up)")
	cmd.Flags().BoolVar(&fromStdin, "secret-stdin", false, "read the secret from standard input (default: one is made and shown once)")
	run := a.with(func(ctx context.Context, o opened, _ []string) error {
		var metadata oauth.ClientMetadata
		if err := flags.edit(&metadata); err != nil {
			return err
		}
		given, err := a.secret(fromStdin)
		if err != nil {
			return err
		}
		c, secret, err := o.Clients.Register(ctx, id, metadata, given, operator)
		if errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("there is a client %q already", id)
		}
		if err != nil {
			return err
		}
		return a.showCreated(o, c, given, secret)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("id") && id == "" {
			return usagef("--id is empty")
		}
		if err := flags.check(); err != nil {
			return err
		}
		return run(cmd, args)
	}
	return cmd
}

// showCreated prints a new client, and its secret when that was made here.
func (a *app) showCreated(o opened, c *store.Client, given, secret string) error {
	answer := answerClient(c)
	if secret != "" && given == "" {
		answer.Secret, answer.SecretExpiresAt = secret, new(int64)
	}
	a.warnClient(&answer, o.config.ForbiddenGrants)
	if err := a.show(answer); err != nil {
		return err
	}
	if answer.Secret != "" && !a.json {
		a.note("keep client_secret now: it is not shown again")
	}
	return nil
}

// warnClient tells about legacy grants, on standard error and in JSON.
func (a *app) warnClient(answer *clientAnswer, forbidden []string) {
	answer.Warnings = legacyWarnings(answer.ClientMetadata, forbidden)
	for _, text := range answer.Warnings {
		a.note("warning: %s", text)
	}
}

func (a *app) clientUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update ID", Short: "Change what is registered about a client", Args: takes("ID"),
		Long: "Change what is registered about a client. Only what is given changes; a repeated\nflag replaces the whole list, and an empty value takes the member away.",
	}
	flags := addClientFlags(cmd)
	run := a.with(func(ctx context.Context, o opened, args []string) error {
		_, err := o.Clients.Update(ctx, args[0], flags.edit, operator)
		if errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("client %q is being changed by somebody else; try again", args[0])
		}
		if refusal, ok := errors.AsType[*oauth.Error](err); ok && errors.Is(err, client.ErrNotSealed) {
			return fmt.Errorf("%s; add one first: hufu client secret add %s --sealed", refusal.Description, args[0])
		}
		if err != nil {
			return noClient(args[0], err)
		}
		c, err := o.Store.Client(ctx, args[0]) // as it is now, with its new date
		if err != nil {
			return noClient(args[0], err)
		}
		answer := answerClient(c)
		a.warnClient(&answer, o.config.ForbiddenGrants)
		return a.show(answer)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := flags.check(); err != nil {
			return err
		}
		return run(cmd, args)
	}
	return cmd
}

func (a *app) clientList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List all clients", Args: takes()}
	cmd.RunE = a.with(func(ctx context.Context, o opened, _ []string) error {
		l := a.list("CLIENT ID", "NAME", "TYPE", "GRANTS", "CREATED", "STATE")
		err := eachClient(ctx, o.Store, func(c store.Client) error {
			kind, state := "confidential", "enabled"
			if c.Metadata.IsPublic() {
				kind = "public"
			}
			if !c.DisabledAt.IsZero() {
				state = "disabled"
			}
			return l.add(answerClient(&c), c.ID, c.Metadata.ClientName, kind, strings.Join(c.Metadata.GrantTypes, " "), day(c.CreatedAt), state)
		})
		return errors.Join(err, l.end())
	})
	return cmd
}

// clientSwitch is client disable or client enable.
func (a *app) clientSwitch(name, short string, change func(*store.Store, context.Context, string, time.Time, store.By) error) *cobra.Command {
	cmd := &cobra.Command{Use: name + " ID", Short: short, Args: takes("ID")}
	cmd.RunE = a.with(func(ctx context.Context, o opened, args []string) error {
		if err := change(o.Store, ctx, args[0], a.now(), operator); err != nil {
			return noClient(args[0], err)
		}
		c, err := o.Store.Client(ctx, args[0])
		if err != nil {
			return noClient(args[0], err)
		}
		return a.show(answerClient(c))
	})
	return cmd
}

func (a *app) secretAdd() *cobra.Command {
	var fromStdin, sealed bool
	expires, retire := &memberFlag{kind: kindSeconds}, &memberFlag{kind: kindSeconds}
	cmd := &cobra.Command{Use: "add ID", Short: "Give a client a second secret, so that it can move from one to the other", Args: takes("ID")}
	cmd.Flags().Var(expires, "expires-in", "how long the secret is valid (default for ever)")
	cmd.Flags().Var(retire, "retire-others-in", "how long the client's other secret stays valid (default for ever)")
	cmd.Flags().BoolVar(&fromStdin, "secret-stdin", false, "read the secret from standard input (default: one is made and shown once)")
	cmd.Flags().BoolVar(&sealed, "sealed", false, "keep the secret itself, sealed, as client_secret_jwt needs it (done anyway for a client that is registered for that)")
	run := a.with(func(ctx context.Context, o opened, args []string) error {
		given, err := a.secret(fromStdin)
		if err != nil {
			return err
		}
		add := o.Clients.AddSecret
		if sealed {
			add = o.Clients.AddSealedSecret
		}
		var end time.Time
		if n := secondsOf(expires.values); n > 0 {
			end = a.now().Add(time.Duration(n) * time.Second)
		}
		made, secret, err := add(ctx, args[0], given, end, operator)
		if errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("client %q has two live secrets already; remove one first (hufu client secret remove)", args[0])
		}
		if err != nil {
			return noClient(args[0], err)
		}
		if retire.given {
			end := a.now().Add(time.Duration(secondsOf(retire.values)) * time.Second)
			if err := o.Store.RetireSecrets(ctx, args[0], made.ID, end, a.now(), operator); err != nil {
				return err
			}
		}
		answer := secretAnswer{ID: made.ID, Sealed: made.Sealed != "", CreatedAt: stamp(made.CreatedAt), ExpiresAt: unixOrZero(made.ExpiresAt)}
		if given == "" {
			answer.Secret = secret
		}
		if err := a.show(answer); err != nil {
			return err
		}
		if given == "" && !a.json {
			a.note("keep client_secret now: it is not shown again")
		}
		return nil
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if expires.given && secondsOf(expires.values) <= 0 {
			return usagef("--expires-in wants a time that lies ahead, as in 720h")
		}
		if retire.given && secondsOf(retire.values) <= 0 {
			return usagef("--retire-others-in wants a time that lies ahead, as in 24h")
		}
		return run(cmd, args)
	}
	return cmd
}

func (a *app) secretRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "remove ID SECRET-ID", Short: "End a secret at once", Args: takes("ID", "SECRET-ID")}
	cmd.RunE = a.with(func(ctx context.Context, o opened, args []string) error {
		if _, err := o.Store.Client(ctx, args[0]); err != nil {
			return noClient(args[0], err)
		}
		err := o.Store.RemoveSecret(ctx, args[0], args[1], a.now(), operator)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("client %q has no secret %q; hufu client show lists their ids", args[0], args[1])
		}
		if err != nil {
			return err
		}
		return a.show(struct {
			ClientID string `json:"client_id"`
			ID       string `json:"id"`
			Removed  bool   `json:"removed"`
		}{args[0], args[1], true})
	})
	return cmd
}

// noClient says which client there is not.
func noClient(id string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("no client %q", id)
	}
	return err
}
