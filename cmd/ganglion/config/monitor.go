package config

// Monitor is the monitor { } block: who may look at the monitoring ports. The zero
// value lets everybody.
type Monitor struct {
	On             bool
	User, Password string // the password plain or bcrypt
	// Certificate lets those in as well, over https, who show a certificate that
	// tls.ca_file signed.
	Certificate bool
}

// monitorKeys are the keys of monitor { }, which is ours.
var monitorKeys = map[string]key{
	"user":               str(func(c *Config) *string { return &c.Monitor.User }),
	"username":           str(func(c *Config) *string { return &c.Monitor.User }),
	"password":           str(func(c *Config) *string { return &c.Monitor.Password }),
	"pass":               str(func(c *Config) *string { return &c.Monitor.Password }),
	"password_file":      secretFile(func(c *Config) *string { return &c.Monitor.Password }),
	"client_certificate": boolean(func(c *Config) *bool { return &c.Monitor.Certificate }),
}

func monitorBlock(c *Config, name string, t token, v any) error {
	c.Monitor = Monitor{On: true}
	if err := table(monitorKeys)(c, name, t, v); err != nil {
		return err
	}
	switch m := &c.Monitor; {
	case (m.User == "") != (m.Password == ""):
		return errorAt(t, "%s must have both user and password, or neither", name)
	case m.User == "" && !m.Certificate:
		return errorAt(t, "%s says nothing of who may look; add user and password, or client_certificate: true", name)
	}
	return nil
}
