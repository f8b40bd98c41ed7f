package redislayer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
)

// ownRedis is a redis-server of the test's own.
type ownRedis struct {
	port string
	kill func() // at once, without a word; the end of the test does it otherwise
}

// startRedis starts a redis-server on a free port and returns the port.
func startRedis(t *testing.T, args func(port string) []string) (port string) {
	t.Helper()
	return startOwnRedis(t, args).port
}

func startOwnRedis(t *testing.T, args func(port string) []string) *ownRedis {
	t.Helper()
	for try := 1; ; try++ {
		port := freePort(t)
		if r, ok := startRedisAt(t, port, args(port)); ok {
			return r
		}
		if try == 5 {
			t.Fatalf("redis-server does not listen: %v", args(port))
		}
	}
}

// freePort is a port that nobody has. Somebody else may take it before the server does.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	must(t, l.Close())
	return port
}

// startRedisAt starts a redis-server that listens on a port, and says whether it does.
func startRedisAt(t *testing.T, port string, args []string) (*ownRedis, bool) {
	t.Helper()
	path := Require(t, "redis-server", "apt-get install redis-server")
	dir, err := os.MkdirTemp("", "tw") // not TempDir, whose paths are too long for a socket
	must(t, err)
	ready := filepath.Join(dir, "ready") // made after the port is bound, which may be somebody else's by now
	args = append(args, "--unixsocket", ready)
	cmd := exec.Command("sh", append([]string{"-c", `"$@" & read _; kill -9 $!; wait $!`, "sh", path}, args...)...)
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	kill := sync.OnceFunc(func() {
		_ = in.Close()
		_ = cmd.Wait() // it was killed
		_ = os.RemoveAll(dir)
	})
	t.Cleanup(kill)
	return &ownRedis{port, kill}, listens(ready)
}

func listens(socket string) bool {
	for end := time.Now().Add(Patience / 5); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err == nil {
			_ = conn.Close()
			return true
		}
	}
	return false
}

// opens are both layers.
var opens = map[string]func(context.Context, *Options) (*layers.Layer, error){"Core": Core, "PubSub": PubSub}

// works sends and receives by both layers.
func works(t *testing.T, o Options) {
	t.Helper()
	o.Logger = zap.NewNop()
	for name, open := range opens {
		l, err := open(t.Context(), &o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p := &process{TB: t, Layer: l}
		channel := p.channel()
		p.join("room", channel)
		p.groupSend("room", "a")
		p.want(channel, "a")
		must(t, l.Close(t.Context()))
	}
}

func plain(port string) []string {
	return []string{"--port", port, "--bind", "127.0.0.1", "--save", ""}
}

func TestPassword(t *testing.T) {
	port := startRedis(t, func(port string) []string { return append(plain(port), "--requirepass", "secret") })
	works(t, Options{Hosts: []string{"redis://:secret@127.0.0.1:" + port + "/3"}})
	if _, err := Core(t.Context(), &Options{Hosts: []string{"redis://127.0.0.1:" + port}, Logger: zap.NewNop()}); err == nil {
		t.Error("without the password: no error")
	}
}

func TestTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	port := startRedis(t, func(port string) []string {
		return []string{"--port", "0", "--tls-port", port, "--bind", "127.0.0.1", "--save", "",
			"--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no"}
	})
	works(t, Options{Hosts: []string{"rediss://127.0.0.1:" + port}, TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}})
	h, err := parseHost("rediss://127.0.0.1:"+port, nil)
	must(t, err)
	if conn, err := tls.Dial("tcp", h.option.InitAddress[0], h.option.TLSConfig); err == nil {
		_ = conn.Close()
		t.Error("a certificate that nobody knows is trusted")
	}
}

// certificate makes one for 127.0.0.1 that signs itself.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	must(t, os.WriteFile(certFile, text, 0o600))
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return certFile, keyFile, pool
}

// The layer comes back after its Redis has, which has forgotten everything, its scripts too.
func TestRestart(t *testing.T) {
	for name, open := range opens {
		t.Run(name, func(t *testing.T) {
			port := startRedis(t, plain)
			url := "redis://127.0.0.1:" + port
			l, err := open(t.Context(), &Options{Hosts: []string{url}, Logger: zap.NewNop()})
			must(t, err)
			p := &process{TB: t, Layer: l}
			channel := p.channel()
			p.join("room", channel)
			h, err := parseHost(url, nil)
			must(t, err)
			client, err := h.connect(t.Context(), zap.NewNop())
			must(t, err)
			_ = client.Do(t.Context(), client.B().Arbitrary("SHUTDOWN", "NOSAVE").Build()).Error() // it answers by ending
			client.Close()
			eventually(t, func() bool { _, out := p.Outage(); return out }, "L15: the outage is noticed")
			if _, ok := startRedisAt(t, port, plain(port)); !ok {
				t.Fatal("redis-server does not start again")
			}
			eventually(t, func() bool { _, out := p.Outage(); return !out }, "L15: the end of the outage is noticed")
			p.groupSend("room", "a")
			p.want(channel, "a")
			must(t, p.Close(t.Context()))
		})
	}
}
