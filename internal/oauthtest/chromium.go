package oauthtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// stepTimeout bounds one step of a Tab. Pages answer in milliseconds; a machine
// under the race detector and other tests takes its time.
const stepTimeout = 30 * time.Second

// The browsers that tabs are of. Debian's chromium-headless-shell has the pages and the
// scripts of the whole Chromium without what is around them, for a third of the time.
const (
	shell = "chromium-headless-shell"
	whole = "chromium"
)

// browsers are the processes of a test binary, by program, each begun with its first tab.
var browsers = struct {
	sync.Mutex
	running map[string]browser
}{running: map[string]browser{}}

// A browser is one of them.
type browser struct {
	ctx  context.Context
	stop context.CancelFunc
}

// startBrowser returns the context of a browser, which reaches nothing but loopback.
func startBrowser(program string) (context.Context, error) {
	browsers.Lock()
	defer browsers.Unlock()
	if b, ok := browsers.running[program]; ok {
		return b.ctx, nil
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("renderer-process-limit", "2"), // tabs share them; to start one takes longer than most pages
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-domain-reliability", true), chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.WSURLReadTimeout(time.Minute))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {})) // it does not know every event of a newer browser
	if err := chromedp.Run(ctx); err != nil {
		cancel()
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	browsers.running[program] = browser{ctx, cancel}
	return ctx, nil
}

// StopBrowsers ends the browser processes that were begun. TestMain calls it.
func StopBrowsers() {
	browsers.Lock()
	defer browsers.Unlock()
	for _, b := range browsers.running {
		b.end()
	}
	clear(browsers.running)
}

// end asks a browser to close, so that it leaves no files behind; one that does not is
// ended by its process id.
func (b browser) end() {
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	_ = chromedp.Cancel(ctx)
	b.stop()
}

// A Tab is one tab of a real Chromium. Its methods act as a person would, with
// mouse and keyboard, and fail the test when the page does not let them.
type Tab struct {
	Status  int               // of the page that is open
	Header  map[string]string // of the page that is open, by lower-case name
	browser context.Context
	profile cdp.BrowserContextID
	ctx     context.Context

	mu        sync.Mutex
	grumble   []complaint
	grumbled  chan struct{}
	documents map[string]bool // addresses of pages
}

// A complaint is something that the browser found wrong.
type complaint struct{ text, refused string }

// NewTab opens a tab in a browser of its own: nobody is signed in, no cookie is set.
func NewTab(t testing.TB) *Tab {
	t.Helper()
	return newBrowserTab(t, shell)
}

// NewWindow is NewTab in the whole Chromium, for what a browser does around its pages:
// passkeys, cookies, windows, history, keys. On PostgreSQL it is the shell as well; what
// is around a page does not know the database.
func NewWindow(t testing.TB) *Tab {
	t.Helper()
	if OnPostgres() {
		return newBrowserTab(t, shell)
	}
	return newBrowserTab(t, whole)
}

func newBrowserTab(t testing.TB, program string) *Tab {
	t.Helper()
	ctx, err := startBrowser(program)
	if err != nil {
		t.Fatal(err)
	}
	on := chromedp.FromContext(ctx).Browser
	var profile cdp.BrowserContextID
	if profile, err = target.CreateBrowserContext().Do(cdp.WithExecutor(ctx, on)); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	t.Cleanup(func() {
		if err := target.DisposeBrowserContext(profile).Do(cdp.WithExecutor(ctx, on)); err != nil {
			t.Errorf("chromium: %v", err)
		}
	})
	return newTab(t, ctx, profile)
}

// Beside opens another tab of the same browser, with the same cookies.
func (b *Tab) Beside(t testing.TB) *Tab {
	t.Helper()
	return newTab(t, b.browser, b.profile)
}

// Popup presses an element that opens a window, and returns that window when its
// page is there.
func (b *Tab) Popup(t testing.TB, selector string) *Tab {
	t.Helper()
	opened := chromedp.WaitNewTarget(b.ctx, func(i *target.Info) bool { return i.OpenerID != "" })
	b.Click(t, selector)
	select {
	case id := <-opened:
		p := attach(t, b.browser, b.profile, id)
		p.Reload(t) // it may have loaded before anybody looked
		return p
	case <-time.After(stepTimeout):
		t.Fatalf("%s opened no window", selector)
		return nil
	}
}

func newTab(t testing.TB, browser context.Context, profile cdp.BrowserContextID) *Tab {
	t.Helper()
	// A new profile has no window yet, and without one there is no tab.
	id, err := target.CreateTarget("about:blank").WithBrowserContextID(profile).WithNewWindow(true).
		Do(cdp.WithExecutor(browser, chromedp.FromContext(browser).Browser))
	if err != nil {
		t.Fatalf("chromium: new tab: %v", err)
	}
	return attach(t, browser, profile, id)
}

func attach(t testing.TB, browser context.Context, profile cdp.BrowserContextID, id target.ID) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithTargetID(id))
	t.Cleanup(cancel)
	b := &Tab{browser: browser, profile: profile, ctx: ctx, grumbled: make(chan struct{}, 1), documents: map[string]bool{}}
	chromedp.ListenTarget(ctx, b.listen)
	if err := chromedp.Run(ctx, audits.Enable(), emulation.SetFocusEmulationEnabled(true)); err != nil {
		t.Fatalf("chromium: new tab: %v", err)
	}
	return b
}

