package auth_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// wait waits for an event, for as long as the bubble takes.
func wait(t *testing.T, ws *asgitest.WebSocket) asgi.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 1000*time.Hour)
	defer cancel()
	event, err := ws.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return event
}

// Case 158: a token and a session that expire close the socket, at their time.
func TestExpiry(t *testing.T) {
	for name, c := range map[string]struct {
		open func(p *process) *asgitest.WebSocket
		want time.Duration
	}{
		"a token": {func(p *process) *asgitest.WebSocket { return p.as("ann-60").Dial("/ws") }, time.Minute},
		"a token among the subprotocols": {func(p *process) *asgitest.WebSocket {
			return p.With(&asgitest.Options{Subprotocols: []string{"bearer", "bearer.ann-60"}}).Dial("/ws")
		}, time.Minute},
		"a token in the first message": {func(p *process) *asgitest.WebSocket {
			ws := p.Dial("/ws/private")
			ws.SendText("ann-60")
			return ws
		}, time.Minute},
		"a session": {func(p *process) *asgitest.WebSocket {
			b := &browser{process: p}
			b.expect("POST", "/login/ann", "ann")
			return b.site().Dial("/ws")
		}, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newManager(), newAccounts(), memlayer.New(nil), func(o *auth.Options[account]) { o.FirstMessage = &auth.FirstMessage{} })
				began := time.Now()
				ws := c.open(p)
				event, took := wait(t, ws), time.Duration(0)
				if took = time.Since(began); event != (asgi.WebSocketClose{Code: 4401, Reason: "credentials expired"}) || took != c.want {
					t.Errorf("A4: after %v the socket gets %v, want the close after %v", took, event, c.want)
				}
				ws.Wait()
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newManager(), newAccounts(), memlayer.New(nil), nil)
		began := time.Now()
		stream := p.as("ann-60").Stream("GET", "/stream")
		stream.ExpectChunk("data: ann\n\n")
		if _, err := stream.Next(context.Background()); err == nil || time.Since(began) != time.Minute {
			t.Errorf("A4: after %v the stream ends with %v", time.Since(began), err)
		}
		_ = stream.Wait()
	})
}

// Case 158: what nobody has told is found by a check: a session deleted from the store, a user who has changed.
func TestRecheck(t *testing.T) {
	for name, end := range map[string]func(p *process, token string){
		"session deleted": func(p *process, token string) { _ = p.scs.Store.Delete(token) },
		"password":        func(p *process, _ string) { p.data.set(account{"ann", "2"}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newManager(), newAccounts(), nil, func(o *auth.Options[account]) { o.Recheck = time.Minute })
				b := &browser{process: p}
				b.expect("POST", "/login/ann", "ann")
				ws := b.site().Dial("/ws")
				<-time.After(10 * time.Minute)
				asks(ws, "ann")
				end(p, b.cookie.Value)
				at := time.Now()
				if event := wait(t, ws); event != (asgi.WebSocketClose{Code: 4401, Reason: "credentials ended"}) || time.Since(at) > time.Minute {
					t.Errorf("A6: after %v the socket gets %v", time.Since(at), event)
				}
				ws.Wait()
			})
		})
	}
}

// A check brings the user up to date, and a store that fails ends nobody before the credentials' own end.
func TestRecheckFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var users *auth.Authenticator[account]
		p := start(t, newManager(), newAccounts(), nil, func(o *auth.Options[account]) { o.Recheck = time.Minute })
		users = p.users
		var scope *asgi.Scope
		p.gate = func(s *asgi.Scope) { scope = s }
		ws := p.as("ann").Dial("/ws")
		p.data.set(account{"ann", "2"})
		<-time.After(2 * time.Minute)
		if u, _ := users.User(scope); u.Hash != "2" {
			t.Errorf("after a check the user is %v, want the new one", u)
		}
		p.data.fail(errDatabase)
		<-time.After(10 * time.Minute)
		asks(ws, "ann")
		ws.Disconnect()

		p.data.fail(nil)
		began := time.Now()
		ws = p.as("ann-9000").Dial("/ws")
		p.data.fail(errDatabase)
		if event := wait(t, ws); event != (asgi.WebSocketClose{Code: 4401, Reason: "credentials expired"}) {
			t.Errorf("A4: while the store fails the socket gets %v after %v", event, time.Since(began))
		}
		ws.Wait()
	})
}

