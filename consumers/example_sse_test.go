package consumers_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
)

// bulletin is what the group "news" is sent. Numbers go up by one.
type bulletin struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
}

const issued layers.Type[bulletin] = "news.issued"

// archive is where the site keeps its bulletins.
var archive struct {
	sync.Mutex
	bulletins []bulletin
}

// event is a bulletin as a browser gets it, by either way.
func event(h bulletin) (consumers.SSE, error) {
	text, err := json.Marshal(h)
	return consumers.SSE{ID: strconv.Itoa(h.Number), Data: string(text)}, err
}

// browser is the state of one browser.
type browser struct{}

// resume sends what a browser that comes back has missed. It has joined the group already, so nothing is lost; a bulletin
// that comes now comes twice, and the page knows by its number.
func (*browser) resume(ctx context.Context, c *consumers.Conn) error {
	last, err := strconv.Atoi(c.LastEventID())
	if err != nil {
		return nil // the first time
	}
	archive.Lock()
	missed := archive.bulletins[min(max(last, 0), len(archive.bulletins)):]
	archive.Unlock()
	for _, h := range missed {
		e, err := event(h)
		if err != nil {
			return err
		}
		if err := c.SendSSE(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// One declaration feeds those who came by WebSocket and those whose proxy let only HTTP through.
func ExampleAsyncSSEConsumer() {
	forward := []consumers.Forwarder{consumers.RenderSSE(issued, event)}
	serve(routing.Protocols(map[string]asgi.App{
		asgi.WebSocket: consumers.AsyncWebsocketConsumer[browser]{Groups: []string{"news"}, Forward: forward}.App(),
		asgi.HTTP: consumers.AsyncSSEConsumer[browser]{
			Groups: []string{"news"}, Forward: forward, Connect: (*browser).resume,
		}.App(),
	}))
}

// ask is the state of one question.
type ask struct{}

func (*ask) handle(ctx context.Context, c *consumers.Conn, question []byte) error {
	if err := c.StartSSE(ctx, nil); err != nil {
		return err
	}
	for _, word := range []string{"It", "depends."} {
		if err := c.SendSSE(ctx, consumers.SSE{Event: "word", Data: word}); err != nil {
			return err // the client has gone
		}
	}
	return c.Close(ctx, 0, "")
}

// The answer to a POST may be a stream of events, too.
func ExampleConn_SendSSE() {
	serve(consumers.AsyncHTTPConsumer[ask]{Handle: (*ask).handle}.App())
}

// upload is the state of one upload.
type upload struct{}

func (*upload) store(ctx context.Context, c *consumers.Conn, body io.Reader) error {
	file, err := os.CreateTemp("", "upload")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	n, err := io.Copy(file, body)
	if err != nil {
		return err // a body that is too large or too slow is answered by what this error says
	}
	return c.Respond(ctx, http.StatusCreated, nil, strconv.AppendInt(nil, n, 10))
}

// A large body is read as it comes: the client is no faster than the disk, and nothing of it waits in memory.
func ExampleAsyncHTTPConsumer_upload() {
	serve(consumers.AsyncHTTPConsumer[upload]{Stream: (*upload).store, MaxBody: 1 << 30}.App())
}

// ticks is a stream of a blocking handler.
var ticks = consumers.SyncSSEConsumer[browser]{
	Connect: func(_ *browser, c *consumers.SyncConn) error { return c.SendSSE(consumers.SSE{Data: "hello"}) },
}.App()

func ExampleSyncSSEConsumer() { serve(ticks) }