// listen collects what the browser has to complain about: errors of scripts,
// violations of the Content-Security-Policy, broken requests, and its own audits
// of forms and cookies.
func (b *Tab) listen(event any) {
	var c complaint
	switch e := event.(type) {
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument {
			b.mu.Lock()
			b.documents[e.Response.URL] = true
			b.mu.Unlock()
		}
	case *runtime.EventExceptionThrown:
		c.text = "exception: " + e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning || e.Type == runtime.APITypeAssert {
			c.text = fmt.Sprintf("console: %s", e.Args[0].Value)
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.LevelError || e.Entry.Level == cdplog.LevelWarning {
			c.text = fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
		if strings.Contains(e.Entry.Text, "responded with a status of") {
			c.refused = e.Entry.URL
		}
	case *audits.EventIssueAdded:
		details, _ := json.Marshal(e.Issue.Details)
		c.text = fmt.Sprintf("issue: %s %s", e.Issue.Code, details)
	}
	if c.text != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.grumble = append(b.grumble, c)
		select {
		case b.grumbled <- struct{}{}:
		default: // somebody will look anyway
		}
	}
}

// Complaints returns what the browser complained about since it was last asked.
// That a page itself came with an error status is no complaint: see Status.
func (b *Tab) Complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var texts []string
	for _, c := range b.grumble {
		if c.refused == "" || !b.documents[c.refused] {
			texts = append(texts, c.text)
		}
	}
	b.grumble = nil
	return texts
}

// Complains waits until the browser complains about something, and forgets all it
// said before.
func (b *Tab) Complains(t testing.TB, about string) bool {
	t.Helper()
	late := time.After(stepTimeout)
	for {
		if slices.ContainsFunc(b.Complaints(), func(c string) bool { return strings.Contains(c, about) }) {
			return true
		}
		select {
		case <-b.grumbled:
		case <-late:
			return false
		}
	}
}

// Do performs actions on the tab.
func (b *Tab) Do(t testing.TB, actions ...chromedp.Action) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatalf("chromium at %s: %v", b.URL(t), err)
	}
}

// Load performs actions that lead to another page, and waits for it.
func (b *Tab) Load(t testing.TB, actions ...chromedp.Action) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, actions...)
	if err == nil {
		err = chromedp.Run(ctx, settled)
	}
	if err != nil {
		t.Fatalf("chromium: waiting for the page behind %s: %v", b.URL(t), err)
	}
	b.arrived(response)
}

// settled waits until the cursor is where the page wants it, which comes a
// moment after the page.
var settled = chromedp.ActionFunc(func(ctx context.Context) error {
	for ready := false; !ready; {
		if err := chromedp.Evaluate(`!document.querySelector("[autofocus]") || document.activeElement !== document.body`, &ready).Do(ctx); err != nil {
			return err
		}
	}
	return nil
})

// arrived notes the answer that a page came with.
func (b *Tab) arrived(response *network.Response) {
	b.Status, b.Header = 0, map[string]string{}
	if response != nil {
		b.Status = int(response.Status)
		for name, value := range response.Headers {
			b.Header[strings.ToLower(name)] = fmt.Sprint(value)
		}
	}
}

// Open goes to an address and waits for its page.
func (b *Tab) Open(t testing.TB, address string) {
	t.Helper()
	b.Load(t, chromedp.ActionFunc(func(ctx context.Context) error {
		_, _, failure, _, err := page.Navigate(address).Do(ctx)
		if err == nil && failure != "" {
			err = fmt.Errorf("%s: %s", address, failure)
		}
		return err
	}))
}

// Go goes to an address whose page leads on by itself, and waits until the address in the
// bar has a path. What the browser says of pages that nobody has touched is forgotten.
func (b *Tab) Go(t testing.TB, address, path string) {
	t.Helper()
	b.Do(t, chromedp.ActionFunc(func(ctx context.Context) error {
		_, _, _, _, err := page.Navigate(address).Do(ctx)
		return err
	}))
	for late := time.Now().Add(stepTimeout); b.URL(t).Path != path; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("%s led to %s, want %s", address, b.URL(t), path)
		}
	}
	b.Reload(t)
	b.Complaints()
}

// Back presses the browser's back button. The browser may show the page as it
// was left, without asking the server; Status is 0 then.
func (b *Tab) Back(t testing.TB) {
	t.Helper()
	var now int64
	var entries []*page.NavigationEntry
	b.Do(t, chromedp.NavigationEntries(&now, &entries))
	if now < 1 {
		t.Fatalf("there is no page before %s", b.URL(t))
	}
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	restored := make(chan struct{}, 1)
	chromedp.ListenTarget(ctx, func(event any) {
		if e, ok := event.(*page.EventFrameNavigated); ok && e.Type == page.NavigationTypeBackForwardCacheRestore {
			restored <- struct{}{}
		}
	})
	loaded := make(chan error, 1)
	go func() {
		response, err := chromedp.RunResponse(ctx, page.NavigateToHistoryEntry(entries[now-1].ID))
		b.arrived(response)
		loaded <- err
	}()
	select {
	case <-restored:
		cancel()
		<-loaded
	case err := <-loaded:
		if err != nil {
			t.Fatalf("chromium: going back from %s: %v", entries[now].URL, err)
		}
	}
}

