package web

import "net/http"

// Address tells who calls.
func (e *Edge) Address(r *http.Request) string { return e.address(r) }
