package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"

	"ganglion/core/account"
	"ganglion/core/operator"
	"ganglion/core/permission"
)

// connectionTypes are those a user may be limited to.
var connectionTypes = []string{TypeStandard, TypeWebSocket, TypeLeaf, TypeLeafWS, TypeMQTT, TypeMQTTWS, TypeInProcess, TypeQUIC, TypeWebTransport}

func newAuthenticator(o Options) (*Authenticator, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	a := &Authenticator{
		opts:     o,
		accounts: o.Accounts,
		cache:    o.Cache,
		shared:   o.Shared,
		now:      o.Now,
		log:      o.Logger,
		bcrypt:   bcrypt.CompareHashAndPassword,
		names:    make(map[string]*user),
		nkeys:    make(map[string]*user),
		doors:    make(map[string]*door),
	}
	if a.accounts == nil {
		a.accounts = account.NewRegistry("")
	}
	if a.shared == nil {
		a.shared = &permission.Shared{}
	}
	if a.cache == nil {
		a.cache = &PasswordCache{Now: o.Now}
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.Default()
	}
	if err := a.addUsers(); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	if err := a.addDoors(); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	if o.Callout != nil && o.Operator == nil {
		c, err := a.newCallout(*o.Callout)
		if err != nil {
			return nil, fmt.Errorf("auth: auth_callout: %w", err)
		}
		a.callout = c
	}
	return a, nil
}

// check reports what excludes each other.
func (o *Options) check() error {
	switch {
	case o.Token != "" && o.User != "":
		return errors.New("authorization has both a token and a user; keep one of them")
	case o.User == "" && o.Password != "":
		return errors.New("authorization has a password but no user; add user")
	case o.Token != "" && len(o.Users) > 0:
		return errors.New("authorization has a token, and there are users; make the token a user, or remove it")
	case o.User != "" && len(o.Users) > 0:
		return fmt.Errorf("authorization has the single user %q, and there are users; add it to them", o.User)
	case o.Timeout < 0:
		return fmt.Errorf("authorization timeout %v is negative", o.Timeout)
	case o.Operator != nil && (o.Token != "" || o.User != "" || len(o.Users) > 0):
		return errors.New("in operator mode users come with JWTs; remove the token, user and users of authorization and accounts")
	case o.Operator != nil && o.NoAuthUser != "":
		return fmt.Errorf("no_auth_user %q can't be in operator mode; use default_sentinel", o.NoAuthUser)
	case o.Operator == nil && o.DefaultSentinel != "":
		return errors.New("default_sentinel is of operator mode; set operator too, or no_auth_user instead")
	}
	if o.DefaultSentinel != "" {
		if _, err := operator.DecodeUser(o.DefaultSentinel); err != nil {
			return fmt.Errorf("default_sentinel is no user JWT: %w", err)
		}
	}
	return nil
}

func (a *Authenticator) addUsers() error {
	compile := func(s *permission.Spec) (*permission.Permissions, error) {
		if s == nil {
			return nil, nil
		}
		return a.shared.Compile(*s)
	}
	var err error
	if a.single, err = compile(a.opts.Permissions); err != nil {
		return fmt.Errorf("authorization: %w", err)
	}
	for _, spec := range a.opts.Users {
		u := &user{User: spec}
		if err := u.check(); err != nil {
			return err
		}
		index := a.names
		if u.NKey != "" {
			index = a.nkeys
		}
		if index[u.key()] != nil {
			return fmt.Errorf("the user %q is there twice; remove one, also if they are in different accounts", u.key())
		}
		index[u.key()] = u
		perms := u.Permissions
		if perms == nil {
			perms = u.DefaultPermissions
		}
		if perms == nil && spec.Account == "" {
			perms = a.opts.Permissions
		}
		if u.perms, err = compile(perms); err != nil {
			return fmt.Errorf("user %q: %w", u.key(), err)
		}
		if IsBcrypt(u.Password) {
			a.dummy = dummyFor(a.dummy, u.Password)
		}
	}
	a.addDNs()
	return nil
}

// key is what users are told apart by.
func (u *user) key() string {
	if u.NKey != "" {
		return u.NKey
	}
	return u.Name
}

