package server_test

import (
	"bytes"
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
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi/server"
)

// A keyPair is a certificate and its key in PEM.
type keyPair struct{ cert, key []byte }

// issue makes a certificate that is its own root, for example.org, with a name that tells it from others.
func issue(t testing.TB, name string) keyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, from, from, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
}

// certFiles are a certificate's files.
type certFiles struct{ cert, key string }

func newCertFiles(t testing.TB, p keyPair) certFiles {
	dir := t.TempDir()
	f := certFiles{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	f.write(t, f.cert, p.cert)
	f.write(t, f.key, p.key)
	return f
}

// write replaces a file. Its time is the bubble's, so that each write is seen as a change.
func (f certFiles) write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// shake makes a TLS handshake over c and says whose certificate it was.
func shake(c net.Conn, config *tls.Config) (*tls.Conn, string, error) {
	config = config.Clone()
	config.ServerName, config.InsecureSkipVerify = "example.org", true // the name of the certificate is what counts
	tc := tls.Client(c, config)
	if err := tc.Handshake(); err != nil {
		return nil, "", err
	}
	return tc, tc.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

// dialTLS connects, for HTTP/1.1.
func dialTLS(s *site) (net.Conn, error) {
	c, err := s.dial()
	if err != nil {
		return nil, err
	}
	tlsConn, _, err := shake(c, &tls.Config{NextProtos: []string{"http/1.1"}})
	if err != nil {
		c.Close()
		return nil, err
	}
	return tlsConn, nil
}

// A certificate that is replaced is used without a restart. One that cannot be used leaves the one before, with one line.
func TestCertificateReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := issue(t, "first"), issue(t, "second")
		files := newCertFiles(t, first)
		s := variant{}.serve(t, pages, server.Options{CertFile: files.cert, KeyFile: files.key})
		expect := func(want, when string) {
			t.Helper()
			<-time.After(2 * time.Second) // files are looked at once a second
			c, err := s.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, got, err := shake(c, &tls.Config{}); got != want || err != nil {
				t.Errorf("%s the certificate is %q, %v, want %q", when, got, err, want)
			}
		}
		expect("first", "at the start")
		files.write(t, files.cert, second.cert)
		expect("first", "while the new one's key is missing")
		expect("first", "while the new one's key is still missing")
		if lines := s.logs.FilterMessageSnippet("cannot be used").Len(); lines != 1 {
			t.Errorf("%d lines about a certificate without its key, want 1", lines)
		}
		files.write(t, files.key, second.key)
		expect("second", "when the key has come")
		os.Remove(files.cert)
		os.Remove(files.key)
		expect("second", "when the files have gone")
		files.write(t, files.key, first.key)
		files.write(t, files.cert, first.cert)
		expect("first", "when they are back")
	})
}

// The files of a certificate are looked at once a second, however many handshakes there are.
func TestCertificateLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files, second := newCertFiles(t, issue(t, "first")), issue(t, "second")
		s := variant{}.serve(t, pages, server.Options{CertFile: files.cert, KeyFile: files.key})
		for _, tc := range []struct {
			wait time.Duration
			want string
		}{{2 * time.Second, "first"}, {0, "first"}, {999 * time.Millisecond, "first"}, {time.Millisecond, "second"}} {
			<-time.After(tc.wait)
			c, err := s.dial()
			if err != nil {
				t.Fatal(err)
			}
			if _, got, err := shake(c, &tls.Config{}); got != tc.want || err != nil {
				t.Errorf("after %v more the certificate is %q, %v, want %q", tc.wait, got, err, tc.want)
			}
			c.Close()
			if tc.wait == 2*time.Second { // just looked
				files.write(t, files.cert, second.cert)
				files.write(t, files.key, second.key)
			}
		}
	})
}

