package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed assets/*
var assetFiles embed.FS

// assetTypes are the kinds of files that may lie in assets/.
var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// bundles are assets made of others, for a page that needs more than one of them.
var bundles = map[string][]string{
	"login.js": {"password.js", "passkey.js"},
}

type asset struct {
	name, contentType string
	content           []byte
}

// An assetSet knows every asset by the address it is served under, and that
// address by the asset's name.
type assetSet struct {
	byPath map[string]asset
	byName map[string]string
}

// loadAssets gives every asset an address that changes with its content, so
// that browsers may keep it for ever.
func loadAssets(base string) (assetSet, error) {
	set := assetSet{map[string]asset{}, map[string]string{}}
	names, err := fs.Glob(assetFiles, "assets/*")
	if err != nil {
		return set, err
	}
	for _, file := range names {
		content, err := assetFiles.ReadFile(file)
		if err != nil {
			return set, err
		}
		name := path.Base(file)
		contentType, ok := assetTypes[path.Ext(name)]
		if !ok {
			return set, fmt.Errorf("assets: %s is of no known type", name)
		}
		set.add(base, asset{name, contentType, content})
	}
	for name, parts := range bundles {
		var content []byte
		for _, part := range parts {
			content = append(content, set.byPath[set.byName[part]].content...)
		}
		set.add(base, asset{name, assetTypes[path.Ext(name)], content})
	}
	return set, nil
}

func (s assetSet) add(base string, a asset) {
	sum := sha256.Sum256(a.content)
	address := base + "/assets/" + hex.EncodeToString(sum[:6]) + "/" + a.name
	s.byPath[address], s.byName[a.name] = a, address
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
		h.Set("Content-Security-Policy", "default-src 'none'") // for a picture opened by itself
		http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.content))
	})
}
