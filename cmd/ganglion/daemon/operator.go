package daemon

import (
	"fmt"
	"reflect"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/operator"
)

// trust is operator mode as it was configured.
type trust struct {
	from   config.Operator
	system string
	*operator.Trust
	store operator.Store // nil where the resolver keeps nothing
}

// newTrust makes the chain of trust that c asks for, or takes over old where c
// asks for the same; nil without operator mode.
func (d *Daemon) newTrust(c *config.Config, old *trust) (*trust, error) {
	o := &c.Operator
	if !o.On() {
		if o.Resolver != "" {
			return nil, fmt.Errorf("resolver has no effect without operator; add operator, or remove it")
		}
		return nil, nil
	}
	if old != nil && old.system == c.Broker.SystemAccount && reflect.DeepEqual(old.from, *o) {
		return old, nil
	}
	if len(c.Broker.Accounts) > 0 || len(c.Broker.Auth.Users) > 0 || c.Broker.Auth.Token != "" || c.Broker.Auth.User != "" {
		return nil, fmt.Errorf("operator mode and users or accounts of the configuration exclude each other; remove one of them")
	}
	t := &trust{from: *o, system: c.Broker.SystemAccount}
	var err error
	if t.Trust, t.store, err = o.Open(c.Broker.SystemAccount, d.log.Logger); err != nil {
		return nil, err
	}
	return t, nil
}
