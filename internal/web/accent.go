package web

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"path"
	"strings"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// The surfaces of hufu.css that accent colours stand on, lightest and darkest of each
// scheme, and the text that stands on the tint of an accent.
var (
	white      = color{255, 255, 255}
	lightest   = []color{white, {0xf6, 0xf5, 0xf1}, {0xf3, 0xf1, 0xec}}
	darkest    = []color{{0x10, 0x14, 0x12}, {0x18, 0x1d, 0x1b}, {0x11, 0x16, 0x14}}
	lightMuted = color{0x5d, 0x60, 0x5a}
	darkMuted  = color{0xa3, 0xad, 0xa8}
)

// minContrast is what WCAG 2.2 Section 1.4.3 wants of text at AA, and a little more, for
// colours are rounded.
const minContrast = 4.55

// minButton is what WCAG 2.2 Section 1.4.11 wants of what can be pressed against its ground.
const minButton = 3

// A color is red, green and blue of sRGB.
type color [3]uint8

func (c color) String() string { return "#" + hex.EncodeToString(c[:]) }

// luminance is the relative luminance that WCAG 2.2 defines.
func (c color) luminance() float64 {
	part := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*part(c[0]) + 0.7152*part(c[1]) + 0.0722*part(c[2])
}

// contrast is the contrast ratio of two colours, 1 to 21.
func contrast(a, b color) float64 {
	light, dark := a.luminance(), b.luminance()
	return (max(light, dark) + 0.05) / (min(light, dark) + 0.05)
}

// mix goes from one colour towards another, by 0 to 1.
func mix(from, to color, share float64) color {
	var mixed color
	for i := range mixed {
		mixed[i] = uint8(math.Round(float64(from[i]) + (float64(to[i])-float64(from[i]))*share))
	}
	return mixed
}

// lighten goes from a colour towards white, by 0 to 1, and keeps its hue and saturation as
// HSL has them: a mixture with white would be grey.
func lighten(from color, share float64) color {
	high, low := float64(max(from[0], from[1], from[2]))/255, float64(min(from[0], from[1], from[2]))/255
	was := (high + low) / 2
	lightness := was + (1-was)*share
	saturation := 0.0
	if high > low {
		saturation = (high - low) / (1 - math.Abs(2*was-1))
	}
	spread := saturation * (1 - math.Abs(2*lightness-1)) / 2
	var lighter color
	for i, v := range from {
		place := 0.0 // of this part between the lowest, -1, and the highest, 1
		if high > low {
			place = 2*(float64(v)/255-low)/(high-low) - 1
		}
		lighter[i] = uint8(math.Round(255 * (lightness + spread*place)))
	}
	return lighter
}

// darken goes from a colour towards black, by 0 to 1.
func darken(from color, share float64) color { return mix(from, color{}, share) }

// until goes on from a colour in small steps until it is readable on all of the grounds.
// The last step must be.
func until(from color, step func(color, float64) color, grounds ...color) color {
	const steps = 64
	for i := range steps {
		if c := step(from, float64(i)/steps); readable(c, grounds...) {
			return c
		}
	}
	return step(from, 1)
}

func readable(c color, grounds ...color) bool {
	for _, ground := range grounds {
		if contrast(c, ground) < minContrast {
			return false
		}
	}
	return true
}

// An accent is what a brand's colour becomes in one scheme: for links and lines, under the
// mouse, with letters on it, and as a ground.
type accent struct{ line, hover, on, tint color }

// light makes an accent of a colour for light surfaces: as dark as it must be.
func (c color) light() accent {
	tint := until(mix(white, c, 0.12), lighten, lightMuted)
	line := until(c, darken, append([]color{tint}, lightest...)...)
	return accent{line: line, hover: darken(line, 0.2), on: white, tint: tint}
}

// dark makes an accent of a colour for dark surfaces.
func (c color) dark() accent {
	tint := until(mix(darkest[1], c, 0.18), darken, darkMuted)
	line := until(c, lighten, append([]color{tint}, darkest...)...)
	return accent{line: line, hover: lighten(line, 0.2), on: until(darken(line, 0.85), darken, line), tint: tint}
}

// A button has the brand's colour as it is, with letters that can be read on it. What sets
// it off from its ground is its border, which is a line.
type button struct{ fill, hover, on color }

func (c color) button() button {
	if readable(white, c) {
		return button{c, darken(c, 0.12), white}
	}
	return button{c, lighten(c, 0.2), until(darken(c, 0.85), darken, c)}
}

// jade is the colour of Hufu itself, as hufu.css has it.
var jade = color{0x0e, 0x6b, 0x58}

// ButtonColors are the colours of a button of a site with an accent colour, and of the
// letters on it, as CSS writes them with six digits. Without one it is Hufu's own.
func ButtonColors(accent string) (fill, letters string) {
	rgb, ok := oauth.ParseColor(accent)
	if !ok {
		rgb = jade
	}
	b := color(rgb).button()
	return b.fill.String(), b.on.String()
}

// accentSheet is the stylesheet that gives pages the accent of a colour. Whatever the
// colour is, its variants keep the contrast of WCAG AA on every surface of ours.
func accentSheet(rgb color) []byte {
	l, d, b := rgb.light(), rgb.dark(), rgb.button()
	night := b
	if contrast(b.fill, darkest[1]) < minButton {
		night = button{d.line, d.hover, d.on} // or the button would sink into the page
	}
	return fmt.Appendf(nil, ":root{--jade:light-dark(%s,%s);--jade-hover:light-dark(%s,%s);--on-jade:light-dark(%s,%s);--jade-tint:light-dark(%s,%s);"+
		"--fill:light-dark(%s,%s);--fill-hover:light-dark(%s,%s);--on-fill:light-dark(%s,%s)}\n",
		l.line, d.line, l.hover, d.hover, l.on, d.on, l.tint, d.tint, b.fill, night.fill, b.hover, night.hover, b.on, night.on)
}

// accentPath is the address of that stylesheet, "" for what is no colour. The colour is in
// it, so that every server has the sheet whoever made the page, and the hash of the sheet,
// so that browsers may keep it.
func (p *Pages) accentPath(text string) string {
	rgb, ok := oauth.ParseColor(text)
	if !ok {
		return ""
	}
	sum := sha256.Sum256(accentSheet(rgb))
	return p.site.Base + "/assets/" + hex.EncodeToString(sum[:6]) + "/accent-" + hex.EncodeToString(rgb[:]) + ".css"
}

// accentAt is the stylesheet at an address that accentPath made.
func (p *Pages) accentAt(address string) (asset, bool) {
	name, ok := strings.CutPrefix(path.Base(address), "accent-")
	name, ends := strings.CutSuffix(name, ".css")
	if !ok || !ends || p.accentPath("#"+name) != address {
		return asset{}, false
	}
	rgb, _ := oauth.ParseColor("#" + name)
	return asset{name: path.Base(address), contentType: assetTypes[".css"], content: accentSheet(rgb)}, true
}
