package jwt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// A Secret is a key that both signs and verifies, random bytes and no password. It is a type of its own, so that a public
// key in its text form is never taken for one.
type Secret []byte

// String hides the secret from logs.
func (Secret) String() string { return "a secret" }

// GoString hides it too.
func (Secret) GoString() string { return "a secret" }

// methodsOf are the algorithms that a key is for.
func methodsOf(key any) ([]jwt.SigningMethod, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("an ed25519.PublicKey has %d bytes, this one %d", ed25519.PublicKeySize, len(k))
		}
		return []jwt.SigningMethod{jwt.SigningMethodEdDSA}, nil
	case *ecdsa.PublicKey:
		return ecdsaMethods(k)
	case *rsa.PublicKey:
		if k == nil || k.N == nil || k.N.BitLen() < 2048 {
			return nil, errors.New("an RSA key needs 2048 bits at least (RFC 7518 section 3.3)")
		}
		return []jwt.SigningMethod{
			jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512,
			jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512,
		}, nil
	case Secret:
		all := []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512}
		n := min(max(0, len(k)/16-1), len(all)) // 32, 48 and 64 bytes
		if n == 0 {
			return nil, fmt.Errorf("a Secret needs 32 random bytes at least (RFC 7518 section 3.2), this one has %d", len(k))
		}
		if bytes.Count(k, []byte{0}) == len(k) {
			return nil, errors.New("a Secret of zeros is none: was it ever filled?")
		}
		return all[:n], nil
	}
	return nil, fmt.Errorf("a key of type %T: use ed25519.PublicKey, *ecdsa.PublicKey, *rsa.PublicKey or jwt.Secret", key)
}

func ecdsaMethods(k *ecdsa.PublicKey) ([]jwt.SigningMethod, error) {
	if k != nil && k.Curve != nil {
		switch k.Curve.Params().BitSize {
		case 256:
			return []jwt.SigningMethod{jwt.SigningMethodES256}, nil
		case 384:
			return []jwt.SigningMethod{jwt.SigningMethodES384}, nil
		case 521:
			return []jwt.SigningMethod{jwt.SigningMethodES512}, nil
		}
	}
	return nil, errors.New("an ECDSA key needs the curve P-256, P-384 or P-521")
}

// material is a key as golang-jwt takes it.
func material(key any) any {
	if s, ok := key.(Secret); ok {
		return []byte(s)
	}
	return key
}
