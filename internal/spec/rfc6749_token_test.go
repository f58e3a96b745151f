package spec_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// RFC 6749 Section 3.2: a token request is a POST. Every other method is 405
// with Allow, gives no token and spends nothing, whatever it carries and
// whatever a header claims (TE-01, TE-12).
func TestRFC6749_3_2_PostOnly(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		for grant, request := range tokenRequests(t, app, at) {
			for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "BREW"} {
				r := s.Request(t, method, request.path+"?"+request.form.Encode(), request.form.Encode())
				r.Header.Set("X-HTTP-Method-Override", "POST")
				answer := s.Do(t, r)
				if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "POST" || answer.JSON("access_token") != nil {
					t.Errorf("%s %s: %d, Allow %q, want 405, POST\n%s", method, request.path, answer.StatusCode, answer.Header.Get("Allow"), answer.Body)
				}
			}
			if answer := s.Post(t, request.path, request.form); answer.StatusCode != http.StatusOK {
				t.Errorf("%s after the refused requests: %d %s", grant, answer.StatusCode, answer.Body)
			}
		}
	})
}

// RFC 6749 Section 3.2 with Section 4.1.3: parameters come as
// application/x-www-form-urlencoded, however the header spells it. Another media
// type is 415 and spends nothing (TE-12).
func TestRFC6749_3_2_MediaType(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		for grant, request := range tokenRequests(t, app, at) {
			flat := map[string]string{}
			for name := range request.form {
				flat[name] = request.form.Get(name)
			}
			asJSON, err := json.Marshal(flat)
			if err != nil {
				t.Fatal(err)
			}
			encoded := request.form.Encode()
			for kind, body := range map[string]string{
				"":                                 encoded,
				"text/plain":                       encoded,
				"application/json":                 string(asJSON),
				"application/json; charset=utf-8":  string(asJSON),
				"application/octet-stream":         encoded,
				"multipart/form-data; boundary=XX": "--XX\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\n" + grant + "\r\n--XX--\r\n",
				"application/x-www-form-urlencoded, text/plain": encoded,
				"x-www-form-urlencoded":                         encoded,
				";":                                             encoded,
			} {
				r := s.Request(t, http.MethodPost, request.path, body)
				r.Header.Del("Content-Type")
				if kind != "" {
					r.Header.Set("Content-Type", kind)
				}
				wantTokenError(t, s.Do(t, r), http.StatusUnsupportedMediaType, oauth.InvalidRequest)
			}
		}
		for _, kind := range []string{
			"application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-URLEncoded", "application/x-www-form-urlencoded;",
			" application/x-www-form-urlencoded ;charset=\"utf-8\"", "application/x-www-form-urlencoded; charset",
		} {
			r := formTo(t, s, at.ClientCredentials, app.Credentials("grant_type", "client_credentials"))
			r.Header.Set("Content-Type", kind)
			if answer := s.Do(t, r); answer.StatusCode != http.StatusOK {
				t.Errorf("Content-Type %q: %d %s", kind, answer.StatusCode, answer.Body)
			}
		}
	})
}

// RFC 6749 Section 3.2: no parameter is sent more than once, not even with the
// same value twice or one of them empty, not even one that nobody knows. The
// refusal spends nothing.
func TestRFC6749_3_2_ParameterRepeated(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		for _, request := range tokenRequests(t, app, at) {
			for name := range changed(request.form, "unknown", "1", "scope", "read") {
				for _, second := range []string{request.form.Get(name), "", "other"} {
					form := changed(request.form)
					form[name] = []string{request.form.Get(name), second}
					wantTokenError(t, s.Post(t, request.path, form), http.StatusBadRequest, oauth.InvalidRequest)
				}
			}
			wantGranted(t, s.Post(t, request.path, request.form))
		}
	})
}

