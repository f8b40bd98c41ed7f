package jwt_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	golang "github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/asgi/middleware/auth/jwt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type claims struct {
	Roles []string `json:"roles"`
}

// Keys of all kinds.
var (
	edPrivate             = ed25519.NewKeyFromSeed([]byte(strings.Repeat("e", ed25519.SeedSize))) // the same in all processes of a fuzzer
	edPublic              = edPrivate.Public().(ed25519.PublicKey)
	_, strangerPrivate, _ = ed25519.GenerateKey(rand.Reader)
	p256                  = ecdsaKey(elliptic.P256())
	p384                  = ecdsaKey(elliptic.P384())
	rsa2048               = rsaKey(2048)
	secret                = jwt.Secret(strings.Repeat("s", 32))
)

func ecdsaKey(c elliptic.Curve) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

func rsaKey(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

// sign makes a token that is good for an hour; change may spoil it.
func sign(method golang.SigningMethod, key any, kid string, change golang.MapClaims) string {
	c := golang.MapClaims{"sub": "ann", "jti": "t1", "iss": "login", "aud": "chat", "exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"admin"}}
	maps.Copy(c, change)
	for name, value := range c {
		if value == nil {
			delete(c, name)
		}
	}
	t := golang.NewWithClaims(method, c)
	if kid != "" {
		t.Header["kid"] = kid
	}
	text, err := t.SignedString(key)
	if err != nil {
		panic(err)
	}
	return text
}

func pemOf(key crypto.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

var options = jwt.Options{
	Keys: map[string]any{
		"ed": edPublic, "p256": &p256.PublicKey, "p384": &p384.PublicKey, "rsa": &rsa2048.PublicKey, "secret": secret,
		"long": jwt.Secret(strings.Repeat("l", 64)),
	},
	Issuer: "login", Audience: "chat",
}

// Tokens that are taken.
func TestVerify(t *testing.T) {
	for kid, token := range map[string]string{
		"ed":     sign(golang.SigningMethodEdDSA, edPrivate, "ed", nil),
		"p256":   sign(golang.SigningMethodES256, p256, "p256", nil),
		"p384":   sign(golang.SigningMethodES384, p384, "p384", nil),
		"rsa":    sign(golang.SigningMethodPS256, rsa2048, "rsa", golang.MapClaims{"aud": []string{"mail", "chat"}}),
		"secret": sign(golang.SigningMethodHS256, []byte(secret), "secret", nil),
		"long":   sign(golang.SigningMethodHS512, []byte(strings.Repeat("l", 64)), "long", nil),
	} {
		got, err := jwt.New[claims](options).Verify(context.Background(), token)
		if err != nil || got.Subject != "ann" || got.ID != "t1" || got.Issuer != "login" || got.KeyID != kid ||
			got.Audience[len(got.Audience)-1] != "chat" || len(got.Claims.Roles) != 1 || got.Expires.Before(time.Now()) {
			t.Errorf("%s: %+v, %v", kid, got, err)
		}
	}
}

// Tokens that are refused.
func TestRefused(t *testing.T) {
	ed := func(change golang.MapClaims) string { return sign(golang.SigningMethodEdDSA, edPrivate, "ed", change) }
	good := ed(nil)
	unsigned := strings.Join(strings.Split(good, ".")[:2], ".") + "."
	header := func(h string) string { // a header that the key has not signed
		parts := strings.Split(good, ".")
		return base64.RawURLEncoding.EncodeToString([]byte(h)) + "." + parts[1] + "." + parts[2]
	}
	critical := golang.NewWithClaims(golang.SigningMethodEdDSA, golang.MapClaims{"aud": "chat", "iss": "login", "exp": time.Now().Add(time.Hour).Unix()})
	critical.Header["kid"], critical.Header["crit"] = "ed", []string{"b64"}
	withCritical, err := critical.SignedString(edPrivate)
	if err != nil {
		t.Fatal(err)
	}
	past, future := time.Now().Add(-time.Minute).Unix(), time.Now().Add(time.Minute).Unix()
	for name, token := range map[string]string{
		"J1: none":                            sign(golang.SigningMethodNone, golang.UnsafeAllowNoneSignatureType, "ed", nil),
		"J1: none, without a key id":          sign(golang.SigningMethodNone, golang.UnsafeAllowNoneSignatureType, "", nil),
		"J1: none, written otherwise":         header(`{"alg":"nOnE","kid":"ed"}`),
		"J1: a public key as a secret":        sign(golang.SigningMethodHS256, pemOf(&rsa2048.PublicKey), "rsa", nil),
		"J1: a raw public key as a secret":    sign(golang.SigningMethodHS256, []byte(edPublic), "ed", nil),
		"J1: a key of another curve":          sign(golang.SigningMethodES384, p384, "p256", nil),
		"J1: a key of another kind":           sign(golang.SigningMethodEdDSA, edPrivate, "rsa", nil),
		"J1: a secret too short for its hash": sign(golang.SigningMethodHS512, []byte(secret), "secret", nil),
		"J1: an unknown algorithm":            header(`{"alg":"XX","kid":"ed"}`),
		"J1: no algorithm":                    header(`{"kid":"ed"}`),
		"J1: a key of somebody else":          sign(golang.SigningMethodEdDSA, strangerPrivate, "ed", nil),
		"J1: no signature":                    unsigned,
		"J1: a header that was not signed":    header(`{"alg":"EdDSA","kid":"ed","x":1}`),
		"no key id, of several keys":          sign(golang.SigningMethodEdDSA, edPrivate, "", nil),
		"J1: a signature written otherwise":   otherwise(good),
		"an unknown key id":                   sign(golang.SigningMethodEdDSA, edPrivate, "old", nil),
		"a key id that is no text":            header(`{"alg":"EdDSA","kid":1}`),
		"J2: expired":                         ed(golang.MapClaims{"exp": past}),
		"J2: no exp":                          ed(golang.MapClaims{"exp": nil}),
		"J2: exp is no number":                ed(golang.MapClaims{"exp": "soon"}),
		"J2: not yet":                         ed(golang.MapClaims{"nbf": future}),
		"J2: another issuer":                  ed(golang.MapClaims{"iss": "logout"}),
		"J2: no issuer":                       ed(golang.MapClaims{"iss": nil}),
		"J2: another audience":                ed(golang.MapClaims{"aud": []string{"mail"}}),
		"J2: no audience":                     ed(golang.MapClaims{"aud": nil}),
		"J4: a critical header":               withCritical,
		"J4: claims of another shape":         ed(golang.MapClaims{"roles": "admin"}),
		"too long":                            ed(golang.MapClaims{"x": strings.Repeat("x", 8<<10)}),
		"nothing":                             "",
		"no token":                            "a.b",
		"four parts":                          good + ".x",
		"padding":                             good + "=",
	} {
		if got, err := jwt.New[claims](options).Verify(context.Background(), token); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("J3: %s: %+v, %v; want an error that matches auth.ErrInvalid", name, got, err)
		}
	}
}

// otherwise is a token whose signature decodes to the same bytes: the last character of 64 bytes in base64 has four bits to spare.
func otherwise(token string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(digits[strings.IndexByte(digits, token[last])+1])
}

// A key id that nobody knows is refused also where there is one key only, and a long one is not looked up.
func TestKeyIDs(t *testing.T) {
	asked := 0
	v := jwt.New[claims](jwt.Options{Audience: "chat", Keys: map[string]any{"ed": edPublic}, Find: func(context.Context, string) (any, error) {
		asked++
		return nil, nil
	}})
	for _, kid := range []string{"old", strings.Repeat("k", 257)} {
		if _, err := v.Verify(t.Context(), sign(golang.SigningMethodEdDSA, edPrivate, kid, nil)); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("J1: the key id %.10q: %v; want an error that matches auth.ErrInvalid", kid, err)
		}
	}
	if asked != 1 {
		t.Errorf("Find was asked %d times, want once", asked)
	}
	if _, err := v.Verify(t.Context(), sign(golang.SigningMethodEdDSA, edPrivate, "", nil)); err != nil {
		t.Errorf("without a key id: %v", err)
	}
}

// Clocks may differ by the leeway, and no more.
func TestLeeway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			leeway, late time.Duration
			ok           bool
		}{
			{0, 29 * time.Second, true}, {0, 31 * time.Second, false},
			{-1, 0, false}, {-1, -time.Second, true},
			{time.Minute, 59 * time.Second, true}, {time.Minute, 61 * time.Second, false},
		} {
			o := options
			o.Leeway = c.leeway
			token := sign(golang.SigningMethodEdDSA, edPrivate, "ed", golang.MapClaims{"exp": time.Now().Add(-c.late).Unix()})
			if _, err := jwt.New[claims](o).Verify(t.Context(), token); (err == nil) != c.ok {
				t.Errorf("J2: leeway %v, %v after exp: %v", c.leeway, c.late, err)
			}
		}
	})
}

