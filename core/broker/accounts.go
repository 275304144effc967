package broker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/local"
	"ganglion/core/operator"
)

// specs returns the accounts of o with the mappings that stand beside them.
func (o *Options) specs() []account.Spec {
	specs := slices.Clone(o.Accounts)
	if len(o.Mappings) == 0 {
		return specs
	}
	at := slices.IndexFunc(specs, func(s account.Spec) bool { return s.Name == account.Global })
	if at < 0 {
		at = len(specs)
		specs = append(specs, account.Spec{Name: account.Global, Limits: account.NoLimits})
	}
	specs[at].Mappings = slices.Concat(o.Mappings, specs[at].Mappings)
	return specs
}

// authenticator returns who decides about logins by o.
func (b *Broker) authenticator(o *Options) (*auth.Authenticator, error) {
	a := o.Auth
	a.Accounts, a.Keys, a.ServerName, a.Host, a.Tags, a.Logger, a.Cache, a.Shared = b.accounts, b.keys, o.ServerName, o.Host, o.Tags, o.Logger, &b.passwords, &b.permissions
	switch {
	case a.Callout != nil:
		c := *a.Callout
		c.Requester = requester{b}
		a.Callout = &c
	case a.Operator != nil:
		a.Callout = &auth.Callout{Requester: requester{b}}
	}
	return auth.New(a)
}

// requester asks the service of an auth callout (auth.Requester).
type requester struct{ b *Broker }

// Request asks on subject in acc and returns the answer.
func (r requester) Request(ctx context.Context, acc *account.Account, subject string, header, data []byte) (replyHeader, replyData []byte, err error) {
	p := local.New(acc, "auth callout", 0, &r.b.counters)
	m, err := p.RequestMsg(ctx, subject, header, data)
	if err != nil {
		return nil, nil, err
	}
	return m.Header(), m.Payload(), nil
}

// prepareAccounts checks the accounts of o; commit makes them those there are and
// returns which are gone. In operator mode accounts come as their users do.
func (b *Broker) prepareAccounts(o *Options) (commit func() (gone []string), err error) {
	t := o.Auth.Operator
	if t == nil {
		return b.accounts.Prepare(o.specs(), o.SystemAccount)
	}
	system := t.SystemAccount()
	if system == "" {
		return nil, fmt.Errorf("operator mode has no system account; add system_account: its public nkey")
	}
	return func() []string {
		b.accounts.SetSystem(system)
		for _, a := range b.accounts.All() {
			if a.Name() != account.Global && a.Name() != account.System {
				b.loadAccount(context.Background(), t, a.Name())
			}
		}
		return nil
	}, nil
}

// loadAccount has the account name be what its JWT says, and those be there that
// it imports from.
func (b *Broker) loadAccount(ctx context.Context, t *operator.Trust, name string) {
	acc, err := t.Account(ctx, name)
	if err != nil {
		b.log.Warn("account can't be loaded", "account", name, "error", err)
		return
	}
	for _, imp := range acc.Spec.Imports {
		if b.accounts.Get(imp.Account) == nil {
			if from, err := t.Account(ctx, imp.Account); err == nil {
				b.accounts.Update(from.Spec)
			}
		}
	}
	if _, errs := b.accounts.Update(acc.Spec); len(errs) > 0 {
		b.log.Warn("imports don't hold", "account", name, "errors", fmt.Sprint(errs))
	}
}

// UpdateAccount takes over an account JWT that was pushed to the server, in
// operator mode: sessions go on with what it allows, or end. It reports whether
// anything changed.
func (b *Broker) UpdateAccount(ctx context.Context, token string) (changed bool, err error) {
	t := b.Options().Auth.Operator
	if t == nil {
		return false, fmt.Errorf("broker: an account JWT needs operator mode")
	}
	acc, changed, err := t.Load(ctx, token)
	if err != nil || !changed || b.accounts.Get(acc.Spec.Name) == nil {
		return changed, err
	}
	for _, a := range append(t.Dependents(ctx, acc.Spec.Name), acc) {
		if b.accounts.Get(a.Spec.Name) != nil {
			b.loadAccount(ctx, t, a.Spec.Name)
		}
	}
	b.clients.ReauthorizeAccount(b.accounts.Get(acc.Spec.Name))
	return true, nil
}

// forgetAccount ends the sessions of an account whose JWT was deleted.
func (b *Broker) forgetAccount(t *operator.Trust, name string) {
	t.Forget(name)
	if acc := b.accounts.Get(name); acc != nil {
		b.clients.ReauthorizeAccount(acc)
	}
}

// Login checks credentials by options of their own, such as those of monitoring
// pages. It is bounded together with the logins of clients, slowed down for
// addresses that keep failing, and returns auth.ErrDenied or auth.ErrBusy.
func (b *Broker) Login(ctx context.Context, o auth.Options, r *auth.Request) error {
	o.Cache, o.Shared, o.Logger = &b.passwords, &b.permissions, b.log
	a, err := auth.New(o)
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	if d := b.failures.Delay(r.Remote); d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	result := make(chan error, 1)
	check := func(done bool) {
		err := auth.ErrBusy
		if !done {
			_, err = a.Authenticate(ctx, r)
		}
		result <- err
	}
	if a.Quick(r) {
		check(false)
	} else if err := b.pool.Go(ctx, a.Cost(r), check); err != nil {
		return err
	}
	if err = <-result; err != nil {
		b.failures.Failed(r.Remote)
	}
	return err
}