// Reload presses the browser's reload button.
func (b *Tab) Reload(t testing.TB) {
	t.Helper()
	b.Load(t, page.Reload())
}

// URL is the address in the bar.
func (b *Tab) URL(t testing.TB) *url.URL {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	var address string
	if err := chromedp.Run(ctx, chromedp.Location(&address)); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Eval evaluates an expression on the page, as its developer tools would; the
// page itself may have scripts switched off.
func (b *Tab) Eval(t testing.TB, expression string, result any) {
	t.Helper()
	b.Do(t, chromedp.Evaluate(expression, result))
}

// Until waits until an expression is true on the page.
func (b *Tab) Until(t testing.TB, expression string) {
	t.Helper()
	b.Do(t, chromedp.Poll(expression, nil))
}

// Has reports whether the page holds an element that a person can see.
func (b *Tab) Has(t testing.TB, selector string) bool {
	t.Helper()
	var visible bool
	b.Eval(t, fmt.Sprintf(`!!document.querySelector(%q)?.checkVisibility({visibilityProperty: true})`, selector), &visible)
	return visible
}

// Text is the visible text of an element.
func (b *Tab) Text(t testing.TB, selector string) string {
	t.Helper()
	var text string
	b.Eval(t, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? "nothing is "+%[1]q`, selector), &text)
	return text
}

// Focused tells which element the keyboard is on, by its id or else its name.
func (b *Tab) Focused(t testing.TB) string {
	t.Helper()
	var id string
	b.Eval(t, `document.activeElement.id || document.activeElement.outerHTML.slice(0, 60)`, &id)
	return id
}

// center is where a person would press an element: it must be in sight, and
// nothing may lie over it.
const center = `(() => {
	const e = document.querySelector(%q);
	if (!e) throw new Error("no element "+%[1]q);
	e.scrollIntoView({block: "center", behavior: "instant"});
	const r = e.getBoundingClientRect(), x = r.x+r.width/2, y = r.y+r.height/2, top = document.elementFromPoint(x, y);
	if (!top || top !== e && !e.contains(top)) throw new Error(%[1]q+" cannot be pressed");
	return [x, y];
})()`

func press(selector string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		var at []float64
		if err := chromedp.Evaluate(fmt.Sprintf(center, selector), &at).Do(ctx); err != nil {
			return err
		}
		return chromedp.MouseClickXY(at[0], at[1]).Do(ctx)
	})
}

// Click presses an element that stays on the page.
func (b *Tab) Click(t testing.TB, selector string) {
	t.Helper()
	b.Do(t, press(selector))
}

// Follow presses an element that leads to another page, and waits for it.
func (b *Tab) Follow(t testing.TB, selector string) {
	t.Helper()
	b.Load(t, press(selector))
}

// Keys types on the keyboard, wherever it is.
func (b *Tab) Keys(t testing.TB, keys ...string) {
	t.Helper()
	b.Do(t, chromedp.KeyEvent(strings.Join(keys, "")))
}

// Type replaces what a field holds.
func (b *Tab) Type(t testing.TB, selector, text string) {
	t.Helper()
	b.Do(t, press(selector), chromedp.Evaluate(fmt.Sprintf(`document.querySelector(%q).select()`, selector), nil), chromedp.KeyEvent(text))
}

// Paste replaces what a field holds by a text from the clipboard.
func (b *Tab) Paste(t testing.TB, selector, text string) {
	t.Helper()
	b.Do(t, press(selector), chromedp.Evaluate(fmt.Sprintf(`document.querySelector(%q).select()`, selector), nil), input.InsertText(text))
}

// SignIn fills in the sign-in page that is open and presses its button.
func (b *Tab) SignIn(t testing.TB, username, password string) {
	t.Helper()
	b.Type(t, "#username", username)
	b.Type(t, "#password", password)
	b.Follow(t, "#login-submit")
}

// Scripts switches scripts on or off for the pages to come.
func (b *Tab) Scripts(t testing.TB, on bool) {
	t.Helper()
	b.Do(t, emulation.SetScriptExecutionDisabled(!on))
}

// Cookies are those of the whole browser, by name, as it keeps them.
func (b *Tab) Cookies(t testing.TB) map[string]*network.Cookie {
	t.Helper()
	all, err := storage.GetCookies().WithBrowserContextID(b.profile).Do(cdp.WithExecutor(b.browser, chromedp.FromContext(b.browser).Browser))
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	cookies := map[string]*network.Cookie{}
	for _, c := range all {
		cookies[c.Name] = c
	}
	return cookies
}
