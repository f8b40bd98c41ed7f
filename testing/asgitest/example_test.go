package asgitest_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
	"github.com/tideway-go/tideway/testing/asgitest"
)

type said struct {
	User string `json:"user"`
	Text string `json:"message"`
}

const chatMessage layers.Type[said] = "chat.message"

type chat struct{ room string }

var Chat = consumers.AsyncWebsocketConsumer[chat]{
	Connect: (*chat).connect,
	Text:    consumers.JSON((*chat).receive),
	Forward: consumers.Types(chatMessage),
}.App()

func (s *chat) connect(ctx context.Context, c *consumers.Conn) error {
	s.room = "chat." + routing.Param(c.Scope(), "room")
	return c.GroupAdd(ctx, s.room)
}

func (s *chat) receive(ctx context.Context, c *consumers.Conn, in said) error {
	return c.GroupSend(ctx, s.room, chatMessage.With(said{User: "anonymous", Text: in.Text}))
}

// chatURLs is the app under test.
var chatURLs = routing.URLs(routing.Path("/ws/chat/{room}/", Chat))

func TestOnlyTheRoomHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, chatURLs) // brings a memlayer of its own
		ann, bob := site.Dial("/ws/chat/lobby/"), site.Dial("/ws/chat/lobby/")
		eve := site.Dial("/ws/chat/attic/")
		ann.SendJSON(said{Text: "hello"})
		ann.ExpectJSON(said{User: "anonymous", Text: "hello"})
		bob.ExpectJSON(said{User: "anonymous", Text: "hello"})
		eve.ExpectNothing()
		bob.Disconnect()
		ann.SendJSON(said{Text: "anyone?"})
		ann.ExpectJSON(said{User: "anonymous", Text: "anyone?"})
	})
}

func TestNoSuchRoom(t *testing.T) {
	if r := asgitest.New(t, chatURLs).Refused("/ws/nothing/"); r.Status != http.StatusNotFound {
		t.Errorf("got %v, want status 404", r)
	}
}

func TestBadJSONIsThePeersFault(t *testing.T) {
	ws := asgitest.New(t, chatURLs).Dial("/ws/chat/lobby/")
	ws.SendText("{")
	if end := ws.ReceiveClose(); end.Code != 1007 {
		t.Errorf("got %v, want code 1007", end)
	}
}

// A test of a chat room: no socket, no port, no sleep.
func Example() {
	var t *testing.T // of the test
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, chatURLs)
		ann, bob := site.Dial("/ws/chat/lobby/"), site.Dial("/ws/chat/lobby/")
		ann.SendJSON(said{Text: "hello"})
		bob.ExpectJSON(said{User: "anonymous", Text: "hello"})
		bob.Disconnect()
	})
}

// What middleware would have put into the scope, the test puts there.
func ExampleSite_With() {
	var t *testing.T // of the test
	ann := &asgitest.Options{
		Header: http.Header{"Origin": {"https://example.org"}},
		Scope:  func(s *asgi.Scope) *asgi.Scope { return userKey.With(s, "ann") },
	}
	asgitest.New(t, chatURLs).With(ann).Dial("/ws/chat/lobby/").Disconnect()
}

// A refusal is an HTTP response.
func ExampleSite_Refused() {
	var t *testing.T // of the test
	var r *asgitest.Refusal = asgitest.New(t, chatURLs).Refused("/ws/nothing/")
	if r.Status != http.StatusNotFound {
		t.Errorf("got %v", r)
	}
}

// A stream of server-sent events is read as a browser reads it, which comes back when it breaks.
func ExampleSite_EventSource() {
	var t *testing.T // of the test
	var es *asgitest.EventSource = asgitest.New(t, chatURLs).EventSource("/events")
	es.ExpectData("1")
	es = es.Reconnect() // with Last-Event-ID
	es.ExpectData("2")
	es.Close()
}

// A response is read part by part; the client leaves in the middle.
func ExampleSite_Stream() {
	var t *testing.T // of the test
	var e *asgitest.Exchange = asgitest.New(t, chatURLs).Stream("GET", "/log")
	e.ExpectChunk("line 1\n")
	e.Abandon()
	if err := e.Wait(); err != nil {
		t.Error(err)
	}
}

// Any scope can be driven event by event.
func ExampleSite_Raw() {
	var t *testing.T // of the test
	var raw *asgitest.Raw = asgitest.New(t, chatURLs).Raw(asgi.NewScope(asgi.Fields{Type: asgi.Lifespan}))
	raw.Send(asgi.LifespanStartup{})
	raw.Expect(asgi.LifespanStartupComplete{})
}

// A real client needs a real server.
func ExampleSite_Live() {
	var t *testing.T // of the test
	var live *asgitest.Live = asgitest.New(t, chatURLs).Live()
	resp, err := http.Get(live.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
}
