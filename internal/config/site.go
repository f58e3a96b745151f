package config

import (
	"errors"
	"net/url"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/web"
)

const maxAddress = 2000 // characters

// checkSite looks at what pages are made to look like.
func (c *Config) checkSite() error {
	_, isColor := oauth.ParseColor(c.AccentColor)
	isPage := func(address string) bool {
		u, err := url.Parse(address)
		return address == "" || err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && isShortText(address, maxAddress)
	}
	return errors.Join(
		c.check("accent_color", c.AccentColor == "" || isColor, "want a colour such as #0e6b58"),
		c.check("policy_uri", isPage(c.PolicyURI), "want an https URL"),
		c.check("tos_uri", isPage(c.TermsURI), "want an https URL"))
}

// Site is what every page shares, with the files that the configuration names read and
// looked at.
func (c *Config) Site() (web.Site, error) {
	site := web.Site{
		Name: c.SiteName, Base: c.BasePath(), DefaultLanguage: c.DefaultLanguage, Secure: c.Secure(),
		AccentColor: c.AccentColor, PolicyURI: c.PolicyURI, TermsURI: c.TermsURI, Templates: c.Templates,
	}
	var faults []error
	if c.LogoFile != "" {
		picture, err := readSmall(c.LogoFile, web.MaxLogo)
		if err == nil {
			err = web.CheckLogo(picture)
		}
		if err != nil {
			faults = append(faults, c.mistake("logo_file", err.Error()))
		} else {
			site.Logo = picture
		}
	}
	if c.Templates != "" {
		_, err := web.NewPages(site)
		if wrong, ok := errors.AsType[*web.TemplateError](err); ok {
			faults = append(faults, c.mistake("templates", wrong.Error()))
		}
	}
	return site, errors.Join(faults...)
}
