package event

import (
	"errors"
	"strconv"

	"github.com/nats-io/nkeys"
)

// Claims is the resolver of operator mode. What it is given comes from the system
// account and is not verified.
type Claims interface {
	// Update takes a new JWT of an account. name is the account that it must
	// be of, "" for any. It returns the account that the JWT is of, "" if that
	// can't be said.
	Update(name, token string) (account string, err error)
	// Lookup returns the JWT of an account, "" when there is none.
	Lookup(name string) string
	// List returns the names of all accounts.
	List() ([]string, error)
	// Delete forgets the accounts that token, signed by an operator, lists.
	// operator is who signed it.
	Delete(token string) (operator string, n int, err error)
	// Pack returns "account|token" of all accounts, or nothing when hash is that
	// of them all.
	Pack(hash []byte) ([]string, error)
}

// claimsRoutes returns what is answered about account JWTs.
func (s *Service) claimsRoutes() []route {
	const req = "$SYS.REQ.CLAIMS."
	update := func(q *request) { s.updateClaims(q, "") }
	return []route{
		{subject: req + "UPDATE", slow: true, answer: update},
		{subject: "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE", slow: true, answer: func(q *request) { s.updateClaims(q, q.token(3)) }},
		{subject: "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP", slow: true, answer: func(q *request) {
			if name := q.token(3); nkeys.IsValidPublicKey(name) {
				s.sendBytes(q, []byte(s.opts.Claims.Lookup(name)))
			}
		}},
		{subject: req + "LIST", slow: true, answer: s.listClaims},
		{subject: req + "DELETE", slow: true, answer: s.deleteClaims},
		{subject: req + "PACK", slow: true, answer: s.packClaims},
	}
}

// changed is the answer to what changes accounts.
type changed struct {
	Account string `json:"account,omitempty"`
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (s *Service) updateClaims(q *request, name string) {
	acc, err := s.opts.Claims.Update(name, string(q.data))
	switch {
	case name != "":
		acc = name
	case acc == "":
		acc = "n/a"
	}
	if err != nil {
		s.log.Warn("account JWT refused", "account", acc, "by_cid", q.cid, "error", err)
		s.sendTo(q, &answer{Server: s.server(), Error: &failure{acc, failed, "jwt update resulted in error - " + err.Error()}})
		return
	}
	s.log.Info("account JWT updated", "account", acc, "by_cid", q.cid)
	s.reply(q, changed{acc, 200, "jwt updated"}, nil)
}

func (s *Service) listClaims(q *request) {
	names, err := s.opts.Claims.List()
	if err != nil {
		s.done(q, err)
		return
	}
	s.sendTo(q, struct { // in this order, as nats-server has it
		Data   []string `json:"data"`
		Server *server  `json:"server"`
	}{append([]string{}, names...), s.server()})
}

func (s *Service) deleteClaims(q *request) {
	operator, n, err := s.opts.Claims.Delete(string(q.data))
	if err != nil {
		s.log.Warn("deletion of accounts refused", "operator", operator, "by_cid", q.cid, "error", err)
		s.done(q, errors.New("delete accounts request by "+operator+" failed - "+err.Error()))
		return
	}
	s.log.Info("accounts deleted", "operator", operator, "accounts", n, "by_cid", q.cid)
	s.reply(q, changed{Code: 200, Message: "deleted " + strconv.Itoa(n) + " accounts"}, nil)
}

// packClaims answers with one message for each account and an empty one.
func (s *Service) packClaims(q *request) {
	lines, err := s.opts.Claims.Pack(q.data)
	if err != nil {
		s.log.Error("accounts can't be packed", "error", err)
		return
	}
	for _, l := range lines {
		s.sendBytes(q, []byte(l))
	}
	s.sendBytes(q, nil)
}
