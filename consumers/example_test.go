package consumers_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/routing"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// serve stands for the end of main in the examples: server.New(app, nil).Run(ctx).
func serve(asgi.App) {}

// The tests of the examples: each is also an example of a test. It needs no socket, no port and no sleep; asgitest plays
// the server and the clients.

func TestOnlyTheRoomHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, routing.URLs(routing.Path("/ws/chat/{room}/", Chat))) // brings a layer of its own
		ann, bob, eve := site.Dial("/ws/chat/lobby/"), site.Dial("/ws/chat/lobby/"), site.Dial("/ws/chat/attic/")
		ann.SendJSON(said{Text: "hello"})
		ann.ExpectJSON(said{User: "anonymous", Text: "hello"})
		bob.ExpectJSON(said{User: "anonymous", Text: "hello"})
		eve.ExpectNothing()
		ann.Disconnect()
		bob.Disconnect()
		eve.Disconnect()
	})
}

func TestRoomsThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, routing.URLs(routing.Path("/ws/chat/{room}/", Chat)))
		for _, room := range []string{"a%20b", "%C3%A9", strings.Repeat("a", 95)} {
			if r := site.Refused("/ws/chat/" + room + "/"); r.Status != http.StatusNotFound {
				t.Errorf("room %q gave %v, want 404", room, r)
			}
		}
		site.Dial("/ws/chat/" + strings.Repeat("a", 94) + "/").Disconnect()
	})
}

func TestTally(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, consumers.AsyncWebsocketConsumer[tally]{Text: consumers.JSON((*tally).receive)}.App())
		ws := site.Dial("/")
		for _, total := range []int{3, 6} {
			ws.SendJSON(command{Add: 3})
			ws.ExpectJSON(map[string]int{"total": total})
		}
		ws.SendJSON(command{Add: -1})
		ws.ExpectClose(4000, "negative")
	})
}

func TestPrices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, prices)
		ws := site.Dial("/")
		if err := site.Layer().GroupSend(t.Context(), "prices", priceChanged.With(price{"TIDE", 1})); err != nil {
			t.Fatal(err)
		}
		ws.ExpectBinary([]byte("\x3f\xf0\x00\x00\x00\x00\x00\x00TIDE"))
		ws.Disconnect()
	})
}

// rich is a database in which everybody has a million.
type rich struct{}

func (rich) Balance(string) (int, error) { return 1_000_000, nil }

func TestAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, accounts(rich{}))
		if r := site.Refused("/"); r.Status != http.StatusUnauthorized {
			t.Errorf("a stranger got %v", r)
		}
		ws := site.With(&asgitest.Options{Header: http.Header{"X-Account": {"ann"}}}).Dial("/")
		if err := site.Layer().GroupSend(t.Context(), "account.ann", transferred.With(transfer{"ann"})); err != nil {
			t.Fatal(err)
		}
		ws.ExpectJSON(map[string]int{"balance": 1_000_000})
		ws.Disconnect()
	})
}

func TestLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, consumers.AsyncHTTPConsumer[poll]{
			Handle:   (*poll).handle,
			Messages: []consumers.Handler[poll]{consumers.On(jobFinished, (*poll).finished)},
		}.App())
		waiting := site.Stream("POST", "/", "42")
		synctest.Wait() // until it waits
		if err := site.Layer().GroupSend(t.Context(), "job.42", jobFinished.With(jobDone{"fine"})); err != nil {
			t.Fatal(err)
		}
		if r := waiting.Response(); string(r.Body) != "fine" {
			t.Errorf("got %q", r.Body)
		}
	})
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := asgitest.New(t, consumers.AsyncHTTPConsumer[clock]{Handle: (*clock).handle}.App()).Stream("GET", "/")
		stream.Start()
		for range 3 {
			stream.ExpectChunk(time.Now().Format(time.TimeOnly) + "\n")
			<-time.After(time.Second)
		}
		stream.Abandon()
		if err := stream.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestThumbnails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, Album)
		site.Work(consumers.Worker{
			App:      routing.Channels(map[string]asgi.App{"thumbnails": Thumbnails}),
			Channels: []string{"thumbnails"},
		})
		ws := site.Dial("/")
		ws.SendText("cat.jpg")
		ws.ExpectJSON(progress{"cat.jpg", 50})
		ws.ExpectJSON(progress{"cat.jpg", 100})
		ws.Disconnect()
	})
}

func TestTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{rows: map[string]string{}}
		site := asgitest.New(t, inboxes(d))
		ws := site.With(&asgitest.Options{Header: http.Header{"X-User": {"ann"}}}).Dial("/")
		synctest.Wait()
		if reached, err := tell(t.Context(), site.Layer(), d, "ann", "hello"); !reached || err != nil {
			t.Errorf("telling Ann gave %t, %v", reached, err)
		}
		ws.ExpectJSON(notice{"hello"})
		channel, _ := d.get("ann")
		ws.Disconnect()
		if _, ok := d.get("ann"); ok {
			t.Error("Disconnect has left the row")
		}

		d.put("ann", channel) // as if the process had died
		if reached, err := tell(t.Context(), site.Layer(), d, "ann", "hello?"); reached || err != nil {
			t.Errorf("telling nobody gave %t, %v", reached, err)
		}
		if _, ok := d.get("ann"); ok {
			t.Error("the zombie's row is still there")
		}
	})
}

func TestPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, FrontPage)
		layers.Register(layers.Default, site.Layer())
		defer layers.Register(layers.Default, nil)
		ws := site.Dial("/")
		r := httptest.NewRequest("POST", "/publish", strings.NewReader("title=High+tide"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		publish(httptest.NewRecorder(), r)
		ws.ExpectJSON(headline{"High tide"})
		ws.Disconnect()
	})
}

func TestBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layers.Register("fleeting", memlayer.New(nil))
		defer layers.Register("fleeting", nil)
		w := connect(t, Board, asgi.NewScope(asgi.Fields{Type: asgi.WebSocket})) // a scope that names no layer
		w.in <- asgi.WebSocketConnect{}
		<-w.out
		synctest.Wait()
		if err := layers.Get("fleeting").GroupSend(context.Background(), "board", cursorMoved.With(cursor{1, 2})); err != nil {
			t.Fatal(err)
		}
		if ev := (<-w.out).(asgi.WebSocketSend); string(ev.Frame.Data) != `{"x":1,"y":2}` {
			t.Errorf("got %s", ev.Frame.Data)
		}
		w.in <- asgi.WebSocketDisconnect{Code: 1000}
		if err := <-w.end; err != nil {
			t.Error(err)
		}
	})
}
