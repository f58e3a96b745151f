package client

import (
	"context"
	"slices"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// settleSector finds out which sector a client belongs to, OpenID Connect Core Section
// 8.1, and keeps it with the client. It does not change any more: users would turn into
// strangers, and whoever registers a redirect URI of somebody else could take the subjects
// of their sector along to an address of its own. before is nil for a new client.
func (g *Registry) settleSector(ctx context.Context, m, before *oauth.ClientMetadata) error {
	known := before != nil && before.SectorIdentifierURI == m.SectorIdentifierURI && slices.Equal(before.RedirectURIs, m.RedirectURIs)
	if m.SectorIdentifierURI != "" && !known {
		if err := g.fetchSector(ctx, m); err != nil {
			return err
		}
	}
	if m.SectorIdentifier = ""; !m.IsPairwise() {
		return nil
	}
	sector, err := m.Sector()
	if err != nil {
		return err
	}
	if before != nil && before.IsPairwise() && before.SectorIdentifier != sector {
		return oauth.Errorf(oauth.InvalidClientMetadata, "the sector of a client with pairwise subjects cannot change; register another client")
	}
	m.SectorIdentifier = sector
	return nil
}

// fetchSector reads the document at a sector_identifier_uri. Whatever is wrong with it,
// the client learns the same (SS-03).
func (g *Registry) fetchSector(ctx context.Context, m *oauth.ClientMetadata) error {
	document, err := g.Fetch(ctx, m.SectorIdentifierURI, "application/json")
	if err == nil {
		err = m.CheckSector(document)
	}
	if err != nil {
		return oauth.Refuse(oauth.InvalidClientMetadata, "sector_identifier_uri must lead to a JSON array that lists every one of redirect_uris", err)
	}
	return nil
}
