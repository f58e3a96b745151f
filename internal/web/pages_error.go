package web

// A Reason is why an error page is shown, in words for the person who sees it.
type Reason string

// The reasons. Each has a title, an explanation, what to do about it and,
// where one can help, a sentence for the developer of the app.
const (
	ReasonUnknownClient        Reason = "unknown_client"
	ReasonDisabledClient       Reason = "disabled_client" // reads like ReasonUnknownClient: who is registered is nobody's business
	ReasonRedirectURIMissing   Reason = "redirect_uri_missing"
	ReasonRedirectURIMismatch  Reason = "redirect_uri_mismatch"
	ReasonMalformedRequest     Reason = "malformed_request"
	ReasonTooLarge             Reason = "too_large"
	ReasonExpired              Reason = "expired"       // the page was open for too long
	ReasonUsed                 Reason = "used"          // the page was sent once already
	ReasonOtherBrowser         Reason = "other_browser" // begun elsewhere, or cookies are blocked
	ReasonCrossSite            Reason = "cross_site"    // the form came from another site or its token is wrong
	ReasonTooManyRequests      Reason = "too_many_requests"
	ReasonBusy                 Reason = "busy"
	ReasonServerError          Reason = "server_error"
	ReasonNotFound             Reason = "not_found"
	ReasonMethodNotAllowed     Reason = "method_not_allowed"
	ReasonUnsupportedMediaType Reason = "unsupported_media_type"
)

// reasons are all that have texts; any other reads like ReasonServerError.
var reasons = []Reason{
	ReasonUnknownClient, ReasonRedirectURIMissing, ReasonRedirectURIMismatch, ReasonMalformedRequest,
	ReasonTooLarge, ReasonExpired, ReasonUsed, ReasonOtherBrowser, ReasonCrossSite, ReasonTooManyRequests,
	ReasonBusy, ReasonServerError, ReasonNotFound, ReasonMethodNotAllowed, ReasonUnsupportedMediaType,
}

// reasonsForDevelopers are those that somebody can mend in an app.
var reasonsForDevelopers = []Reason{
	ReasonUnknownClient, ReasonRedirectURIMissing, ReasonRedirectURIMismatch, ReasonMalformedRequest,
	ReasonTooLarge, ReasonOtherBrowser, ReasonCrossSite, ReasonMethodNotAllowed, ReasonUnsupportedMediaType,
}

// public is the reason whose words are shown for r.
func (r Reason) public() Reason {
	if r == ReasonDisabledClient {
		return ReasonUnknownClient
	}
	for _, known := range reasons {
		if r == known {
			return r
		}
	}
	return ReasonServerError
}

// An ErrorPage tells a person what went wrong when the client must not be
// told by a redirect. It stays on the address that failed and holds no form.
type ErrorPage struct {
	Code       string // OAuth error code; "" when the failure is not one of OAuth
	Reason     Reason
	RequestID  string // under which the operator finds the full reason
	RestartURL string // begins anew; "" when only the app can
	RetryAfter int    // seconds; 0 when there is nothing to wait for
	Self       string
	UILocales  string
}

func (ErrorPage) template() string { return "error.html" }

func (p ErrorPage) frame() pageFrame {
	reason := p.Reason.public()
	return pageFrame{
		title: "reason." + string(reason) + ".title", self: p.Self, uiLocales: p.UILocales, retryAfter: p.RetryAfter,
		flow: reason != ReasonNotFound, // any other failure may stand on an address of a flow
	}
}

// An errorView is what error.html reads.
type errorView struct {
	ErrorPage
	Key       string // prefix of its catalogue keys
	Developer bool   // whether there is a sentence for the developer
	Stray     bool   // no flow can have led here, so the way to the first page leaves none
	Wait      wait
}

func (p ErrorPage) view() any {
	reason := p.Reason.public()
	v := errorView{ErrorPage: p, Key: "reason." + string(reason), Wait: waitFor(p.RetryAfter), Stray: reason == ReasonNotFound}
	v.RestartURL = webAddress(p.RestartURL)
	for _, r := range reasonsForDevelopers {
		v.Developer = v.Developer || r == reason
	}
	return v
}
