package web

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// MaxLogo is how large the picture of a site may be, in bytes: it comes with every page.
const MaxLogo = 24 << 10

// logoName names a picture by what it is, as assetTypes has it.
func logoName(picture []byte) (string, error) {
	if len(picture) > MaxLogo {
		return "", fmt.Errorf("want at most %d KiB; it comes with every page", MaxLogo>>10)
	}
	switch http.DetectContentType(picture) {
	case "image/png":
		return "logo.png", nil
	case "image/jpeg":
		return "logo.jpg", nil
	case "image/webp":
		return "logo.webp", nil
	}
	if isSVG(picture) {
		return "logo.svg", nil
	}
	return "", errors.New("want a picture: SVG, PNG, WebP or JPEG")
}

// isSVG reports whether a text is XML with svg at its root.
func isSVG(text []byte) bool {
	d := xml.NewDecoder(bytes.NewReader(text))
	root := ""
	for {
		token, err := d.Token()
		if err != nil {
			return errors.Is(err, io.EOF) && root == "svg"
		}
		if start, ok := token.(xml.StartElement); ok && root == "" {
			root = start.Name.Local
		}
	}
}

// CheckLogo says what is wrong with the picture of a site.
func CheckLogo(picture []byte) error {
	_, err := logoName(picture)
	return err
}

// addLogo puts the picture of the site among the assets; without one there is none, and
// pages show our own mark.
func (s *assetSet) addLogo(base string, picture []byte) error {
	if picture == nil {
		return nil
	}
	name, err := logoName(picture)
	if err != nil {
		return fmt.Errorf("logo: %w", err)
	}
	s.logo = name
	return s.add(base, name, picture)
}
