package web

// A ScopeView is one scope on the consent page.
type ScopeView struct {
	Name     string
	Text     string // as declared; the well-known scopes of OpenID Connect have texts of their own
	Optional bool   // the person may leave it out
}

// scopesInWords are the scopes that the catalogues explain.
var scopesInWords = []string{"openid", "profile", "email", "address", "phone", "offline_access"}

// A ConsentPage asks whether a client may have what it asks for; path /consent.
type ConsentPage struct {
	Client       Client
	Username     string // who is signed in
	Account      string // the same for the form, which brings it back
	Action       string
	Request      string
	FormToken    string
	Scopes       []ScopeView // none: the client only learns that somebody signed in
	RedirectHost string      // where the answer goes
	Remember     bool        // offer to remember; false for a client that is asked every time
	SwitchURL    string      // to sign in as somebody else
	Self         string
	UILocales    string
}

func (ConsentPage) template() string { return "consent.html" }

func (p ConsentPage) frame() pageFrame {
	return pageFrame{title: "consent.title", self: p.Self, uiLocales: p.UILocales, image: p.Client.view().logoOrigin, flow: true, accent: p.Client.AccentColor}
}

// A scopeView is one line of the list of scopes.
type scopeView struct {
	ScopeView
	Key string // prefix of its catalogue keys; "" when the catalogues do not know it
}

// A consentView is what consent.html reads.
type consentView struct {
	ConsentPage
	Client clientView
	Scopes []scopeView
	Choice bool // one of them at least is optional
}

func (p ConsentPage) view() any {
	v := consentView{ConsentPage: p, Client: p.Client.view(), Scopes: scopeViews(p.Scopes)}
	v.SwitchURL = webAddress(p.SwitchURL)
	for _, s := range v.Scopes {
		v.Choice = v.Choice || s.Optional
	}
	return v
}

// scopeViews are scopes as a page lists them: each once, since ids are made of names.
func scopeViews(scopes []ScopeView) []scopeView {
	var views []scopeView
	shown := map[string]bool{}
	for _, s := range scopes {
		if s.Name == "" || shown[s.Name] {
			continue
		}
		shown[s.Name] = true
		view := scopeView{ScopeView: s}
		for _, known := range scopesInWords {
			if s.Name == known {
				view.Key = "scope." + known
			}
		}
		views = append(views, view)
	}
	return views
}
