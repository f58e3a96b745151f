package web

import "slices"

// A PlaygroundWalk is one way to a token that the playground walks through.
type PlaygroundWalk string

// The walks: the seed's five grants, the first of them twice.
const (
	WalkCode     PlaygroundWalk = "code"
	WalkPKCE     PlaygroundWalk = "pkce"
	WalkImplicit PlaygroundWalk = "implicit"
	WalkPassword PlaygroundWalk = "password"
	WalkClient   PlaygroundWalk = "client"
	WalkRefresh  PlaygroundWalk = "refresh"
)

// A PlaygroundStepName names the texts of a step.
type PlaygroundStepName string

// The steps. Those that send a request are also what a form does, and what the
// trail of a visit remembers.
const (
	StepAuthorize     PlaygroundStepName = "authorize" // with a code to come
	StepPKCE          PlaygroundStepName = "pkce"      // the same, with a challenge
	StepImplicit      PlaygroundStepName = "implicit"  // with a token to come
	StepCallback      PlaygroundStepName = "callback"
	StepFragment      PlaygroundStepName = "fragment" // reads a token from behind the #
	StepExchange      PlaygroundStepName = "exchange"
	StepVerify        PlaygroundStepName = "verify" // exchange with a verifier
	StepPassword      PlaygroundStepName = "password"
	StepFirst         PlaygroundStepName = "first" // a refresh token to begin with
	StepClient        PlaygroundStepName = "client"
	StepRefresh       PlaygroundStepName = "refresh"
	StepPrevious      PlaygroundStepName = "previous" // refresh with a token that was replaced
	StepIntrospect    PlaygroundStepName = "introspect"
	StepReplay        PlaygroundStepName = "replay" // exchange a spent code
	StepRevokeAccess  PlaygroundStepName = "revoke_access"
	StepRevokeRefresh PlaygroundStepName = "revoke_refresh"
	StepNext          PlaygroundStepName = "next"
)

// A PlaygroundNote says in words what an answer means.
type PlaygroundNote string

// The notes. What a refusal means depends on what was tried.
const (
	NoteTokens        PlaygroundNote = "tokens"
	NoteDecoded       PlaygroundNote = "decoded"
	NoteRefreshed     PlaygroundNote = "refreshed"
	NoteGrace         PlaygroundNote = "grace"
	NoteActive        PlaygroundNote = "active"
	NoteInactive      PlaygroundNote = "inactive"
	NoteRevoked       PlaygroundNote = "revoked"
	NoteDenied        PlaygroundNote = "denied"
	NoteForeignState  PlaygroundNote = "foreign_state"
	NoteNoToken       PlaygroundNote = "no_token"
	NoteLate          PlaygroundNote = "late"
	NoteReplayed      PlaygroundNote = "replayed"
	NoteInvalidClient PlaygroundNote = "invalid_client"
	NoteInvalidGrant  PlaygroundNote = "invalid_grant"
	NoteInvalidScope  PlaygroundNote = "invalid_scope"
	NoteLimited       PlaygroundNote = "limited"
	NoteRefused       PlaygroundNote = "refused"
)

// tone is how a note looks: the classes of the stylesheet.
func (n PlaygroundNote) tone() string {
	switch n {
	case NoteTokens, NoteDecoded, NoteRefreshed, NoteActive, NoteRevoked:
		return "success"
	case NoteGrace, NoteInactive, NoteDenied:
		return "warn"
	}
	return "error"
}

// A PlaygroundSource is where a step is specified.
type PlaygroundSource struct {
	RFC, Section string // "6749" and "4.1.1"
}

// A PlaygroundPerson is somebody one can sign in as.
type PlaygroundPerson struct{ Username, Password string }

// A PlaygroundClient is a registered client, to be copied from.
type PlaygroundClient struct {
	ID, Secret string // a public client has no secret
}

// A PlaygroundAddress is one endpoint of a walk.
type PlaygroundAddress struct{ Method, Path string }

// A PlaygroundCard is a walk on the first page.
type PlaygroundCard struct {
	Walk      PlaygroundWalk
	URL       string
	GrantType string
	Addresses []PlaygroundAddress
	Legacy    bool
}

// A PlaygroundPage is the way into the playground; path /playground.
type PlaygroundPage struct {
	Cards   []PlaygroundCard
	People  []PlaygroundPerson
	Clients []PlaygroundClient
}

func (PlaygroundPage) template() string { return "playground.html" }
func (p PlaygroundPage) view() any      { return p }
func (p PlaygroundPage) frame() pageFrame {
	return pageFrame{title: "playground.title", script: "playground.js", wide: true}
}

// A PlaygroundTab leads to another walk.
type PlaygroundTab struct {
	Walk PlaygroundWalk
	URL  string
}

// A PlaygroundWalkPage shows the steps of one walk, below /playground.
type PlaygroundWalkPage struct {
	Walk     PlaygroundWalk
	Tabs     []PlaygroundTab
	HomeURL  string
	ClientID string
	Public   bool // the client has no secret
	Legacy   bool
	Steps    []PlaygroundStep
	Trail    []PlaygroundTrail
	Self     string // "" for a page that can be fetched again as it is
}

