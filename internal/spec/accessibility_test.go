package spec_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// axeScript is axe-core, which `make setup` installs.
var axeScript = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile(filepath.Join("testdata", "axe-core", "node_modules", "axe-core", "axe.min.js"))
	return string(text), err
})

// axeRun returns each violation of a rule in one line. Every rule counts, those that are
// only good practice too. Pages in frames are others' and not looked into.
const axeRun = `axe.run(document, {iframes: false, resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
	.then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + v.help + ": " + n.html.slice(0, 200) + ": " + n.failureSummary.replace(/\s+/g, " "))))`

// axe returns whatever axe-core finds on the page that is open. It comes through DevTools,
// since the pages' policy lets no foreign script in.
func axe(t *testing.T, b *oauthtest.Tab) (found []string) {
	t.Helper()
	script, err := axeScript()
	if err != nil {
		t.Fatalf("axe-core is not installed, which make setup does: %v", err)
	}
	var there bool
	b.Eval(t, `"axe" in window`, &there)
	if !there {
		b.Eval(t, script+";0", nil)
	}
	b.Do(t, chromedp.Evaluate(axeRun, &found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return found
}

// axe-core sees what is wrong with a page, in spite of the page's policy.
func TestAccessibility_Finds(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	b := oauthtest.NewTab(t)
	b.Open(t, s.URL+"/login")
	if found := axe(t, b); len(found) > 0 {
		t.Fatalf("on the page as it is: %q", found)
	}
	for rule, spoil := range map[string]string{
		"label":           `document.querySelector("label[for=username]").remove()`,
		"html-has-lang":   `document.documentElement.removeAttribute("lang")`,
		"color-contrast":  `document.querySelector("#login-submit").style.color = "#777"`,
		"heading-order":   `document.querySelector("h1").insertAdjacentHTML("afterend", "<h4>x</h4>")`,
		"aria-valid-attr": `document.querySelector("form").setAttribute("aria-lable", "x")`,
		"region":          `document.body.insertAdjacentHTML("afterbegin", "<p>somewhere</p>")`,
		"document-title":  `document.title = ""`,
		"link-name":       `document.querySelector(".languages a").textContent = ""`,
	} {
		b.Open(t, s.URL+"/login")
		b.Eval(t, spoil+";0", nil)
		if found := axe(t, b); !slices.ContainsFunc(found, func(v string) bool { return strings.HasPrefix(v, rule+": ") }) {
			t.Errorf("%s: found %q", rule, found)
		}
	}
}

// runAxe fails for whatever axe-core finds.
func runAxe(t *testing.T, b *oauthtest.Tab) {
	t.Helper()
	for _, violation := range axe(t, b) {
		t.Errorf("%s, axe: %s", b.URL(t).Path, violation)
	}
}

// maxWeight is what a page and all that it loads from us may weigh on the wire, in bytes.
const maxWeight = 40_000

// weigh fails for a page that is too heavy for a bad line.
func weigh(t *testing.T, b *oauthtest.Tab) {
	t.Helper()
	var weight int
	b.Eval(t, `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
		.filter(e => new URL(e.name).origin === location.origin).reduce((sum, e) => sum + e.encodedBodySize, 0)`, &weight)
	if weight < 1000 || weight > maxWeight {
		t.Errorf("%s weighs %d bytes with all it loads, want %d at most", b.URL(t).Path, weight, maxWeight)
	}
}

// checkShown wants every page of the product among those that were looked at: whoever adds
// a template adds a scene.
func checkShown(t *testing.T, shown map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "web", "pages", "*.html"))
	ok(t, err)
	pages := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		ok(t, err)
		if !strings.Contains(string(text), `{{define "main"}}`) {
			continue // parts of others
		}
		pages++
		if name := strings.TrimSuffix(filepath.Base(file), ".html"); !shown[name] {
			t.Errorf("no scene shows %s.html; add one to scenes in screenshots_test.go", name)
		}
	}
	if pages == 0 || pages != len(shown) {
		t.Errorf("%d pages, %d of them shown", pages, len(shown))
	}
}
