package server_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// With DrainDelay a server that is told to end says first that it is not ready, and serves everybody until the delay is over.
func TestDrainDelay(t *testing.T) {
	for name, end := range map[string]func(s *site) error{
		"ctx":      func(s *site) error { return s.stop() },
		"Shutdown": func(s *site) error { return errors.Join(s.srv.Shutdown(context.Background()), s.served()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.serve(t, echoing(nil), server.Options{DrainDelay: 7 * time.Second})
				old := s.open()
				if !s.srv.Ready() || s.srv.Draining() {
					t.Errorf("at first: ready %v, draining %v", s.srv.Ready(), s.srv.Draining())
				}
				start, ended := time.Now(), make(chan error, 1)
				go func() { ended <- end(s) }()
				<-time.After(6 * time.Second)
				if s.srv.Ready() || !s.srv.Draining() {
					t.Errorf("during the delay: ready %v, draining %v", s.srv.Ready(), s.srv.Draining())
				}
				late := s.open()
				for _, p := range []*peer{old, late} {
					p.send(fin|text, "still there")
					if err := p.expect(fin|text, "still there"); err != nil {
						t.Error(err)
					}
					go closeLikeABrowser(p)
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if err := takes(start, 7*time.Second); err != nil {
					t.Error(err)
				}
				if _, err := s.dial(); err == nil {
					t.Error("after the delay the listener still accepts")
				}
			})
		})
	}
}

// A second Shutdown ends the delay too.
func TestDrainDelayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.serve(t, echoing(nil), server.Options{DrainDelay: time.Hour})
		s.open()
		start, ended := time.Now(), make(chan error, 1)
		go func() { ended <- s.srv.Shutdown(context.Background()) }()
		synctest.Wait()
		s.srv.Shutdown(context.Background())
		if err := errors.Join(<-ended, s.served()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A server is ready when its application has started and it listens; one that is mounted is, until its shutdown.
func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := variant{}.serve(t, living(func(*asgi.Scope) asgi.Event {
			<-release
			return asgi.LifespanStartupComplete{}
		}, cleanUp, echoing(nil)), server.Options{})
		synctest.Wait()
		if s.srv.Ready() {
			t.Error("ready before the application has started")
		}
		close(release)
		synctest.Wait()
		if !s.srv.Ready() {
			t.Error("not ready when it listens")
		}
		s.stop()
		if s.srv.Ready() {
			t.Error("ready after the end")
		}
		mounted := variant{}.mountPipes(t, echoing(nil), server.Options{})
		if !mounted.srv.Ready() {
			t.Error("a mounted server is not ready")
		}
		mounted.stop()
		if mounted.srv.Ready() {
			t.Error("a mounted server is ready after its shutdown")
		}
	})
}

// ShutdownCode is what peers and applications hear.
func TestShutdownCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan asgi.WebSocketDisconnect, 1)
		s := variant{}.mountPipes(t, echoing(ends), server.Options{ShutdownCode: 1012})
		p := s.open()
		code := make(chan int, 1)
		go func() {
			got, _ := p.end()
			code <- got
			p.send(fin|closing, closePayload(got, ""))
		}()
		s.stop()
		if got, end := <-code, <-ends; got != 1012 || end.Code != 1012 || end.By != asgi.ByServer {
			t.Errorf("the peer heard %d and the application %+v, want 1012", got, end)
		}
	})
}

// Processes that end together do not close their connections in step.
func TestShutdownJitter(t *testing.T) {
	moments := map[time.Duration]bool{}
	for range 10 {
		synctest.Test(t, func(t *testing.T) {
			s := variant{}.mountPipes(t, echoing(nil), server.Options{ShutdownWindow: time.Second})
			p, start := s.open(), time.Now()
			synctest.Wait() // for the server's side of the handshake
			go s.stop()
			p.end()
			took := time.Since(start)
			if took >= time.Second {
				t.Errorf("closed after %v, want within the window", took)
			}
			moments[took] = true
			p.Close()
		})
	}
	if len(moments) < 5 {
		t.Errorf("ten servers closed at %d moments: %v", len(moments), moments)
	}
}

// Without a signal RunUntilSignal is Run.
func TestRunUntilSignalEndsWithCtx(t *testing.T) {
	s := variant{}.newSite(t, nil, echoing(nil), server.Options{Addr: "127.0.0.1:0"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.srv.RunUntilSignal(ctx) }()
	await(t, func() bool { return s.logs.FilterMessage("serving").Len() > 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// await waits for a condition of the outer world.
func await(t *testing.T, f func() bool) {
	t.Helper()
	for !f() {
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended")
		case <-time.After(time.Millisecond):
		}
	}
}

// Where another http.Server listens, DrainDelay is not waited for: it is for Run and Serve.
func TestDrainDelayMounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.mountPipes(t, echoing(nil), server.Options{DrainDelay: time.Hour})
		p := s.open()
		go closeLikeABrowser(p)
		start := time.Now()
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}