// The size of a token is bounded before anything of it is read.
func TestMaxSize(t *testing.T) {
	o := options
	token := sign(golang.SigningMethodEdDSA, edPrivate, "ed", nil)
	for size, ok := range map[int]bool{len(token): true, len(token) - 1: false} {
		o.MaxSize = size
		if _, err := jwt.New[claims](o).Verify(context.Background(), token); (err == nil) != ok {
			t.Errorf("a token of %d bytes, %d allowed: %v", len(token), size, err)
		}
	}
}

// Keys come and go by their id.
func TestRotation(t *testing.T) {
	ctx := context.Background()
	token := sign(golang.SigningMethodEdDSA, edPrivate, "old", nil)
	both, after := options, options
	both.Keys = map[string]any{"old": edPublic, "new": &p256.PublicKey}
	after.Keys = map[string]any{"new": &p256.PublicKey}
	if _, err := jwt.New[claims](both).Verify(ctx, token); err != nil {
		t.Errorf("while both keys are there: %v", err)
	}
	if _, err := jwt.New[claims](after).Verify(ctx, token); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("after the old key has gone: %v", err)
	}
	if _, err := jwt.New[claims](after).Verify(ctx, sign(golang.SigningMethodES256, p256, "", nil)); err != nil {
		t.Errorf("without a key id, for the only key: %v", err)
	}
	broken := errors.New("no keys today")
	found := options
	found.Keys, found.Find = nil, func(_ context.Context, id string) (any, error) {
		switch id {
		case "old":
			return edPublic, nil
		case "broken":
			return nil, broken
		case "weak":
			return jwt.Secret("short"), nil
		}
		return nil, nil
	}
	v := jwt.New[claims](found)
	if _, err := v.Verify(ctx, token); err != nil {
		t.Errorf("a key that is found: %v", err)
	}
	for _, kid := range []string{"broken", "weak"} {
		_, err := v.Verify(ctx, sign(golang.SigningMethodEdDSA, edPrivate, kid, nil))
		if err == nil || errors.Is(err, auth.ErrInvalid) || errors.Is(err, broken) != (kid == "broken") {
			t.Errorf("J3: a failure to find the key is %v", err)
		}
	}
	if _, err := v.Verify(ctx, sign(golang.SigningMethodEdDSA, edPrivate, "none", nil)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a key that is not found: %v", err)
	}
}

