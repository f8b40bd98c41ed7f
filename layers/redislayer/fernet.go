package redislayer

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// What a Fernet token consists of (https://github.com/fernet/spec/blob/master/Spec.md): a version, the time in seconds,
// a vector, the text in AES-128-CBC, and an HMAC-SHA256 of all that, in base64url.
const (
	fernetVersion = 0x80
	fernetHead    = 1 + 8
	fernetVector  = aes.BlockSize
	fernetSmall   = fernetHead + fernetVector + aes.BlockSize + sha256.Size
	fernetAhead   = 60 * time.Second // how far a sender's clock may be ahead
)

// keyring seals with its first key and opens with any, as Python's MultiFernet.
type keyring []fernetKey

type fernetKey struct {
	sign  [16]byte
	block cipher.Block
}

// newKeyring makes keys of texts as channels_redis does: the SHA-256 of a text is a key.
func newKeyring(texts []string) keyring {
	var ring keyring
	for _, text := range texts {
		sum := sha256.Sum256([]byte(text))
		block, err := aes.NewCipher(sum[16:])
		if err != nil {
			panic(err) // 16 bytes are a key
		}
		ring = append(ring, fernetKey{[16]byte(sum[:16]), block})
	}
	return ring
}

// seal encrypts a text.
func (k keyring) seal(text []byte, now time.Time) []byte {
	var vector [fernetVector]byte
	_, _ = rand.Read(vector[:]) // never fails
	return k[0].seal(text, now, vector)
}

func (k fernetKey) seal(text []byte, now time.Time, vector [fernetVector]byte) []byte {
	pad := aes.BlockSize - len(text)%aes.BlockSize
	token := make([]byte, 0, fernetHead+fernetVector+len(text)+pad+sha256.Size)
	token = append(token, fernetVersion)
	token = binary.BigEndian.AppendUint64(token, uint64(now.Unix()))
	token = append(append(token, vector[:]...), text...)
	token = append(token, bytes.Repeat([]byte{byte(pad)}, pad)...)
	body := token[fernetHead+fernetVector:]
	cipher.NewCBCEncrypter(k.block, vector[:]).CryptBlocks(body, body)
	token = append(token, k.mac(token)...)
	return base64.URLEncoding.AppendEncode(nil, token)
}

func (k fernetKey) mac(token []byte) []byte {
	h := hmac.New(sha256.New, k.sign[:])
	h.Write(token)
	return h.Sum(nil)
}

var (
	errNoToken  = errors.New("it is not encrypted")
	errOldToken = errors.New("it was encrypted too long ago, or by a clock that is ahead")
	errNoKey    = errors.New("no key of Options.Keys opens it")
)

// open decrypts a token. One that is older than ttl, or from the future, is refused; a ttl of 0 asks for no time.
func (k keyring) open(sealed []byte, now time.Time, ttl time.Duration) ([]byte, error) {
	token, err := base64.URLEncoding.AppendDecode(nil, sealed)
	if err != nil || len(token) < fernetSmall || token[0] != fernetVersion || (len(token)-fernetSmall)%aes.BlockSize != 0 {
		return nil, errNoToken
	}
	end := len(token) - sha256.Size
	for _, key := range k {
		if !hmac.Equal(key.mac(token[:end]), token[end:]) {
			continue
		}
		if ttl > 0 {
			made := int64(binary.BigEndian.Uint64(token[1:]))
			if s := now.Unix(); made < s-int64(ttl/time.Second) || made > s+int64(fernetAhead/time.Second) {
				return nil, errOldToken
			}
		}
		return key.decrypt(token[fernetHead:end])
	}
	return nil, errNoKey
}

func (k fernetKey) decrypt(body []byte) ([]byte, error) {
	vector, text := body[:fernetVector], body[fernetVector:]
	cipher.NewCBCDecrypter(k.block, vector).CryptBlocks(text, text)
	pad := int(text[len(text)-1])
	if pad == 0 || pad > aes.BlockSize || !bytes.Equal(text[len(text)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errNoToken
	}
	return text[:len(text)-pad], nil
}