// A PlaygroundStep is one step: what is done behind it, what is ahead of it, and
// everything there is to see about the one in hand.
type PlaygroundStep struct {
	Name       PlaygroundStepName
	Source     PlaygroundSource
	Done       bool // only its name is shown
	Ahead      bool // so it is here
	Note       PlaygroundNote
	Parameters []PlaygroundParameter
	Call       *PlaygroundCall
	Answer     *PlaygroundAnswer
	Tokens     []PlaygroundToken
	Link       string // where the step leads the browser to
	Restart    string // where to begin anew when this went wrong
	People     []PlaygroundPerson
	Forms      []PlaygroundForm
}

// A PlaygroundCall is a request as it is sent.
type PlaygroundCall struct {
	Method  string
	URL     string // absolute, without query
	Headers []Field
	Params  []Field // values are encoded; of a GET they stand in the query
	Command string  // the same with curl; "" when a browser has to send it
}

// A PlaygroundAnswer is an answer as it came.
type PlaygroundAnswer struct {
	Status  int
	Headers []Field
	Body    string
}

// A PlaygroundToken is a token, and what can be read in it.
type PlaygroundToken struct {
	Name           string // access_token or refresh_token
	Raw            string
	Header, Claims string // JSON; "" for a token that says nothing to its reader
}

// A PlaygroundParameter is one parameter of an authorization response.
type PlaygroundParameter struct {
	Name, Value string
	Check       PlaygroundCheck
}

// A PlaygroundCheck tells what became of a parameter that a client must compare.
type PlaygroundCheck string

// The checks; most parameters need none.
const (
	CheckNone  PlaygroundCheck = ""
	CheckGood  PlaygroundCheck = "good"
	CheckFixed PlaygroundCheck = "fixed" // the state of a printed address, not bound to a browser
	CheckBad   PlaygroundCheck = "bad"
)

// A PlaygroundFault is a mistake to make on purpose.
type PlaygroundFault string

// The mistakes.
const (
	FaultSecret   PlaygroundFault = "secret"
	FaultPassword PlaygroundFault = "password"
	FaultScope    PlaygroundFault = "scope"
	FaultVerifier PlaygroundFault = "verifier"
)

// A PlaygroundForm sends the request of a step.
type PlaygroundForm struct {
	Name      PlaygroundStepName // what it does; also its id
	URL       string
	FormToken string
	Hidden    []Field // what the next page has to know
	Inputs    []Field // what can be changed: username, password, scope, answer
	Faults    []PlaygroundFault
}

// A PlaygroundTrail is one thing that was done on this visit.
type PlaygroundTrail struct {
	Name    PlaygroundStepName
	Outcome string // a status, or active, or inactive
}

func (PlaygroundWalkPage) template() string { return "playground_walk.html" }

func (p PlaygroundWalkPage) frame() pageFrame {
	return pageFrame{title: "playground.walk." + string(p.Walk) + ".title", self: p.Self, script: "playground.js", wide: true}
}

// The texts that the catalogues have, for the view and for the test that compares.
var (
	playgroundWalks      = []PlaygroundWalk{WalkCode, WalkPKCE, WalkImplicit, WalkPassword, WalkClient, WalkRefresh}
	playgroundSteps      = []PlaygroundStepName{StepAuthorize, StepPKCE, StepImplicit, StepCallback, StepFragment, StepExchange, StepVerify, StepPassword, StepFirst, StepClient, StepRefresh, StepPrevious, StepIntrospect, StepReplay, StepRevokeAccess, StepRevokeRefresh, StepNext}
	playgroundRuns       = []PlaygroundStepName{StepFragment, StepExchange, StepVerify, StepPassword, StepFirst, StepClient, StepRefresh, StepPrevious, StepIntrospect, StepReplay, StepRevokeAccess, StepRevokeRefresh}
	playgroundNotes      = []PlaygroundNote{NoteTokens, NoteDecoded, NoteRefreshed, NoteGrace, NoteActive, NoteInactive, NoteRevoked, NoteDenied, NoteForeignState, NoteNoToken, NoteLate, NoteReplayed, NoteInvalidClient, NoteInvalidGrant, NoteInvalidScope, NoteLimited, NoteRefused}
	playgroundFaults     = []PlaygroundFault{FaultSecret, FaultPassword, FaultScope, FaultVerifier}
	playgroundInputs     = []string{"username", "password", "scope", "answer"}
	playgroundTokens     = []string{"access_token", "refresh_token"}
	playgroundParameters = []string{"code", "access_token", "token_type", "expires_in", "scope", "error", "error_description", "state.good", "state.fixed", "state.bad", "iss.good", "iss.bad"}
	playgroundClaims     = []string{"typ", "alg", "kid", "iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "auth_time", "acr", "amr", "gid", "epochs"}
)

// IsPlaygroundRun reports whether a step sends a request, so that a trail may
// name it.
func IsPlaygroundRun(name PlaygroundStepName) bool { return slices.Contains(playgroundRuns, name) }
