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

// until goes from one colour towards another in small steps until it is readable on all
// of the grounds. The last step is the other colour itself, which must be.
func until(from, to color, grounds ...color) color {
	const steps = 64
	for i := range steps {
		c := mix(from, to, float64(i)/steps)
		if readable(c, grounds...) {
			return c
		}
	}
	return to
}

func readable(c color, grounds ...color) bool {
	for _, ground := range grounds {
		if contrast(c, ground) < minContrast {
			return false
		}
	}
	return true
}

// An accent is what a brand's colour becomes in one scheme.
type accent struct{ fill, hover, on, tint color }

// light makes an accent of a colour for light surfaces: as dark as it must be for links,
// and for white letters on buttons.
func (c color) light() accent {
	black := color{}
	tint := until(mix(white, c, 0.12), white, lightMuted)
	fill := until(c, black, append([]color{tint}, lightest...)...)
	return accent{fill: fill, hover: mix(fill, black, 0.2), on: white, tint: tint}
}

// dark makes an accent of a colour for dark surfaces.
func (c color) dark() accent {
	ground := darkest[1]
	tint := until(mix(ground, c, 0.18), ground, darkMuted)
	fill := until(c, white, append([]color{tint}, darkest...)...)
	return accent{fill: fill, hover: mix(fill, white, 0.2), on: until(mix(fill, color{}, 0.85), color{}, fill), tint: tint}
}

// accentSheet is the stylesheet that gives pages the accent of a colour. Both variants
// keep the contrast of WCAG AA on every surface of ours, whatever the colour is.
func accentSheet(rgb color) []byte {
	l, d := rgb.light(), rgb.dark()
	return fmt.Appendf(nil, ":root{--jade:light-dark(%s,%s);--jade-hover:light-dark(%s,%s);--on-jade:light-dark(%s,%s);--jade-tint:light-dark(%s,%s)}\n",
		l.fill, d.fill, l.hover, d.hover, l.on, d.on, l.tint, d.tint)
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
