package jwt_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"

	golang "github.com/golang-jwt/jwt/v5"

	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/asgi/middleware/auth/jwt"
)

func Example() {
	type member struct {
		Name  string
		Roles []string
	}
	type claims struct {
		Roles []string `json:"roles"`
	}
	private := ed25519.NewKeyFromSeed([]byte(strings.Repeat("s", ed25519.SeedSize))) // of whoever issues the tokens

	tokens := jwt.New[claims](jwt.Options{
		Keys:     map[string]any{"2026-01": private.Public()},
		Issuer:   "https://login.example.org",
		Audience: "chat",
	})
	users := auth.New(auth.Options[member]{
		ID: func(m member) string { return m.Name },
		Token: jwt.Bearer(tokens, func(ctx context.Context, t jwt.Token[claims]) (member, error) {
			return member{Name: t.Subject, Roles: t.Claims.Roles}, nil
		}),
	})
	_ = users // users.Require(app)

	t := golang.NewWithClaims(golang.SigningMethodEdDSA, golang.MapClaims{
		"iss": "https://login.example.org", "aud": "chat", "sub": "ann", "exp": 4102444800, "roles": []string{"editor"},
	})
	t.Header["kid"] = "2026-01"
	text, err := t.SignedString(private)
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := tokens.Verify(context.Background(), text)
	fmt.Println(token.Subject, token.Claims.Roles, err)
	// Output: ann [editor] <nil>
}
