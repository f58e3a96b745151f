package demo

import (
	"fmt"
	"strings"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// columns that a printed command may fill, beside its indentation. Addresses
// cannot be broken.
const columns = 76

// sedRefreshToken takes the refresh token out of an answer, without a JSON
// program that a fresh machine lacks.
const sedRefreshToken = `sed 's/.*"refresh_token":"\([^"]*\)".*/\1/'`

// Tutorial is what the server prints when it starts with --demo: one command or
// address for each grant, in the order of the seed.
func Tutorial(issuer string) string {
	c := calls{issuer}
	var b strings.Builder
	fmt.Fprintf(&b, "\nHufu is ready for you to try, at %s\n\n", issuer)
	fmt.Fprintf(&b, "  Playground   %s/playground\n", issuer)
	fmt.Fprintf(&b, "               every grant in your browser, each request and answer explained\n")
	fmt.Fprintf(&b, "  People       %-6s %s\n", Alice, AlicePassword)
	fmt.Fprintf(&b, "               %-6s %s\n", Bob, BobPassword)
	b.WriteString("\nOr here: paste a command into another terminal, open an address in a browser.\n")

	section(&b, 1, "Authorization code: a person signs in, a web application gets the tokens.",
		"The page you arrive at shows the command that exchanges the code.", c.authorize(WebID, WebID, "").url())
	section(&b, 0, "The same with PKCE, for an app that cannot keep a secret.",
		"", c.authorize(AppID, AppID, Verifier).url())
	section(&b, 2, "Implicit: the token comes back in the address. Legacy, and off by default.",
		"The page you arrive at shows the token and the command that checks it.", c.implicit(LegacyID).url())
	section(&b, 3, "Password: the application is given the password. Legacy, and off by default.",
		"", fill(c.password(Alice, AlicePassword, reading).words("curl"), 0, columns))
	section(&b, 4, "Client credentials: a program asks for itself.",
		"", fill(c.clientCredentials("notes:read").words("curl"), 0, columns))
	section(&b, 5, "Refresh token: new tokens for old. The inner command gets the first one.",
		"", c.pastedRefresh())
	b.WriteString("\nStop with Ctrl-C. The demo's data stay in a directory of their own.\n\n")
	return b.String()
}

// section writes one grant: what it is, what to expect, and what to copy. Number
// 0 goes on with the one before.
func section(b *strings.Builder, number int, title, hint, text string) {
	if number > 0 {
		fmt.Fprintf(b, "\n%d. %s\n", number, title)
	} else {
		fmt.Fprintf(b, "\n   %s\n", title)
	}
	if hint != "" {
		fmt.Fprintf(b, "   %s\n", hint)
	}
	fmt.Fprintf(b, "\n  %s\n", strings.ReplaceAll(text, "\n", "\n  "))
}

// pastedRefresh is the refresh grant as one command, whose refresh token comes
// from a password grant inside of it.
func (c calls) pastedRefresh() string {
	outer := post(c.issuer+refreshTokenPath, append([]oauth.Param{{Name: "grant_type", Value: oauth.GrantRefreshToken}}, credentials(LegacyID)...)...)
	const begin = `-d refresh_token="$(`
	inner := fill(c.password(Alice, AlicePassword, reading).words("curl -s"), len(begin)+2, columns-2)
	return fill(outer.words("curl"), 0, columns) + next + begin + strings.ReplaceAll(inner, "\n", "\n  ") + next + "  | " + sedRefreshToken + `)"`
}