// RFC 6749 Section 3.2: a parameter without a value counts as left out. Left
// out and empty get the same answer, and names and values of parameters are
// case-sensitive (TE-16).
func TestRFC6749_3_2_EmptyIsMissing(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		for grant, request := range tokenRequests(t, app, at) {
			for name := range request.form {
				empty, missing := s.Post(t, request.path, changed(request.form, name, "")), s.Post(t, request.path, lacking(request.form, name))
				if strings.HasPrefix(name, "client_") {
					wantTokenError(t, empty, http.StatusUnauthorized, oauth.InvalidClient)
				} else {
					wantTokenError(t, empty, http.StatusBadRequest, oauth.InvalidRequest)
				}
				if diff := cmp.Diff(string(missing.Body), string(empty.Body)); diff != "" {
					t.Errorf("%s: %s empty is not as %s missing:\n%s", grant, name, name, diff)
				}
				capital := lacking(request.form, name)
				capital.Set(strings.ToUpper(name), request.form.Get(name))
				if answer := s.Post(t, request.path, capital); string(answer.Body) != string(missing.Body) {
					t.Errorf("%s: %s was read: %s", grant, strings.ToUpper(name), answer.Body)
				}
			}
			optional := changed(request.form, "scope", "", "resource", "", "code_verifier", "", "client_assertion", "", "client_assertion_type", "")
			wantGranted(t, s.Post(t, request.path, optional))
		}
	})
}

// RFC 6749 Section 3.2: a parameter that the server does not know is ignored
// (TE-06).
func TestRFC6749_3_2_UnknownParameter(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		for _, request := range tokenRequests(t, app, at) {
			wantGranted(t, s.Post(t, request.path, changed(request.form,
				"audience", "x", "utf8", "✓", "", "nameless", "a b", "\r\n", "state", "s", "nonce", "n", "<script>", "'--", "access_token", "x")))
		}
	})
}

// RFC 6749 Section 2.3.1: neither credentials nor anything else is read from the
// request URI.
func TestRFC6749_3_2_QueryIsNotRead(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		for grant, request := range tokenRequests(t, app, at) {
			query := "?" + request.form.Encode()
			for name := range request.form {
				in, out := s.Post(t, request.path+query, lacking(request.form, name)), s.Post(t, request.path, lacking(request.form, name))
				if in.StatusCode == http.StatusOK || string(in.Body) != string(out.Body) {
					t.Errorf("%s: %s was read from the query: %d %s", grant, name, in.StatusCode, in.Body)
				}
			}
			wantGranted(t, s.Post(t, request.path+"?client_id=other&grant_type=other&scope=other&code=other&refresh_token=other&bad=%zz", request.form))
		}
	})
}

// RFC 6749 Appendix B: text that is not UTF-8, that holds NUL, or that is not
// well encoded is refused before anything looks at it (TE-08).
func TestRFC6749_B_BadText(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	bad := []string{"%00", "a%00b", "%ff", "%c3%28", "%ed%a0%80", "%f4%90%80%80", "%c0%80", "%", "%zz", "%u0041", "\xff", "\x00"}
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		for _, request := range tokenRequests(t, app, at) {
			for name := range changed(request.form, "scope", "", "resource", "", "unknown", "") {
				for _, value := range bad {
					body := lacking(request.form, name).Encode() + "&" + name + "=" + value
					wantTokenError(t, s.Do(t, s.Request(t, http.MethodPost, request.path, body)), http.StatusBadRequest, oauth.InvalidRequest)
				}
			}
			for _, name := range bad {
				body := request.form.Encode() + "&" + name + "=1"
				wantTokenError(t, s.Do(t, s.Request(t, http.MethodPost, request.path, body)), http.StatusBadRequest, oauth.InvalidRequest)
			}
			wantGranted(t, s.Post(t, request.path, request.form))
		}
	})
}

