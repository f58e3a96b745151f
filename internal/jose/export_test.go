package jose

// SideBySide turns a signature in DER into R and S.
func SideBySide(der []byte) ([]byte, error) { return sideBySide(der) }