// What is revoked during an outage of the layer is found when that is back.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, data, bus := newManager(), newAccounts(), memlayer.NewBus(nil)
		away := bus.Layer()
		one, two := start(t, m, data, bus.Layer(), nil), start(t, m, data, away, func(o *auth.Options[account]) { o.Recheck = -1 })
		b, stays := &browser{process: one}, &browser{process: one}
		b.expect("POST", "/login/ann", "ann")
		stays.expect("POST", "/login/ann", "ann")
		ws := (&browser{two, b.cookie}).site().Dial("/ws")
		other := (&browser{two, stays.cookie}).site().Dial("/ws")
		bus.Cut(away, errDatabase)
		b.expect("POST", "/logout", "nobody")
		<-time.After(time.Hour)
		asks(ws, "ann") // nobody could know
		bus.Mend(away)
		at := time.Now()
		if event := wait(t, ws); event != (asgi.WebSocketClose{Code: 4401, Reason: "credentials ended"}) || time.Since(at) > 10*time.Second {
			t.Errorf("A6: %v after the outage the socket gets %v", time.Since(at), event)
		}
		ws.Wait()
		<-time.After(time.Minute)
		asks(other, "ann")
		other.Disconnect()
	})
}

// A process that could not hear of revocations at first does so after the outage.
func TestJoinDuringOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		away := bus.Layer()
		p := start(t, newManager(), newAccounts(), away, func(o *auth.Options[account]) { o.Recheck = time.Minute })
		bus.Cut(away, errDatabase)
		ws := p.as("ann").Dial("/ws")
		bus.Mend(away)
		<-time.After(2 * time.Minute)
		if err := auth.Revoke(t.Context(), bus.Layer(), auth.Revocation{User: "ann"}); err != nil {
			t.Fatal(err)
		}
		ws.ExpectClose(4401, "logged out")
		ws.Wait()
	})
}

// A check that runs when its connection ends is waited for.
func TestCheckEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := newAccounts()
		p := start(t, newManager(), data, nil, func(o *auth.Options[account]) { o.Recheck = time.Minute })
		ws := p.as("ann").Dial("/ws")
		running, over := make(chan bool), false
		data.gate(func() {
			close(running)
			<-time.After(time.Second)
			over = true
		})
		<-running
		ws.Disconnect()
		if !over {
			t.Error("A7: the connection has ended and its check goes on")
		}
	})
}

// A function of the site's that panics in a check is a line in the log and a check that failed, and the lines are few.
func TestCheckPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.WarnLevel)
		p := start(t, newManager(), newAccounts(), nil, func(o *auth.Options[account]) { o.Recheck = time.Minute })
		p.Site = p.With(&asgitest.Options{Logger: zap.New(core)})
		sockets := []*asgitest.WebSocket{p.as("ann").Dial("/ws"), p.as("bob").Dial("/ws"), p.as("ann").Dial("/ws")}
		p.data.gate(func() { panic("no rows") })
		<-time.After(time.Minute)
		if lines := logged.All(); len(lines) != 1 || lines[0].ContextMap()["stack"] == nil {
			t.Errorf("the log has %v, want one line with a stack", lines)
		}
		p.data.fail(errDatabase)
		<-time.After(10 * time.Minute)
		if n := logged.Len(); n > 30 {
			t.Errorf("the log has %d lines of an outage of 10 minutes", n)
		}
		p.data.fail(nil)
		for i, ws := range sockets {
			asks(ws, []string{"ann", "bob", "ann"}[i])
			ws.Disconnect()
		}
	})
}

// A check that finds somebody else, or another login of the same user, ends the connection: it was another's.
func TestCheckFindsAnother(t *testing.T) {
	first := auth.Identity[account]{User: account{Name: "ann"}, Session: "1"}
	for name, c := range map[string]struct {
		later auth.Identity[account]
		stays bool
	}{
		"the same":      {first, true},
		"another user":  {auth.Identity[account]{User: account{Name: "bob"}, Session: "1"}, false},
		"another login": {auth.Identity[account]{User: account{Name: "ann"}, Session: "2"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now atomic.Pointer[auth.Identity[account]]
				now.Store(&first)
				users := tokens(func(o *auth.Options[account]) {
					o.Recheck = time.Minute
					o.Find = func(context.Context, *asgi.Scope) (auth.Identity[account], bool, error) {
						return *now.Load(), true, nil
					}
				})
				ws := asgitest.New(t, users.Require(consumers.AsyncWebsocketConsumer[struct{}]{}.App())).Dial("/")
				now.Store(&c.later)
				<-time.After(2 * time.Minute)
				if c.stays {
					ws.ExpectNothing()
					ws.Disconnect()
					return
				}
				if event := wait(t, ws); event != (asgi.WebSocketClose{Code: 4401, Reason: "credentials ended"}) {
					t.Errorf("A6: the socket gets %v", event)
				}
				ws.Wait()
			})
		})
	}
}