// A value of tens of kilobytes is a wrong value like any other: refused with 4xx,
// at once, with nothing of it in the answer (TE-04, TE-08).
func TestRFC6749_3_2_HugeValues(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		for grant, request := range tokenRequests(t, app, at) {
			for name := range changed(request.form, "scope", "", "resource", "", "code_verifier", "") {
				if grant != "authorization_code" && name == "code_verifier" || grant == "authorization_code" && name == "scope" {
					continue // not a parameter of the grant
				}
				for _, value := range []string{strings.Repeat("a", 60_000), strings.Repeat("界", 6_000), strings.Repeat("a ", 30_000), "hrt_" + strings.Repeat("A", 60_000)} {
					answer := s.Post(t, request.path, changed(request.form, name, value))
					if answer.StatusCode < 400 || answer.StatusCode >= 500 || len(answer.Body) > 1000 {
						t.Errorf("%s with %s of %d bytes: %d %.300s", grant, name, len(value), answer.StatusCode, answer.Body)
					}
				}
			}
		}
	})
}

// A body of more than 64 KiB and a header of more than 32 KiB are refused within
// a second; the largest allowed are served (TE-04).
func TestRFC6749_3_2_Limits(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		for _, request := range tokenRequests(t, app, at) {
			base := request.form.Encode() + "&padding="
			full := base + strings.Repeat("a", 64<<10-len(base))
			for name, body := range map[string]string{"one byte too long": full + "a", "1 MiB": full + strings.Repeat("a", 1<<20)} {
				for _, chunked := range []bool{false, true} {
					r := s.Request(t, http.MethodPost, request.path, body)
					if chunked {
						r.Body, r.ContentLength, r.GetBody = io.NopCloser(strings.NewReader(body)), -1, nil
					}
					began := time.Now()
					wantTokenError(t, s.Do(t, r), http.StatusRequestEntityTooLarge, oauth.InvalidRequest)
					if took := time.Since(began); took > time.Second {
						t.Errorf("%s (chunked %t) took %s", name, chunked, took)
					}
				}
			}
			wantGranted(t, s.Post(t, at.ClientCredentials, app.Credentials("grant_type", "client_credentials"))) // so that the connection is not a new one
			header := formTo(t, s, request.path, request.form)
			header.Header.Set("X-Padding", strings.Repeat("a", 32<<10))
			if answer := s.Do(t, header); answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("header over 32 KiB: %d", answer.StatusCode)
			}
			r := s.Request(t, http.MethodPost, request.path, full)
			r.Header.Set("X-Padding", strings.Repeat("a", 24<<10))
			wantGranted(t, s.Do(t, r))
		}
	})
}

// A caller who sends the header or the body slowly loses the connection, and
// everybody else is served meanwhile (TE-05).
func TestRFC6749_3_2_SlowCallers(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	for name, tt := range map[string]struct {
		begins string
		within time.Duration
	}{
		"header": {"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Le", 8 * time.Second},
		"body":   {"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant_type", 20 * time.Second},
		"idle":   {"", 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 {
				slow, err := net.Dial("tcp", strings.TrimPrefix(s.Origin, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { slow.Close() })
				if _, err := io.WriteString(slow, tt.begins); err != nil {
					t.Fatal(err)
				}
				if err := slow.SetReadDeadline(time.Now().Add(tt.within)); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if _, err := io.Copy(io.Discard, slow); isTimeout(err) {
						t.Errorf("the connection was still open after %s", tt.within)
					}
				})
			}
			if _, err := app.ClientToken(t, oauthtest.AllAddresses[0]); err != nil {
				t.Errorf("another caller: %v", err)
			}
		})
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// A request that two servers could read differently is not read at all (HP-03).
func TestRFC9112_6_3_AmbiguousFraming(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	body := app.Credentials("grant_type", "client_credentials").Encode()
	for name, header := range map[string]string{
		"two lengths":       fmt.Sprintf("Host: a\r\nContent-Length: %d\r\nContent-Length: 5\r\n", len(body)),
		"two hosts":         fmt.Sprintf("Host: a\r\nHost: b\r\nContent-Length: %d\r\n", len(body)),
		"no host":           fmt.Sprintf("Content-Length: %d\r\n", len(body)),
		"unknown coding":    "Host: a\r\nTransfer-Encoding: xchunked\r\n",
		"space in the name": fmt.Sprintf("Host: a\r\nContent-Length : %d\r\n", len(body)),
		"negative length":   "Host: a\r\nContent-Length: -1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.Origin, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "POST /token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n%s\r\n%s", header, body)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != http.StatusBadRequest && answer.StatusCode != http.StatusNotImplemented {
				t.Errorf("status %d", answer.StatusCode)
			}
		})
	}
}