// check reports what is wrong with u, and gives it its defaults.
func (u *user) check() error {
	switch {
	case u.NKey != "" && (u.Name != "" || u.Password != ""):
		return fmt.Errorf("the user with nkey %s has a name or password too; keep one of them", u.NKey)
	case u.NKey != "":
		pub, err := nkeys.FromPublicKey(u.NKey)
		if err != nil || !nkeys.IsValidPublicUserKey(u.NKey) {
			return fmt.Errorf("nkey %.60q is no public user nkey; those begin with U and have 56 characters", u.NKey)
		}
		u.public = pub
	case u.Name == "":
		return errors.New("a user has neither a name nor an nkey; add user")
	case IsBcrypt(u.Password):
		if _, err := bcrypt.Cost([]byte(u.Password)); err != nil {
			return fmt.Errorf("user %q: the password looks like a bcrypt hash and is none; make one anew", u.Name)
		}
	}
	types := make([]string, 0, len(u.ConnectionTypes))
	for _, t := range u.ConnectionTypes {
		t = strings.ToUpper(t)
		if !slices.Contains(connectionTypes, t) {
			return fmt.Errorf("user %q: connection type %.60q is unknown; there are %s", u.key(), t, strings.Join(connectionTypes, ", "))
		}
		types = append(types, t)
	}
	u.ConnectionTypes = types
	if u.Account == "" {
		u.Account = account.Global
	}
	return nil
}

func (a *Authenticator) addDoors() error {
	o := &a.opts
	main := Listener{Token: o.Token, User: o.User, Password: o.Password, NoAuthUser: o.NoAuthUser, Timeout: o.Timeout}
	if main.Timeout == 0 {
		main.Timeout = DefaultTimeout
	}
	if err := a.checkNoAuthUser(main.NoAuthUser); err != nil {
		return err
	}
	a.main = a.newDoor(main)
	for name, l := range o.Listeners {
		users := len(a.names)+len(a.nkeys) > 0
		switch {
		case users && l.User != "":
			return fmt.Errorf("listener %s: authorization has the user %q, and there are users; add it to them", name, l.User)
		case users && l.Token != "":
			return fmt.Errorf("listener %s: authorization has a token, and there are users; make the token a user", name)
		case l.User == "" && l.Password != "":
			return fmt.Errorf("listener %s: authorization has a password but no user; add user", name)
		case l.Timeout < 0:
			return fmt.Errorf("listener %s: authorization timeout %v is negative", name, l.Timeout)
		case l.JWTCookie != "" && o.Operator == nil:
			return fmt.Errorf("listener %s: jwt_cookie %q is of operator mode; set operator or trusted_keys too", name, l.JWTCookie)
		case o.Operator != nil && (l.NoAuthUser != "" || l.User != "" || l.Token != ""):
			return fmt.Errorf("listener %s: in operator mode users come with JWTs; remove the token, user and no_auth_user", name)
		}
		if err := a.checkNoAuthUser(l.NoAuthUser); err != nil {
			return fmt.Errorf("listener %s: %w", name, err)
		}
		if l.Token == "" && l.User == "" {
			l.Token, l.User, l.Password = main.Token, main.User, main.Password
		}
		if l.NoAuthUser == "" {
			l.NoAuthUser = main.NoAuthUser
		}
		if l.Timeout == 0 {
			l.Timeout = main.Timeout
		}
		a.doors[name] = a.newDoor(l)
	}
	return nil
}

func (a *Authenticator) checkNoAuthUser(name string) error {
	switch {
	case name == "" || a.names[name] != nil || a.nkeys[name] != nil:
		return nil
	case len(a.names)+len(a.nkeys) == 0:
		return fmt.Errorf("no_auth_user is %q and there are no users; add it to authorization.users or an account", name)
	}
	return fmt.Errorf("no_auth_user %q is none of the users of authorization and accounts; add it", name)
}

func (a *Authenticator) newDoor(l Listener) *door {
	d := &door{Listener: l, dummy: a.dummy}
	for _, secret := range []string{l.Token, l.Password} {
		if IsBcrypt(secret) {
			d.dummy = dummyFor(d.dummy, secret)
		}
	}
	return d
}

// door returns what holds for a listener.
func (a *Authenticator) door(listener string) *door {
	if d := a.doors[listener]; d != nil {
		return d
	}
	return a.main
}
