package auth_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// Sockets are opened in two processes while their users log out: whenever the last logout is over, no socket of those
// logins is open, though nothing but the revocations can have closed it.
func TestNoneSlipsThrough(t *testing.T) {
	for round := range 20 {
		synctest.Test(t, func(t *testing.T) {
			m, data, bus := newManager(), newAccounts(), memlayer.NewBus(nil)
			sites := []*process{start(t, m, data, bus.Layer(), nil), start(t, m, data, bus.Layer(), nil)}
			var work sync.WaitGroup
			var mu sync.Mutex
			var open []*asgitest.WebSocket
			for i := range 20 {
				b := &browser{process: sites[i%2]}
				b.expect("POST", "/login/ann", "ann")
				for j := range 3 {
					other := sites[(i+j)%2].With(&asgitest.Options{Cookies: []*http.Cookie{b.cookie}})
					work.Go(func() {
						<-time.After(time.Duration(rand.N(3)))
						ws := other.Open("/ws/private")
						mu.Lock()
						defer mu.Unlock()
						open = append(open, ws)
					})
				}
				work.Go(func() {
					<-time.After(time.Duration(rand.N(3)))
					b.expect("POST", "/logout", "nobody")
				})
			}
			work.Wait()
			synctest.Wait()
			for _, ws := range open {
				if got := ending(t, ws); got != "401" && got != "4401" && got != "303" {
					t.Errorf("A5: round %d: a socket of a login that is over ends with %s", round, got)
				}
			}
		})
	}
}

// ending is how a socket was refused or closed.
func ending(t *testing.T, ws *asgitest.WebSocket) string {
	t.Helper()
	for {
		event, err := ws.Next(timeout(t))
		if err != nil {
			return fmt.Sprint("nothing: ", err)
		}
		switch e := event.(type) {
		case asgi.WebSocketHTTPResponseStart:
			return fmt.Sprint(e.Status)
		case asgi.WebSocketClose:
			return fmt.Sprint(e.Code)
		}
	}
}

var errStillOpen = errors.New("it is still open")

// timeout is a ctx that ends at once in a bubble, before any clock of the site.
func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, errStillOpen)
	t.Cleanup(cancel)
	return ctx
}
