// Package jwt verifies JSON Web Tokens (RFC 7519) as bearer tokens for package auth. It is golang-jwt with the choices made
// that RFC 8725 asks for.
//
//	type claims struct {
//		Roles []string `json:"roles"`
//	}
//
//	var tokens = jwt.New[claims](jwt.Options{
//		Keys:     map[string]any{"2026-01": publicKey},
//		Issuer:   "https://login.example.org",
//		Audience: "chat",
//	})
//
//	var users = auth.New(auth.Options[Account]{
//		ID:    func(a Account) string { return a.Name },
//		Token: jwt.Bearer(tokens, func(ctx context.Context, t jwt.Token[claims]) (Account, error) {
//			return Account{Name: t.Subject, Roles: t.Claims.Roles}, nil
//		}),
//	})
//
// It verifies tokens and makes none. Whoever does, with golang-jwt or elsewhere, gives them a short life: a token cannot be
// taken back, so a revocation closes its connections, and the client may come back until it expires. A function that looks
// the user up refuses it earlier, by [auth.ErrInvalid].
//
// # Keys
//
// Keys are named by key id, the "kid" of the token's header. To rotate, add the new key, sign with it, and remove the old
// one when the last token of it has expired. A token without a key id is for the key named "", or for the only one.
//
// The type of the key decides which signatures are taken, whatever the token says of itself:
//
//   - [ed25519.PublicKey]: EdDSA.
//   - *[ecdsa.PublicKey]: ES256, ES384 or ES512, by its curve.
//   - *[rsa.PublicKey], of 2048 bits at least: RS256 to RS512 and PS256 to PS512.
//   - [Secret], of 32 bytes at least: HS256, with 48 bytes HS384, with 64 HS512 (RFC 7518 section 3.2). Whoever can verify with
//     a secret can also sign.
//
// # Promises
//
//   - J1 The key's type chooses the algorithm, never the token: no public key serves as a secret, and "none" is none.
//   - J2 A token has exp, and is refused after it; before nbf; from another issuer or for another audience where the options
//     name one. A token for some audience is refused where they name none (RFC 7519 section 4.1.3).
//   - J3 What is refused matches [auth.ErrInvalid]; a failure to find a key does not.
//   - J4 Claims are decoded after the signature was verified; a critical header that is not understood is refused (RFC 7515
//     section 4.1.11).
package jwt