// The endpoint has the addresses it is published under and no others.
func TestRFC6749_3_2_ExactAddress(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	for _, path := range []string{
		"/token/", "/Token", "/token.json", "/token%20", "/token;x", "/oauth2/", "/oauth2", "/oauth2/token", "/oauth2/Password", "/oauth2/password/",
		"/oauth2/client_credentials", "/oauth2/implicit", "/open/token", "/%2e%2e/x/token",
	} {
		if answer := s.Post(t, path, app.Credentials("grant_type", "client_credentials")); answer.StatusCode != http.StatusNotFound {
			t.Errorf("POST %s: %d", path, answer.StatusCode)
		}
	}
}

// RFC 9700 Section 2.6: scripts of any origin may call the token and revocation
// endpoints, with no credentials of the browser's; they cannot read
// introspection or any page (TE-07).
func TestRFC9700_2_6_CrossOrigin(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	open := []string{"/token", "/oauth2/authorize", "/oauth2/password", "/oauth2/client-credentials", "/oauth2/refresh-token", "/revoke"}
	closed := []string{"/introspect", "/authorize", "/open/authorize/index", "/open/implicit", "/authorize/resume", "/login", "/consent", "/end-session", "/logout/done", "/", "/healthz", "/readyz", "/nothing"}
	for _, origin := range []string{"https://app.example", "null", s.Origin + ".evil.example"} {
		for _, path := range open {
			preflight := s.Request(t, http.MethodOptions, path, "")
			preflight.Header.Set("Origin", origin)
			preflight.Header.Set("Access-Control-Request-Method", "POST")
			preflight.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
			answer := s.Do(t, preflight)
			wantCORS(t, answer, "*")
			if answer.StatusCode != http.StatusNoContent || answer.Header.Get("Access-Control-Allow-Methods") != "POST" ||
				!strings.Contains(strings.ToLower(answer.Header.Get("Access-Control-Allow-Headers")), "authorization") {
				t.Errorf("preflight of %s: %d %v", path, answer.StatusCode, answer.Header)
			}
			for _, form := range []url.Values{app.Credentials("grant_type", "client_credentials", "token", "x"), {}} {
				r := formTo(t, s, path, form)
				r.Header.Set("Origin", origin)
				wantCORS(t, s.Do(t, r), "*")
			}
		}
		for _, path := range closed {
			for _, method := range []string{http.MethodOptions, http.MethodPost, http.MethodGet} {
				r := s.Request(t, method, path, "")
				r.Header.Set("Origin", origin)
				r.Header.Set("Access-Control-Request-Method", "POST")
				wantCORS(t, s.Do(t, r), "")
			}
		}
	}
}

func wantCORS(t *testing.T, answer *oauthtest.Answer, origin string) {
	t.Helper()
	if got := answer.Header.Get("Access-Control-Allow-Origin"); got != origin {
		t.Errorf("%s %s: Access-Control-Allow-Origin = %q, want %q", answer.Request.Method, answer.Request.URL.Path, got, origin)
	}
	if got := answer.Header.Get("Access-Control-Allow-Credentials"); got != "" {
		t.Errorf("%s %s: Access-Control-Allow-Credentials = %q", answer.Request.Method, answer.Request.URL.Path, got)
	}
}

