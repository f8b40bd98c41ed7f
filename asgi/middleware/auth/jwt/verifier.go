package jwt

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tideway-go/tideway/asgi/middleware/auth"
)

// Options say which tokens are taken.
type Options struct {
	// Keys are public keys, or a [Secret], by key id; see the package comment. Required, unless there is Find.
	Keys map[string]any
	// Find gets a key that is not in Keys, such as from the issuer's key set; default nil, there are no others. A nil key
	// refuses the token, an error is a failure of the site. Clients choose the key id freely, so remember what you have
	// fetched, and also what there is not.
	Find func(ctx context.Context, keyID string) (key any, err error)
	// Issuer is the "iss" that tokens must have; default any.
	Issuer string
	// Audience must be among the "aud" of tokens; default: they must have none.
	Audience string
	// Leeway is how far clocks may differ, for exp and nbf; default 30 s, negative is 0. Below a millisecond panics.
	Leeway time.Duration
	// MaxSize is the largest token in bytes; default 8 KiB.
	MaxSize int
}

const (
	defaultLeeway  = 30 * time.Second
	defaultMaxSize = 8 << 10
	maxKeyID       = 256
)

// A Token is one that was verified, with the site's own claims.
type Token[C any] struct {
	Subject  string
	ID       string // "jti"; may be empty
	Issuer   string
	Audience []string
	Expires  time.Time
	KeyID    string
	Claims   C
}

// A Verifier verifies tokens whose claims are a C, a struct with json tags or a map. It is safe for concurrent use.
type Verifier[C any] struct {
	opts   Options
	parser *jwt.Parser
}

// New makes a Verifier. It panics where the options cannot be meant, also for a key that is too weak.
func New[C any](o Options) *Verifier[C] {
	if len(o.Keys) == 0 && o.Find == nil {
		panic("asgi/middleware/auth/jwt: New: there are no keys: set Options.Keys or Find")
	}
	for id, key := range o.Keys {
		if _, err := methodsOf(key); err != nil {
			panic(fmt.Sprintf("asgi/middleware/auth/jwt: New: Options.Keys[%q]: %v", id, err))
		}
	}
	if o.Leeway == 0 {
		o.Leeway = defaultLeeway
	}
	if o.Leeway > 0 && o.Leeway < time.Millisecond {
		panic(fmt.Sprintf("asgi/middleware/auth/jwt: New: Options.Leeway is %v, a number without its unit: write 30*time.Second", o.Leeway))
	}
	o.Leeway = max(0, o.Leeway)
	if o.MaxSize < 0 {
		panic(fmt.Sprintf("asgi/middleware/auth/jwt: New: Options.MaxSize is %d: write a number of bytes, or leave it out for 8 KiB", o.MaxSize))
	}
	if o.MaxSize == 0 {
		o.MaxSize = defaultMaxSize
	}
	if t := reflect.TypeFor[C](); !holdsObject(t) {
		panic(fmt.Sprintf("asgi/middleware/auth/jwt: New: claims are a JSON object, which no %v can hold: use a struct with json tags, or struct{}", t))
	}
	checks := []jwt.ParserOption{jwt.WithExpirationRequired(), jwt.WithStrictDecoding(), jwt.WithLeeway(o.Leeway)}
	if o.Issuer != "" {
		checks = append(checks, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		checks = append(checks, jwt.WithAudience(o.Audience))
	}
	return &Verifier[C]{o, jwt.NewParser(checks...)}
}

// holdsObject reports whether a JSON object can be decoded into a value of type t, and be found there.
func holdsObject(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		return true
	case reflect.Map:
		return t.Key().Kind() == reflect.String
	case reflect.Interface:
		return t.NumMethod() == 0
	}
	return false
}

// Verify verifies a token. An error that matches [auth.ErrInvalid] is the token's fault.
func (v *Verifier[C]) Verify(ctx context.Context, token string) (Token[C], error) {
	if len(token) > v.opts.MaxSize {
		return Token[C]{}, invalid(fmt.Errorf("it has %d bytes, more than %d", len(token), v.opts.MaxSize))
	}
	var failure error // of Find
	registered := new(jwt.RegisteredClaims)
	parsed, err := v.parser.ParseWithClaims(token, registered, func(t *jwt.Token) (any, error) {
		key, err := v.key(ctx, t, &failure)
		return key, err
	})
	switch {
	case failure != nil:
		return Token[C]{}, fmt.Errorf("jwt: find the key: %w", failure)
	case err != nil:
		return Token[C]{}, invalid(err)
	case v.opts.Audience == "" && len(registered.Audience) > 0:
		return Token[C]{}, invalid(errors.New("it is for an audience, and Options.Audience names none"))
	}
	out := Token[C]{
		Subject: registered.Subject, ID: registered.ID, Issuer: registered.Issuer, Audience: registered.Audience,
		Expires: registered.ExpiresAt.Time,
	}
	out.KeyID, _ = parsed.Header["kid"].(string)
	if err := decode(token, &out.Claims); err != nil {
		return Token[C]{}, invalid(err)
	}
	return out, nil
}

// invalid is the error for a token that is refused.
func invalid(err error) error { return fmt.Errorf("jwt: token: %w: %w", auth.ErrInvalid, err) }

// decode reads the claims of a token that was verified.
func decode(token string, claims any) error {
	part := strings.Split(token, ".")[1]
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, claims)
}

// key finds the key of a token and demands that it is one for the token's algorithm.
func (v *Verifier[C]) key(ctx context.Context, t *jwt.Token, failure *error) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, errors.New("its header has critical parameters, and none is understood")
	}
	id := ""
	if kid, ok := t.Header["kid"]; ok {
		if id, ok = kid.(string); !ok || len(id) > maxKeyID {
			return nil, errors.New("its key id is no text, or too long")
		}
	}
	key, err := v.find(ctx, id)
	if err != nil {
		*failure = err
		return nil, err
	}
	if key == nil {
		return nil, fmt.Errorf("there is no key %q", id)
	}
	methods, err := methodsOf(key)
	if err != nil {
		*failure = err // of a key that Find returned
		return nil, err
	}
	for _, m := range methods {
		if m == t.Method {
			return material(key), nil
		}
	}
	return nil, fmt.Errorf("the key %q is not for %s", id, t.Method.Alg())
}

// find looks a key up.
func (v *Verifier[C]) find(ctx context.Context, id string) (any, error) {
	if key, ok := v.opts.Keys[id]; ok {
		return key, nil
	}
	if id == "" && len(v.opts.Keys) == 1 {
		for _, only := range v.opts.Keys {
			return only, nil
		}
	}
	if v.opts.Find == nil {
		return nil, nil
	}
	return v.opts.Find(ctx, id)
}

// Bearer makes the Token of [auth.Options]: user is who a verified token is for. The connection ends when the token expires,
// Leeway included, and the token's id names its credentials for revocations.
func Bearer[C, U any](v *Verifier[C], user func(ctx context.Context, t Token[C]) (U, error)) func(ctx context.Context, token string) (auth.Identity[U], error) {
	if v == nil || user == nil {
		panic("asgi/middleware/auth/jwt: Bearer: pass the Verifier of New, and a function that finds the user of a token")
	}
	return func(ctx context.Context, token string) (id auth.Identity[U], err error) {
		t, err := v.Verify(ctx, token)
		if err != nil {
			return id, err
		}
		if id.User, err = user(ctx, t); err != nil {
			return id, err
		}
		id.Session, id.Expires = t.ID, t.Expires.Add(v.opts.Leeway)
		return id, nil
	}
}