// Without an audience of ours a token for anybody else's is refused.
func TestNoAudience(t *testing.T) {
	o := options
	o.Audience = ""
	v := jwt.New[claims](o)
	if _, err := v.Verify(context.Background(), sign(golang.SigningMethodEdDSA, edPrivate, "ed", nil)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("J2: a token for an audience: %v", err)
	}
	if _, err := v.Verify(context.Background(), sign(golang.SigningMethodEdDSA, edPrivate, "ed", golang.MapClaims{"aud": nil})); err != nil {
		t.Errorf("a token for nobody in particular: %v", err)
	}
}

// Bearer is what auth wants.
func TestBearer(t *testing.T) {
	exp := time.Now().Add(time.Hour).Truncate(time.Second)
	bearer := jwt.Bearer(jwt.New[claims](options), func(_ context.Context, t jwt.Token[claims]) (string, error) {
		if t.Subject == "eve" {
			return "", fmt.Errorf("eve has left: %w", auth.ErrInvalid)
		}
		return t.Subject + " " + t.Claims.Roles[0], nil
	})
	id, err := bearer(context.Background(), sign(golang.SigningMethodEdDSA, edPrivate, "ed", golang.MapClaims{"exp": exp.Unix()}))
	if err != nil || id.User != "ann admin" || id.Session != "t1" || !id.Expires.Equal(exp.Add(30*time.Second)) {
		t.Errorf("%+v, %v", id, err)
	}
	for _, token := range []string{"", sign(golang.SigningMethodEdDSA, edPrivate, "ed", golang.MapClaims{"sub": "eve"})} {
		if _, err := bearer(context.Background(), token); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("J3: %v", err)
		}
	}
	auth.New(auth.Options[string]{ID: func(u string) string { return u }, Token: bearer})
}