// Many handshakes look at the files together while they change.
func TestCertificateReloadAtOnce(t *testing.T) {
	files := newCertFiles(t, issue(t, "first"))
	s := variant{}.serveTCP(t, pages, server.Options{CertFile: files.cert, KeyFile: files.key})
	if err := ask(func() (net.Conn, error) { return dialTLS(s) }); err != nil { // it has started then
		t.Fatal(err)
	}
	ended := make(chan error, 20)
	for i := range cap(ended) {
		if i == cap(ended)/2 {
			files.write(t, files.cert, []byte("garbage"))
		}
		go func() {
			c, err := dialTLS(s)
			if err == nil {
				c.Close()
			}
			ended <- err
		}()
	}
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// Versions before TLS 1.2 are refused, unless Options.TLS says otherwise; HTTP/2 is offered, and HTTP/1.1.
func TestTLSDefaults(t *testing.T) {
	files := newCertFiles(t, issue(t, "the only one"))
	for _, tc := range []struct {
		options server.Options
		client  *tls.Config
		want    string // protocol, or error
	}{
		{server.Options{}, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, "protocol version not supported"},
		{server.Options{TLS: &tls.Config{MinVersion: tls.VersionTLS13}}, &tls.Config{MaxVersion: tls.VersionTLS12}, "protocol version not supported"},
		{server.Options{TLS: &tls.Config{MinVersion: tls.VersionTLS10}}, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, ""},
		{server.Options{}, &tls.Config{}, ""},
		{server.Options{}, &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, "h2"},
		{server.Options{}, &tls.Config{NextProtos: []string{"http/1.1"}}, "http/1.1"},
		{server.Options{TLS: &tls.Config{NextProtos: []string{"acme-tls/1"}}}, &tls.Config{NextProtos: []string{"h2"}}, "h2"},
		{server.Options{TLS: &tls.Config{NextProtos: []string{"acme-tls/1"}}}, &tls.Config{NextProtos: []string{"acme-tls/1"}}, "acme-tls/1"},
	} {
		tc.options.CertFile, tc.options.KeyFile = files.cert, files.key
		s := variant{}.serveTCP(t, pages, tc.options)
		c, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		tlsConn, _, err := shake(c, tc.client)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = tlsConn.ConnectionState().NegotiatedProtocol
		}
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("client %v to %+v: got %q, want %q", tc.client.NextProtos, tc.options.TLS, got, tc.want)
		}
		c.Close()
		s.stop()
	}
}

// A WebSocket works over the server's own TLS; a listener may do without it.
func TestTLSListeners(t *testing.T) {
	files := newCertFiles(t, issue(t, "mine"))
	s, addrs := run(t, echoing(nil), server.Options{CertFile: files.cert, KeyFile: files.key,
		Listeners: []server.Listener{{Addr: "127.0.0.1:0"}, {Addr: "127.0.0.1:0", Plain: true}}})
	s.dial = dialer("tcp", addrs[1])
	plain := s.open()
	plain.send(fin|text, "plain")
	if err := plain.expect(fin|text, "plain"); err != nil {
		t.Error(err)
	}
	s.dial = func() (net.Conn, error) {
		c, err := net.Dial("tcp", addrs[0])
		if err != nil {
			return nil, err
		}
		tlsConn, _, err := shake(c, &tls.Config{NextProtos: []string{"http/1.1"}})
		return tlsConn, err
	}
	p := s.open()
	long := strings.Repeat("x", 100_000)
	p.send(fin|bin, long)
	if err := p.expect(fin|bin, long); err != nil {
		t.Error(err)
	}
	plain.Close()
	p.Close()
}

// A certificate that cannot be read fails the start.
func TestCertificateMissing(t *testing.T) {
	dir := t.TempDir()
	s := variant{}.newSite(t, nil, pages, server.Options{Addr: "127.0.0.1:0", CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")})
	if err := s.srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "asgi/server: run: certificate: open "+dir) {
		t.Errorf("Run returned %v", err)
	}
}

// Files in the wrong fields are told by name.
func TestCertificateSwapped(t *testing.T) {
	files := newCertFiles(t, issue(t, "one"))
	s := variant{}.newSite(t, nil, pages, server.Options{Addr: "127.0.0.1:0", CertFile: files.key, KeyFile: files.cert})
	if err := s.srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "asgi/server: run: certificate: CertFile and KeyFile are swapped: "+strconv.Quote(files.key)+" is the key") {
		t.Errorf("got %v", err)
	}
}

// Two sources of certificates, and none, are mistakes that New finds.
func TestNewPanicsAtCertificates(t *testing.T) {
	own := &tls.Config{Certificates: []tls.Certificate{{}}}
	mustPanic(t, "Options.TLS has no certificate: set CertFile", func() { server.New(pages, &server.Options{TLS: &tls.Config{}}) })
	mustPanic(t, "CertFile and TLS both have a certificate", func() { server.New(pages, &server.Options{TLS: own, CertFile: "a", KeyFile: "b"}) })
}

// What speaks no TLS gets no answer but a hint, and one line.
func TestPlainHTTPToTLS(t *testing.T) {
	files := newCertFiles(t, issue(t, "mine"))
	s := variant{}.serveTCP(t, pages, server.Options{CertFile: files.cert, KeyFile: files.key})
	p := s.peer()
	resp, err := p.request("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
	if err != nil || resp.StatusCode != 400 {
		t.Fatal(resp, err)
	}
	var b bytes.Buffer
	b.ReadFrom(resp.Body)
	if !strings.Contains(b.String(), "HTTP request to an HTTPS server") {
		t.Errorf("the answer is %q", b.String())
	}
	s.stop()
	if lines := s.warnings(); len(lines) != 1 || !strings.Contains(lines[0], "TLS handshake error") {
		t.Errorf("lines %q", lines)
	}
}