// RFC 6749 Section 5.1: a success is JSON that no cache keeps, with exactly the members
// there are; expires_in is a number. A client gets a refresh token for a code and a
// password, not for its own credentials (TE-02, AT-01, RO-05, conformance 50, 51).
func TestRFC6749_5_1_Success(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for name, format := range map[string]func(*oauth.ClientMetadata){"jwt": func(*oauth.ClientMetadata) {}, "opaque": oauthtest.Opaque} {
		oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
			app := s.App(t, format).At(at)
			for grant, request := range tokenRequests(t, app, at) {
				answer := s.Post(t, request.path, request.form)
				if answer.StatusCode != http.StatusOK {
					t.Fatalf("%s %s: %d %s", name, grant, answer.StatusCode, answer.Body)
				}
				for header, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache", "X-Content-Type-Options": "nosniff"} {
					if got := answer.Header.Get(header); got != want {
						t.Errorf("%s: %s = %q, want %q", grant, header, got, want)
					}
				}
				var members map[string]any
				if err := json.Unmarshal(answer.Body, &members); err != nil {
					t.Fatal(err)
				}
				want := []string{"access_token", "expires_in", "refresh_token", "scope", "token_type"}
				if grant == "client_credentials" {
					want = slices.DeleteFunc(want, func(m string) bool { return m == "refresh_token" })
				}
				if diff := cmp.Diff(want, slices.Sorted(maps.Keys(members))); diff != "" {
					t.Errorf("%s: members: %s", grant, diff)
				}
				if members["token_type"] != "Bearer" || members["expires_in"] != 600.0 {
					t.Errorf("%s: token_type %v, expires_in %v", grant, members["token_type"], members["expires_in"])
				}
				if got := strings.HasPrefix(answer.Text("access_token"), "hat_"); got != (name == "opaque") {
					t.Errorf("%s: access token of a client with %s tokens: %s", grant, name, answer.Text("access_token"))
				}
				wantActive(t, app, grant+" token", answer.Text("access_token"), true)
			}
		})
	}
}

// An access token lives 10 minutes by default and as long as its client is
// registered for, one hour at most; then it is dead (AT-01, conformance 5).
func TestRFC6749_4_2_2_AccessTokenLifetime(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		for _, tt := range []struct {
			seconds int64
			want    time.Duration
		}{{0, 10 * time.Minute}, {60, time.Minute}, {3600, time.Hour}} {
			app := s.App(t, func(m *oauth.ClientMetadata) { m.AccessTokenLifetime = tt.seconds }).At(at)
			tokens := map[string]*oauthtest.Answer{}
			for grant, request := range tokenRequests(t, app, at) {
				tokens[grant] = s.Post(t, request.path, request.form)
				if got := tokens[grant].JSON("expires_in"); got != tt.want.Seconds() {
					t.Errorf("%s: expires_in = %v, want %v", grant, got, tt.want.Seconds())
				}
			}
			s.Clock.Advance(tt.want - 10*time.Second)
			for grant, answer := range tokens {
				wantActive(t, app, grant+" token near its end", answer.Text("access_token"), true)
			}
			s.Clock.Advance(11 * time.Second)
			for grant, answer := range tokens {
				wantActive(t, app, grant+" token after its end", answer.Text("access_token"), false)
			}
		}
	})
	for _, seconds := range []int64{-1, 1, 59, 3601} {
		m := oauthtest.EveryGrant()
		m.AccessTokenLifetime = seconds
		if _, _, err := s.Clients.Register(t.Context(), "", m, "", byOperator); oauth.CodeOf(err) != oauth.InvalidClientMetadata {
			t.Errorf("registering a lifetime of %d s: %v", seconds, err)
		}
	}
}

// RFC 6749 Section 5.2: an unknown grant is unsupported_grant_type, one that the
// client is not registered for is unauthorized_client (TE-03, RO-01).
func TestRFC6749_5_2_GrantType(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		requests := tokenRequests(t, app, at)
		for _, request := range requests {
			for _, unknown := range []string{
				"implicit", "code", "token", "Authorization_Code", "PASSWORD", "client-credentials", "refresh_token ", " password", "password\n",
				"urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange", "密码",
			} {
				wantTokenError(t, s.Post(t, request.path, changed(request.form, "grant_type", unknown)), http.StatusBadRequest, oauth.UnsupportedGrantType)
			}
		}
		for grant, request := range requests {
			fewer := s.App(t, func(m *oauth.ClientMetadata) {
				m.GrantTypes = slices.DeleteFunc(m.GrantTypes, func(g string) bool { return g == grant })
			}).At(at)
			form := changed(request.form, "client_id", fewer.ClientID, "client_secret", fewer.ClientSecret)
			wantTokenError(t, s.Post(t, request.path, form), http.StatusBadRequest, oauth.UnauthorizedClient)
			wantGranted(t, s.Post(t, request.path, request.form))
		}
	})
}