// What cannot be meant says so at start.
func TestMistakes(t *testing.T) {
	for want, keys := range map[string]map[string]any{
		"there are no keys":      nil,
		"this one has 31":        {"a": jwt.Secret(strings.Repeat("s", 31))},
		"Secret of zeros":        {"a": make(jwt.Secret, 32)},
		"of type []uint8":        {"a": []byte(secret)},
		"*rsa.PrivateKey":        {"a": rsa2048},
		"2048 bits":              {"a": (*rsa.PublicKey)(nil)},
		"2048 bits ":             {"a": &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2046), E: 65537}},
		"this one 3":             {"a": ed25519.PublicKey("abc")},
		"P-256, P-384 or P-521":  {"a": &ecdsa.PublicKey{Curve: elliptic.P224()}},
		"P-256, P-384 or P-521 ": {"a": (*ecdsa.PublicKey)(nil)},
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, strings.TrimSpace(want)) {
					t.Errorf("New panics with %q, want %q in it", text, want)
				}
			}()
			jwt.New[claims](jwt.Options{Keys: keys})
		})
	}
	func() {
		defer func() {
			if text, _ := recover().(string); !strings.Contains(text, "Options.Leeway is 5ns, a number without its unit: write 30*time.Second") {
				t.Errorf("New panics with %q", text)
			}
		}()
		o := options
		o.Leeway = 5
		jwt.New[claims](o)
	}()
	for want, build := range map[string]func(){
		"Options.MaxSize is -1": func() { jwt.New[claims](jwt.Options{Keys: options.Keys, MaxSize: -1}) },
		"no int can hold":       func() { jwt.New[int](options) },
		"no *jwt_test.claims":   func() { jwt.New[*claims](options) },
		"no map[int]string":     func() { jwt.New[map[int]string](options) },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, want) {
					t.Errorf("New panics with %q, want %q in it", text, want)
				}
			}()
			build()
		}()
	}
	jwt.New[map[string]any](options)
	jwt.New[any](options)
	if got := fmt.Sprintf("%v %+v %#v %s", secret, secret, secret, secret) + secret.String() + secret.GoString(); strings.Contains(got, "sss") {
		t.Errorf("a secret prints as %q", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("Bearer takes nothing for a Verifier")
		}
	}()
	jwt.Bearer[claims, string](nil, nil)
}

// FuzzVerify finds no token that was not signed, and none that panics.
func FuzzVerify(f *testing.F) {
	far := golang.MapClaims{"exp": 4102444800} // the year 2100, since each process of a fuzzer signs
	signed := map[string]bool{
		sign(golang.SigningMethodEdDSA, edPrivate, "ed", far):          true,
		sign(golang.SigningMethodHS256, []byte(secret), "secret", far): true,
	}
	for token := range signed {
		f.Add(token)
	}
	f.Add(sign(golang.SigningMethodNone, golang.UnsafeAllowNoneSignatureType, "ed", far))
	f.Add("..")
	v := jwt.New[claims](options)
	f.Fuzz(func(t *testing.T, token string) {
		_, err := v.Verify(context.Background(), token)
		if err == nil && !signed[token] {
			t.Errorf("J1: a token that nobody has signed is taken: %q", token)
		}
		if err != nil && !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("J3: %v", err)
		}
	})
}
