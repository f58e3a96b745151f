package account

// Allows reports whether a field of the profile may hold a value.
func Allows(field, value string) bool { return profileRules[field](value) }
