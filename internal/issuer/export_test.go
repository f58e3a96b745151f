package issuer

// Check is the value by which a database knows its master key.
func (m *Master) Check() string { return m.check() }
