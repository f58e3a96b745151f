package oauth

// Standard are the members that whoever registers a client may set.
var Standard = standard
