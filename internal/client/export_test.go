package client

// ParseBasic reads the Authorization header of a client.
var ParseBasic = parseBasic
