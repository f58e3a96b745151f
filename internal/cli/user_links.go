package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/store"
)

// A linkAnswer is what commands print about a one-time link. One that went by mail is not
// shown: only who reads that mail shall have it.
type linkAnswer struct {
	Subject   string     `json:"sub"`
	Username  string     `json:"username"`
	Link      string     `json:"link,omitempty"`
	SentTo    string     `json:"sent_to,omitempty"`
	ExpiresAt *time.Time `json:"expires_at"`
}

func (a *app) userInvite() *cobra.Command {
	var name, language string
	var byMail bool
	cmd := &cobra.Command{
		Use: "invite --username NAME", Short: "Make a user who chooses a password by a one-time link", Args: takes(),
		Long: "Make a user who chooses a password by a one-time link, which is good for 7 days.\nThe link is printed, for you to hand over; with --mail it is sent to the user's\naddress instead, and using it shows that the address is the user's.",
	}
	cmd.Flags().StringVar(&name, "username", "", "name to sign in with")
	cmd.Flags().StringVar(&language, "language", "", "language of the user's mail, en or zh (default: the server's)")
	cmd.Flags().BoolVar(&byMail, "mail", false, "send the link to the address in --email")
	addIssuerFlag(cmd)
	flags := addUserFlags(cmd)
	run := a.with(func(ctx context.Context, o opened, _ []string) error {
		u, err := a.newUser(name)
		if err != nil {
			return err
		}
		if err := flags.edit(u); err != nil {
			return err
		}
		u.Locale = language
		if byMail && !o.Links.Sends {
			return errors.New("--mail: the configuration names no mail server (mail_host)")
		}
		link, err := o.Links.Invite(ctx, u, byMail, operator)
		if errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("there is a user %q already; hufu user reset-link %s makes a link for a new password", name, name)
		}
		if err != nil {
			return err
		}
		return a.showLink(u, link, byMail)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case name == "":
			return usagef("%s: --username is missing", cmd.CommandPath())
		case language != "" && language != "en" && language != "zh":
			return usagef("--language: want en or zh")
		case byMail && flags.email == "":
			return usagef("--mail: there is no address; give --email too")
		}
		return run(cmd, args)
	}
	return cmd
}

func (a *app) userResetLink() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reset-link NAME", Short: "Make a one-time link by which a user chooses another password", Args: takes("NAME"),
		Long: "Make a one-time link by which a user chooses another password, for you to hand\nover. It is good for 30 minutes. The old password works until the link is used,\nand an older link does not work any more.",
	}
	addIssuerFlag(cmd)
	cmd.RunE = a.withUser(func(ctx context.Context, o opened, u *store.User) error {
		link, err := o.Links.Reset(ctx, u, operator)
		if errors.Is(err, store.ErrNotLive) {
			return fmt.Errorf("user %q is disabled", u.Username)
		}
		if err != nil {
			return err
		}
		return a.showLink(u, link, false)
	})
	return cmd
}

// addIssuerFlag is for commands that print addresses of the server.
func addIssuerFlag(cmd *cobra.Command) {
	cmd.Flags().String("issuer", "", "public address of the server, when it was started with another than the configuration has")
}

func (a *app) showLink(u *store.User, link *login.Link, byMail bool) error {
	answer := linkAnswer{Subject: u.ID, Username: u.Username, Link: link.URL, ExpiresAt: stamp(link.ExpiresAt)}
	if byMail {
		answer.Link, answer.SentTo = "", u.Email
	}
	return a.show(answer)
}
