package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Subject types, OpenID Connect Core Section 8: every client gets the same subject for a
// user, or those of each sector one of their own.
const (
	SubjectPublic   = "public"
	SubjectPairwise = "pairwise"
)

// SubjectTypes are those that a client can be registered for.
var SubjectTypes = []string{SubjectPublic, SubjectPairwise}

// IsPairwise reports whether the client gets subjects that other sectors do not get.
func (m *ClientMetadata) IsPairwise() bool { return m.SubjectType == SubjectPairwise }

// Sector is the host by which a client of pairwise subjects belongs together with others,
// OpenID Connect Core Section 8.1: that of its sector_identifier_uri, or the one of all
// its redirect URIs. A host that is everybody's own machine, or none at all, keeps nobody
// apart.
func (m *ClientMetadata) Sector() (string, error) {
	if m.SectorIdentifierURI != "" {
		return hostOf(m.SectorIdentifierURI), nil
	}
	sector := ""
	for i, uri := range m.RedirectURIs {
		host := hostOf(uri)
		if host == "" || IsLoopback(host) || i > 0 && host != sector {
			sector = ""
			break
		}
		sector = host
	}
	if sector == "" {
		return "", metadataError("pairwise subjects need a sector_identifier_uri unless all redirect_uris have one host that is not loopback")
	}
	return sector, nil
}

// hostOf is the host of an https or http address, in one spelling; "" for any other.
func hostOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
}

// CheckSector holds the document at a sector_identifier_uri against the registration: a
// JSON array that names every redirect URI, OpenID Connect Registration Section 5. Only
// then does whoever owns the host say that the client belongs to it.
func (m *ClientMetadata) CheckSector(document []byte) error {
	var listed []string
	if err := json.Unmarshal(document, &listed); err != nil {
		return fmt.Errorf("oauth: sector identifier: %w", err)
	}
	if len(m.RedirectURIs) == 0 {
		return errors.New("oauth: sector identifier: the client has no redirect URI that could be listed")
	}
	for _, uri := range m.RedirectURIs {
		if !slices.Contains(listed, uri) {
			return fmt.Errorf("oauth: sector identifier: %.200q is not listed", uri)
		}
	}
	return nil
}
