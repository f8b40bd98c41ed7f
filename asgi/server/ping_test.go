package server_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// Case 200: an idle connection is pinged every interval as long as it answers; promise S2 has the one that does not.
func TestPingEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.mountPipes(t, echoing(nil), server.Options{})
		p, start := s.open(), time.Now()
		for i := range 5 {
			if err := p.expect(fin|ping, ""); err != nil {
				t.Fatal(err)
			}
			if err := takes(start, time.Duration(i+1)*20*time.Second); err != nil {
				t.Errorf("case 200: ping %d: %v", i+1, err)
			}
			p.send(fin|pong, "")
		}
		p.Close()
	})
}

// Any byte is a sign of life: while messages come there are no pings, and a message counts as the answer to one.
func TestAnyByteIsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.mountPipes(t, echoing(nil), server.Options{})
		p := s.open()
		for range 10 {
			<-time.After(15 * time.Second)
			p.send(fin|text, "busy")
			if err := p.expect(fin|text, "busy"); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.expect(fin|ping, ""); err != nil {
			t.Fatal(err)
		}
		<-time.After(29 * time.Second)
		p.send(fin|text, "no pong, but alive")
		if err := p.expect(fin|text, "no pong, but alive"); err != nil {
			t.Fatal(err)
		}
		p.Close()
	})
}

// While nobody reads, the clock stands still: an application that is busy for minutes does not lose its client.
func TestBusyApplicationKeepsItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.mountPipes(t, socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			select {
			case <-time.After(5 * time.Minute):
			case <-ctx.Done():
				t.Errorf("ctx ended: %v", context.Cause(ctx))
			}
			if _, err := receive(ctx); err != nil {
				return err
			}
			return send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame("sorry")})
		}), server.Options{})
		p := s.open()
		go p.send(fin|text, "hello")
		for {
			first, payload, err := p.receive()
			if err != nil {
				t.Fatal(err)
			}
			if first == fin|text && payload == "sorry" {
				break
			}
		}
		p.Close()
	})
}

// With MaxAge a connection that is older is closed, busy or not, and not all that came together at once.
func TestMaxAge(t *testing.T) {
	moments := map[time.Duration]bool{}
	for i := range 10 {
		synctest.Test(t, func(t *testing.T) {
			ends := make(chan asgi.WebSocketDisconnect, 1)
			s := variant{}.mountPipes(t, echoing(ends), server.Options{MaxAge: time.Hour, ShutdownCode: 1012, PingInterval: time.Second})
			p, start := s.open(), time.Now()
			p.SetDeadline(time.Now().Add(2 * time.Hour))
			var busy sync.WaitGroup
			busy.Go(func() {
				for i%2 == 0 && p.send(fin|text, "busy") == nil {
					<-time.After(300 * time.Millisecond)
				}
			})
			for {
				first, payload, err := p.receive()
				if err != nil {
					t.Fatal(err)
				}
				if first == fin|ping {
					go p.send(fin|pong, "")
				}
				if first == fin|closing {
					if payload != closePayload(1012, "the connection is old") {
						t.Errorf("closed with %q", payload)
					}
					break
				}
			}
			took := time.Since(start)
			if took < time.Hour || took > 66*time.Minute+2*time.Second {
				t.Errorf("closed after %v, want 60 to 66 min", took)
			}
			moments[took] = true
			p.Close()
			busy.Wait()
			if e := <-ends; e.Code != 1012 || e.By != asgi.ByServer {
				t.Errorf("the application heard %+v", e)
			}
		})
	}
	if len(moments) < 5 {
		t.Errorf("ten connections of an hour were closed at %d moments: %v", len(moments), moments)
	}
	mustPanic(t, "MaxAge without PingInterval", func() { server.New(pages, &server.Options{MaxAge: time.Hour, PingInterval: -1}) })
}
