// Package torture runs real servers on a real database, breaks what they stand on
// while clients work with them, writes down every request and every answer, and
// judges afterwards whether what was answered can be true.
//
// It is for tests only and serves no URL. Its one invariant: it knows no more than
// the clients of a server know. What was not answered may or may not have happened,
// and a history is condemned only when neither explains it.
package torture

import "time"

// What is promised, and what is allowed beyond it.
const (
	// promptly is how soon a request that cannot be served is told so. Three seconds
	// are promised; a machine that does several things at once may add one.
	promptly = 4 * time.Second
	// back is how soon there is service again when the database is back.
	back = 5 * time.Second
	// settled is how long a server that has refused a redemption without knowing its
	// outcome may take to undo it, once it reaches the database again.
	settled = 2 * time.Second
)
