package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/demo"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/server"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

func (a *app) serveCommand() *cobra.Command {
	var isDemo bool
	cmd := &cobra.Command{Use: "serve", Short: "Run the server", Args: takes()}
	cmd.Flags().String("listen", "", "address to listen on (default localhost:8080)")
	cmd.Flags().String("issuer", "", "public address of the server (default follows --listen)")
	cmd.Flags().BoolVar(&isDemo, "demo", false, "try everything on this machine, with well-known passwords, in DATA/demo")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.load(given(cmd, "listen", "issuer")...)
		if err != nil {
			return err
		}
		return a.serve(cmd.Context(), c, isDemo)
	}
	return cmd
}

// serve runs the server until a signal asks it to stop. A second signal ends the
// process at once.
func (a *app) serve(ctx context.Context, c *config.Config, isDemo bool) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	log, lines := newLog(a.stderr, c)
	defer lines.close()
	a.lines = lines
	o := server.Options{Log: log, Now: a.now, Version: version()}
	if isDemo {
		if err := toDemo(c, &o); err != nil {
			return err
		}
		o.Letters = a.stdout
	}
	err := a.run(ctx, c, o)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // asked to stop before it had begun
	}
	return err
}

func (a *app) run(ctx context.Context, c *config.Config, o server.Options) error {
	s, err := server.New(ctx, c, o)
	if err != nil {
		return err
	}
	return errors.Join(a.listen(ctx, s, c, o), s.Close())
}

// listen serves on an opened server.
func (a *app) listen(ctx context.Context, s *server.Server, c *config.Config, o server.Options) error {
	if o.Demo {
		if err := demo.Provision(ctx, demo.Parts{Store: s.Store, Clients: s.Clients, Hasher: s.Hasher, Now: a.now, Issuer: c.Issuer}); err != nil {
			return err
		}
	}
	if err := warn(ctx, s, c, o.Log); err != nil {
		return err
	}
	l, err := server.Listen(ctx, c)
	if err != nil {
		return err
	}
	if o.Demo && !isLoopback(l.Addr()) {
		return errors.Join(errDemoOpen, l.Close())
	}
	o.Log.Info("ready", "address", l.Addr().String(), "issuer", c.Issuer, "database", c.DatabaseName(), "version", version())
	if o.Demo {
		a.lines.flush() // so that the tutorial stands last
		fmt.Fprint(a.stdout, demo.Tutorial(c.Issuer))
	} else if err := a.offerSetUp(ctx, s); err != nil {
		return errors.Join(err, l.Close())
	}
	go watchCollector(ctx, a.environ)
	if err := s.Serve(ctx, l); err != nil {
		return err
	}
	o.Log.Info("stopped")
	return nil
}

// offerSetUp prints the link by which the first administrator is made, as long as there
// never was one. It stands on standard output and not in the log, which others read.
func (a *app) offerSetUp(ctx context.Context, s *server.Server) error {
	link, err := s.Links.FirstAdmin(ctx)
	if err != nil || link == nil {
		return err
	}
	a.lines.flush() // so that the link stands last
	_, err = fmt.Fprintf(a.stdout, "\nThere is no administrator yet. Whoever opens this link first, within 24 hours, makes the account of one:\n\n  %s\n\n", link.URL)
	return err
}

// toDemo moves a configuration into the demo's own directory, and refuses one
// that others could reach.
func toDemo(c *config.Config, o *server.Options) error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	issuer, err := url.Parse(c.Issuer)
	if err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if !isLoopbackHost(host) || !isLoopbackHost(issuer.Hostname()) {
		return usageError{errDemoOpen}
	}
	c.Data = filepath.Join(c.Data, "demo")
	for _, s := range demo.ScopeTexts() {
		if !slices.ContainsFunc(c.Scopes, func(known config.Scope) bool { return known.Name == s.Name }) {
			c.Scopes = append(c.Scopes, config.Scope{Name: s.Name, TextEN: s.English, TextZH: s.Chinese, Optional: s.Optional})
		}
	}
	o.Demo = true
	o.Extra = func(s *server.Server, pages *web.Pages, base string) map[string]web.Handler {
		playground := &demo.Playground{Pages: pages, Browsers: s.Browsers(), Issuer: c.Issuer, Base: base, Handler: s.Handler}
		return playground.Handlers()
	}
	o.Log.Warn("this is a demo: everybody knows its passwords and secrets", "data", c.Data)
	return c.Finish()
}

var errDemoOpen = errors.New("--demo has well-known passwords and is for this machine only; let listen and issuer be localhost")

func isLoopbackHost(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

func isLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// warn logs everything that is allowed and yet unsafe.
func warn(ctx context.Context, s *server.Server, c *config.Config, log *slog.Logger) error {
	for _, text := range slices.Concat(c.Warnings(), fileWarnings(c)) {
		log.Warn(text)
	}
	return eachClient(ctx, s.Store, func(client store.Client) error {
		for _, text := range legacyWarnings(client.Metadata, c.ForbiddenGrants) {
			log.Warn(text, "client", client.ID)
		}
		return nil
	})
}

// legacyWarnings are the warnings about a client on a server that may forbid
// what the client is registered for.
func legacyWarnings(m oauth.ClientMetadata, forbidden []string) []string {
	m.GrantTypes = slices.DeleteFunc(slices.Clone(m.GrantTypes), func(g string) bool { return slices.Contains(forbidden, g) })
	return m.Warnings()
}

// fileWarnings tells when others on this machine can read what protects the
// server. Hufu makes its files and directories so that they cannot; whoever
// opened them since may have had a reason.
func fileWarnings(c *config.Config) []string {
	var warnings []string
	for _, path := range []string{c.Data, c.SQLitePath(), c.DatabaseFile, c.MasterKeyFile, server.MasterKeyPath(c)} {
		if path == "" {
			continue
		}
		if found, err := os.Stat(path); err == nil && found.Mode().Perm()&0o077 != 0 {
			warnings = append(warnings, fmt.Sprintf("%s can be opened by others on this machine (mode %04o); chmod go= closes it", path, found.Mode().Perm()))
		}
	}
	return warnings
}

// pageSize is how many records a command reads at a time.
const pageSize = 500

// eachClient walks all clients in the order of their ids.
func eachClient(ctx context.Context, db *store.Store, visit func(c store.Client) error) error {
	for after := ""; ; {
		page, err := db.Clients(ctx, after, pageSize)
		if err != nil {
			return err
		}
		for _, c := range page {
			if err := visit(c); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		after = page[len(page)-1].ID
	}
}