// The seed's addresses take their own grant and no other, and are otherwise the
// token endpoint (LE-01).
func TestSeedAddressesPinTheGrant(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	at := oauthtest.AllAddresses[1]
	app := s.App(t).At(at)
	requests := tokenRequests(t, app, at)
	for grant, request := range requests {
		for other, foreign := range requests {
			if other == grant {
				continue
			}
			wantTokenError(t, s.Post(t, request.path, foreign.form), http.StatusBadRequest, oauth.UnsupportedGrantType)
		}
		wantTokenError(t, s.Post(t, request.path, lacking(request.form, "grant_type")), http.StatusBadRequest, oauth.InvalidRequest)
		wantTokenError(t, s.Post(t, request.path, changed(request.form, "client_secret", "wrong-secret-0123456789")), http.StatusUnauthorized, oauth.InvalidClient)
	}
	for grant, request := range requests {
		if answer := s.Post(t, request.path, request.form); answer.StatusCode != http.StatusOK {
			t.Errorf("%s after the refused requests: %d %s", grant, answer.StatusCode, answer.Body)
		}
	}
}

// A grant begun at one address goes on at the other: there is one engine behind
// both (LE-01).
func TestSeedAddressesShareOneEngine(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	standard, seed := oauthtest.AllAddresses[0], oauthtest.AllAddresses[1]
	for _, from := range []struct{ code, redeem, refresh oauthtest.Addresses }{{standard, seed, standard}, {seed, standard, seed}} {
		app := s.App(t)
		code := app.At(from.code).Authorize(t, "alice", "")
		answer := redeem(t, app.At(from.redeem), code)
		wantGranted(t, answer)
		wantGranted(t, app.Refresh(t, from.refresh, answer.Text("refresh_token")))
		// What one address has spent is spent at the other.
		wantTokenError(t, redeem(t, app.At(from.code), code), http.StatusBadRequest, oauth.InvalidGrant)
	}
}

// The client reads a terse refusal, the operator the whole reason under the
// same request id; neither tells a secret.
func TestRFC6749_5_2_RefusalExplainsItselfTwice(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	oauthtest.EachAddress(t, func(t *testing.T, at oauthtest.Addresses) {
		app := s.App(t).At(at)
		code := app.Authorize(t, "alice", "")
		form := changed(codeForm(app, code), "redirect_uri", "https://app.example/other")
		answer := s.Post(t, at.AuthorizationCode, form)
		wantTokenError(t, answer, http.StatusBadRequest, oauth.InvalidGrant)
		if strings.Contains(string(answer.Body), "app.example") {
			t.Errorf("the answer tells the registered value: %s", answer.Body)
		}
		line := logLine(t, s, answer.Header.Get("X-Request-Id"))
		for _, want := range []string{oauthtest.Callback, `"error":"invalid_grant"`, `"client":"` + app.ClientID + `"`, `"grant_type":"authorization_code"`} {
			if !strings.Contains(line, want) {
				t.Errorf("the log line lacks %s: %s", want, line)
			}
		}
		if strings.Contains(line, code) || strings.Contains(line, app.ClientSecret) {
			t.Errorf("the log line tells a secret: %s", line)
		}
	})
}

// logLine is the one line of a request; it is written when the answer is out, so
// it may come a moment later.
func logLine(t *testing.T, s *oauthtest.Server, requestID string) string {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		for line := range strings.Lines(s.Log.String()) {
			if strings.Contains(line, requestID) {
				return line
			}
		}
	}
	t.Fatalf("no line of request %s", requestID)
	return ""
}
