package web

import "net/http"

// Address tells who calls.
func (e *Edge) Address(r *http.Request) string { return e.address(r) }

// AccentVariants are the contrasts of what an accent becomes with all that it is read on.
func AccentVariants(rgb [3]uint8) map[string]float64 {
	worst := map[string]float64{}
	note := func(what string, a, b color) {
		if c := contrast(a, b); worst[what] == 0 || c < worst[what] {
			worst[what] = c
		}
	}
	for scheme, tt := range map[string]struct {
		accent
		surfaces []color
		muted    color
	}{"light": {color(rgb).light(), lightest, lightMuted}, "dark": {color(rgb).dark(), darkest, darkMuted}} {
		for _, surface := range append([]color{tt.tint}, tt.surfaces...) {
			note(scheme+" link", tt.line, surface)
		}
		for _, surface := range tt.surfaces {
			note(scheme+" link under the mouse", tt.hover, surface)
		}
		note(scheme+" letters", tt.on, tt.line)
		note(scheme+" letters under the mouse", tt.on, tt.hover)
		note(scheme+" text on the tint", tt.muted, tt.tint)
	}
	b := color(rgb).button()
	note("button", b.on, b.fill)
	note("button under the mouse", b.on, b.hover)
	return worst
}

// Contrast is the contrast ratio that WCAG defines.
func Contrast(a, b [3]uint8) float64 { return contrast(a, b) }

// Surfaces are the colours of hufu.css that accents are made for.
func Surfaces() (light, dark []string) {
	text := func(colors []color) (all []string) {
		for _, c := range colors {
			all = append(all, c.String())
		}
		return all
	}
	return text(append(lightest, lightMuted)), text(append(darkest, darkMuted))
}

// PageKinds has one of every kind of page.
var PageKinds = pageKinds
