package login

// ParsePHC reads a stored hash and writes it again.
func ParsePHC(text string) (again string, memory, time uint32, threads uint8, err error) {
	p, err := parsePHC(text)
	return p.String(), p.memory, p.time, p.threads, err
}

// Nobody is the hash that is checked when there is none.
var Nobody = NewHasher(1, 1).nobody().String()
