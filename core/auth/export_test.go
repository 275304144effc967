package auth

// Len returns how many addresses are remembered.
func (f *Failures) Len() int { return len(f.table) }
