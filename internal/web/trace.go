package web

// A Trace is the place of a request in a trace that goes through several services,
// W3C Trace Context. The ids are lower-case hex.
type Trace struct {
	TraceID  string // 32 digits
	ParentID string // 16 digits: the caller's span; "" when the trace begins here
	SpanID   string // 16 digits: this server's own; "" when it makes none
	Sampled  bool   // the caller records the trace
}

// Where the fields of a traceparent stand, W3C Trace Context Section 3.2.2.
const (
	traceIDAt    = 3
	parentIDAt   = 36
	flagsAt      = 53
	traceEnd     = 55
	flagSampled  = 1
	version00    = "00"
	versionNever = "ff"
)

// ParseTraceparent reads the traceparent header, W3C Trace Context Section 3.2. A
// version that is not known yet may have more behind a dash, and what stands before
// it is read as in version 00 (Section 3.2.4). Whoever sends anything else
// is taken to have sent nothing.
func ParseTraceparent(header string) (t Trace, ok bool) {
	if len(header) < traceEnd || header[2] != '-' || header[parentIDAt-1] != '-' || header[flagsAt-1] != '-' {
		return t, false
	}
	version, flags := header[:2], header[flagsAt:traceEnd]
	t = Trace{TraceID: header[traceIDAt : parentIDAt-1], ParentID: header[parentIDAt : flagsAt-1]}
	switch more := header[traceEnd:]; {
	case !isHex(version), version == versionNever, !isHex(flags), !isID(t.TraceID), !isID(t.ParentID):
		return Trace{}, false
	case more != "" && (version == version00 || more[0] != '-'):
		return Trace{}, false
	}
	t.Sampled = hexDigit(flags[1])&flagSampled != 0
	return t, true
}

// isID reports whether an id is well-formed, and not the one that stands for none.
func isID(id string) bool {
	set := false
	for i := range len(id) {
		set = set || id[i] != '0'
	}
	return set && isHex(id)
}

func isHex(text string) bool {
	for i := range len(text) {
		if hexDigit(text[i]) > 15 {
			return false
		}
	}
	return true
}

// hexDigit is what a digit stands for; more than 15 for what is none. Capitals are
// none.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 16
}
