package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/crypto/bcrypt"

	"github.com/tideway-go/tideway/asgi/middleware/auth"
)

// An account is a user of the site.
type account struct {
	Name         string
	passwordHash []byte
}

// accounts are all of them: a map where a site has a database. It never changes.
type accounts struct {
	all   map[string]account
	dummy []byte // a hash that nobody has
}

// maxPassword is as long as bcrypt looks.
const maxPassword = 72

// newAccounts makes accounts that have one password in common.
func newAccounts(password string, names ...string) (*accounts, error) {
	if len(password) > maxPassword {
		return nil, fmt.Errorf("the password has %d bytes, and bcrypt takes %d", len(password), maxPassword)
	}
	a := &accounts{all: make(map[string]account)}
	for _, name := range names {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
		if err != nil {
			return nil, err
		}
		a.all[name], a.dummy = account{name, hash}, hash
	}
	return a, nil
}

// find is the user of a session.
func (a *accounts) find(_ context.Context, name string) (account, error) {
	u, ok := a.all[name]
	if !ok {
		return account{}, fmt.Errorf("there is no account %q: %w", name, auth.ErrInvalid)
	}
	return u, nil
}

// errWrong does not say whether it was the name or the password.
var errWrong = errors.New("wrong name or password")

// check returns the account if the password is its own. For a name that there is not it takes as long, so that nobody can
// find out the names.
func (a *accounts) check(name, password string) (account, error) {
	u, ok := a.all[name]
	hash := u.passwordHash
	if !ok {
		hash = a.dummy
	}
	if len(password) > maxPassword || bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || !ok {
		return account{}, errWrong
	}
	return u, nil
}
