package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// FirstMessage lets WebSockets that come without credentials send a token as their first message. Such a socket is accepted
// before anybody knows who it is, so the other ways are better where a client can go them.
type FirstMessage struct {
	// Within is how long the message may take, from the accept; default 10 s. Then the socket is closed with
	// Options.CloseCode. Below a millisecond panics.
	Within time.Duration
	// MaxSize is the largest first message in bytes; a larger one closes with 1009. Default 8 KiB.
	MaxSize int
	// Decode finds the token in the message; default: its text is the token. False: it is none.
	Decode func(asgi.Frame) (token string, ok bool)
	// Subprotocol chooses among those that the client offers, since the app cannot; default none.
	Subprotocol func(offered []string) string
}

const (
	defaultWithin  = 10 * time.Second
	defaultMaxSize = 8 << 10
)

func (f *FirstMessage) complete() (*FirstMessage, string) {
	full := *f
	switch {
	case f.Within < 0 || f.MaxSize < 0:
		return nil, fmt.Sprintf("FirstMessage has Within %v and MaxSize %d: neither may be negative", f.Within, f.MaxSize)
	case f.Within > 0 && f.Within < time.Millisecond:
		return nil, fmt.Sprintf("FirstMessage.Within is %v, a number without its unit: write 10*time.Second", f.Within)
	case f.Within == 0:
		full.Within = defaultWithin
	}
	if f.MaxSize == 0 {
		full.MaxSize = defaultMaxSize
	}
	if f.Decode == nil {
		full.Decode = func(m asgi.Frame) (string, bool) { return string(m.Data), !m.Binary }
	}
	return &full, ""
}

// firstMessage accepts and waits for the token. It returns nil where there is nobody to let in.
func (c *connection[U]) firstMessage(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) (*admitted, error) {
	f := c.auth.opts.FirstMessage
	if event, err := receive(ctx); err != nil {
		return nil, err
	} else if _, ok := event.(asgi.WebSocketConnect); !ok {
		return nil, nil
	}
	var chosen string
	if f.Subprotocol != nil {
		chosen = f.Subprotocol(scope.Subprotocols())
	}
	if err := send(ctx, asgi.WebSocketAccept{Subprotocol: chosen}); err != nil {
		return nil, err
	}
	token, err := c.firstToken(ctx, receive)
	if err != nil || token == "" {
		return nil, err
	}
	found, err := c.auth.byToken(ctx, token, time.Now())
	if err == nil {
		err = c.become(ctx, found)
	}
	switch {
	case errors.Is(err, ErrInvalid):
		c.tellWhy(err)
		return nil, asgi.CloseError{Code: c.auth.opts.CloseCode, Reason: "token is not valid"}
	case err != nil:
		return nil, fmt.Errorf("auth: first message: %w", err)
	}
	return &admitted{receive: receive, send: send, chosen: chosen}, nil
}

// firstToken waits for the message. The limit is kept by a close of ours, which ends the receive: one with a ctx of its own
// would cost the server a goroutine for as long as the connection lasts. Empty: the connection is over.
func (c *connection[U]) firstToken(ctx context.Context, receive asgi.Receive) (token string, err error) {
	f := c.auth.opts.FirstMessage
	var late sync.WaitGroup
	late.Add(1)
	timer := time.AfterFunc(f.Within, func() {
		defer late.Done()
		c.shut("no token in time")
	})
	event, err := receive(ctx)
	if !timer.Stop() {
		late.Wait()
		return "", nil
	}
	if err != nil {
		return "", err
	}
	message, ok := event.(asgi.WebSocketReceive)
	if !ok {
		return "", nil // it has gone
	}
	if len(message.Frame.Data) > f.MaxSize {
		return "", asgi.CloseError{Code: 1009, Reason: fmt.Sprintf("the first message is a token of at most %d bytes", f.MaxSize)}
	}
	token, ok = f.Decode(message.Frame)
	if !ok || !validToken(token) {
		return "", asgi.CloseError{Code: c.auth.opts.CloseCode, Reason: "the first message is no token"}
	}
	return token, nil
}

// admitted plays the handshake for an app behind a first message.
type admitted struct {
	receive asgi.Receive
	send    asgi.Send
	chosen  string

	connected bool
	mu        sync.Mutex
	accepted  bool
	refused   bool
}

// Receive begins with the connect, as every app expects.
func (a *admitted) Receive(ctx context.Context) (asgi.Event, error) {
	if !a.connected {
		a.connected = true
		return asgi.WebSocketConnect{}, nil
	}
	return a.receive(ctx)
}

// Send takes the app's answer to the handshake. What does not fit its state is an error, as on a server.
func (a *admitted) Send(ctx context.Context, event asgi.Event) error {
	switch e := event.(type) {
	case asgi.WebSocketAccept:
		return a.accept(e)
	case asgi.WebSocketHTTPResponseStart:
		if a.answered(&a.refused) {
			break // the server says what is wrong
		}
		return a.send(ctx, closeFor(e.Status))
	case asgi.WebSocketHTTPResponseBody:
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.refused {
			return nil
		}
	case asgi.WebSocketSend:
		if !a.isAccepted() {
			return errors.New("auth: send websocket.send: the connection is not accepted yet: send websocket.accept first")
		}
	}
	return a.send(ctx, event)
}

// answered notes an answer, and reports whether there was one before.
func (a *admitted) answered(now *bool) (before bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.accepted || a.refused {
		return true
	}
	*now = true
	return false
}

func (a *admitted) isAccepted() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.accepted
}

// accept compares the app's accept with the one that was sent.
func (a *admitted) accept(e asgi.WebSocketAccept) error {
	switch {
	case e.Subprotocol != "" && e.Subprotocol != a.chosen:
		return fmt.Errorf("auth: accept: the subprotocol %q was chosen before the first message: choose %q in FirstMessage.Subprotocol", a.chosen, e.Subprotocol)
	case len(e.Header) > 0:
		return errors.New("auth: accept: the headers have left before the first message: leave Header empty")
	case a.answered(&a.accepted):
		return errors.New("auth: accept: the connection is accepted or refused already: send it once")
	}
	return nil
}

// refusal makes a close of a refusal that the app returns.
func (a *admitted) refusal(err error) error {
	var deny asgi.Deny
	var panicked *asgi.PanicError
	if a.isAccepted() || !errors.As(err, &deny) || errors.As(err, &panicked) {
		return err
	}
	e := closeFor(deny.StatusCode())
	return asgi.CloseError{Code: e.Code, Reason: e.Reason}
}

// closeFor is a status as a close.
func closeFor(status int) asgi.WebSocketClose {
	if status < 300 || status > 599 {
		return asgi.WebSocketClose{Code: 1011}
	}
	return asgi.WebSocketClose{Code: 4000 + status, Reason: http.StatusText(status)}
}
