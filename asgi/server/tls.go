package server

import (
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// usesTLS reports whether this server ends TLS.
func (o *Options) usesTLS() bool { return o.TLS != nil || o.CertFile != "" }

// checkTLS panics where a handshake could never succeed, or where two sources of certificates contradict each other.
func (o *Options) checkTLS() {
	problem := ""
	switch {
	case (o.CertFile == "") != (o.KeyFile == ""):
		problem = "CertFile and KeyFile belong together: set both"
	case o.TLS == nil:
	case o.CertFile != "" && hasCertificate(o.TLS):
		problem = "CertFile and TLS both have a certificate: leave CertFile and KeyFile out, or Certificates and GetCertificate"
	case o.CertFile == "" && !hasCertificate(o.TLS):
		problem = "TLS has no certificate: set CertFile and KeyFile, TLS.Certificates or TLS.GetCertificate"
	}
	if problem != "" {
		panic("asgi/server: New: Options." + problem)
	}
}

func hasCertificate(c *tls.Config) bool {
	return len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil
}

// tlsConfig is what listeners with TLS use, or nil. It reads the certificate for the first time.
func (s *Server) tlsConfig() (*tls.Config, error) {
	if !s.opts.usesTLS() {
		return nil, nil
	}
	config := s.opts.TLS.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS12
	}
	for _, proto := range []string{"h2", "http/1.1"} {
		if !slices.Contains(config.NextProtos, proto) {
			config.NextProtos = append(slices.Clip(config.NextProtos), proto)
		}
	}
	if s.opts.CertFile == "" {
		return config, nil
	}
	c := &certificate{certFile: s.opts.CertFile, keyFile: s.opts.KeyFile, log: s.log}
	if err := c.load(c.stamp()); err != nil {
		return nil, fmt.Errorf("asgi/server: run: certificate: %w", err)
	}
	config.GetCertificate = c.get
	return config, nil
}

// A certificate is one of two files that somebody may replace at any time. Handshakes look at the files, at most once a
// second. What cannot be used, such as a new certificate whose key is still to come, leaves the one before in use.
type certificate struct {
	certFile, keyFile string
	log               *zap.Logger
	current           atomic.Pointer[tls.Certificate]

	mu   sync.Mutex
	next time.Time // of a look
	seen stamp     // the files that were read last, whether they could be used or not
}

// lookInterval is how often a certificate's files are looked at.
const lookInterval = time.Second

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.look()
	return c.current.Load(), nil
}

// look reads the files again if they have changed, unless another handshake is about it.
func (c *certificate) look() {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	now := time.Now()
	if now.Before(c.next) {
		return
	}
	c.next = now.Add(lookInterval)
	fresh := c.stamp()
	if fresh == c.seen {
		return
	}
	if err := c.load(fresh); err != nil {
		c.log.Error("tls: the new certificate cannot be used, the one before stays", zap.Error(err))
		return
	}
	c.log.Info("tls: new certificate", zap.String("file", c.certFile), zap.Time("expires", c.current.Load().Leaf.NotAfter))
}

// load reads the files, which looked like s just before.
func (c *certificate) load(s stamp) error {
	c.seen = s
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		if _, other := tls.LoadX509KeyPair(c.keyFile, c.certFile); other == nil {
			return fmt.Errorf("CertFile and KeyFile are swapped: %q is the key, %q the certificate", c.certFile, c.keyFile)
		}
		return err
	}
	c.current.Store(&pair)
	return nil
}

// A stamp tells whether files have changed.
type stamp [2]struct {
	size int64
	at   int64 // nanoseconds, so that stamps can be compared
}

func (c *certificate) stamp() (s stamp) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			s[i].size, s[i].at = info.Size(), info.ModTime().UnixNano()
		}
	}
	return s
}
