package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
)

// lasts is how long a ticket is good, and with it a connection. Then the page fetches another one.
const lasts = 12 * time.Hour

// user is who Django says it is.
type user struct{ Name string }

// users takes the place of AuthMiddlewareStack. Sessions and passwords stay in Django.
type users struct{ *auth.Authenticator[user] }

func newUsers(secret string) *users {
	key := ticketKey(secret)
	return &users{auth.New(auth.Options[user]{
		ID: func(u user) string { return u.Name },
		Token: func(_ context.Context, token string) (auth.Identity[user], error) {
			return openTicket(key, token, time.Now())
		},
	})}
}

func (u *users) name(scope *asgi.Scope) string {
	who, _ := u.User(scope)
	return who.Name
}

// ticketKey is the key of Django's TimestampSigner(sep=".", salt="socket").
func ticketKey(secret string) []byte {
	sum := sha256.Sum256([]byte("socket" + "signer" + secret))
	return sum[:]
}

// openTicket reads what Django's sign_object wrote: JSON, a time in seconds and an HMAC, with dots between them.
func openTicket(key []byte, token string, now time.Time) (id auth.Identity[user], err error) {
	bad := func(why string) (auth.Identity[user], error) {
		return auth.Identity[user]{}, fmt.Errorf("the ticket %s: %w", why, auth.ErrInvalid)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return bad("has not three parts")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(parts[0] + "." + parts[1]))
	if sum, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil || !hmac.Equal(sum, mac.Sum(nil)) {
		return bad("is not signed with this SECRET_KEY")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return bad("holds no base64")
	}
	var holds struct{ User string }
	if err := json.Unmarshal(text, &holds); err != nil || holds.User == "" {
		return bad("names no user")
	}
	made, ok := new(big.Int).SetString(swapCase(parts[1]), 62)
	if !ok || !made.IsInt64() {
		return bad("has no time")
	}
	expires := time.Unix(made.Int64(), 0).Add(lasts)
	if now.After(expires) {
		return bad("has expired")
	}
	return auth.Identity[user]{User: user{holds.User}, Expires: expires}, nil
}

// swapCase turns Django's digits, where A is 10 and a is 36, into those of package math/big, where a is 10 and A is 36.
func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, s)
}
