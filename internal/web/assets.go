package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed assets/*
var assetFiles embed.FS

// assetTypes are the kinds of files that may lie in assets/.
var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
	// What a site's logo may be beside SVG.
	".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp",
}

// bundles are assets made of others, for a page that needs more than one of them.
var bundles = map[string][]string{
	"login.js": {"password.js", "passkey.js"},
}

type asset struct {
	name, contentType string
	content           []byte
	packed            func() []byte // the same by gzip; an asset holds no secret that its size could tell
}

// newAsset makes an asset, which is packed when somebody wants it so for the first time.
func newAsset(name, contentType string, content []byte) asset {
	return asset{name, contentType, content, sync.OnceValue(func() []byte { return pack(content) })}
}

// pack is gzip, as small as it gets; nil when that fails, and the asset goes out as it is.
func pack(content []byte) []byte {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := w.Write(content); err != nil || w.Close() != nil {
		return nil
	}
	return packed.Bytes()
}

// An assetSet knows every asset by the address it is served under, and that
// address by the asset's name.
type assetSet struct {
	byPath map[string]asset
	byName map[string]string
	logo   string // name of the site's own picture, "" for none
}

// loadAssets gives every asset an address that changes with its content, so
// that browsers may keep it for ever.
func loadAssets(base string) (assetSet, error) {
	set := assetSet{byPath: map[string]asset{}, byName: map[string]string{}}
	names, err := fs.Glob(assetFiles, "assets/*")
	if err != nil {
		return set, err
	}
	for _, file := range names {
		content, err := assetFiles.ReadFile(file)
		if err != nil {
			return set, err
		}
		if err := set.add(base, path.Base(file), content); err != nil {
			return set, err
		}
	}
	for name, parts := range bundles {
		var content []byte
		for _, part := range parts {
			content = append(content, set.byPath[set.byName[part]].content...)
		}
		if err := set.add(base, name, content); err != nil {
			return set, err
		}
	}
	return set, nil
}

// add puts one asset into the set.
func (s *assetSet) add(base, name string, content []byte) error {
	contentType, ok := assetTypes[path.Ext(name)]
	if !ok {
		return fmt.Errorf("assets: %s is of no known type", name)
	}
	sum := sha256.Sum256(content)
	address := base + "/assets/" + hex.EncodeToString(sum[:6]) + "/" + name
	s.byPath[address], s.byName[name] = newAsset(name, contentType, content), address
	return nil
}

// path returns the address of the asset called name.
func (s assetSet) path(name string) (string, error) {
	address, ok := s.byName[name]
	if !ok {
		return "", fmt.Errorf("no asset %q", name)
	}
	return address, nil
}

// Assets serves the files that pages load, at Base/assets/HASH/NAME. Any
// other address below it, an old hash included, is 404.
func (p *Pages) Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		a, ok := p.assets.byPath[r.URL.Path]
		if !ok {
			a, ok = p.accentAt(r.URL.Path)
		}
		if !ok {
			h.Set("Cache-Control", "no-store")
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		h.Set("Content-Type", a.contentType)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		// For a picture opened by itself, which may bring styles of its own and nothing else.
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
		h.Set("Vary", "Accept-Encoding")
		content := a.content
		if a.packed != nil && takesGzip(r) {
			if packed := a.packed(); packed != nil {
				content = packed
				h.Set("Content-Encoding", "gzip")
			}
		}
		http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(content))
	})
}

// takesGzip reports whether the caller reads gzip, RFC 9110 Section 12.5.3.
func takesGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return strings.Trim(strings.TrimSpace(weight), "q=0.") != "" || weight == ""
		}
	}
	return false
}
