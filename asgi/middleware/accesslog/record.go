package accesslog

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// A record is what is known of one connection. Events pass it on their way.
type record struct {
	logger  *zap.Logger
	ctx     context.Context
	scope   *asgi.Scope
	o       *Options
	begin   time.Time
	receive asgi.Receive
	send    asgi.Send
	chosen  bool // to be written whatever its end

	bytesIn, bytesOut       atomic.Int64
	messagesIn, messagesOut atomic.Int64

	mu       sync.Mutex
	status   int // of the response; 101 for an accepted WebSocket
	trailers bool
	begun    bool // a part of the body was sent; until then a server answers for an app that fails
	complete bool
	accepted time.Time
	closed   *asgi.WebSocketDisconnect // by the app, or as the server has told it
	bad      error                     // what Receive said of a request's body, around the Deny that answers it
}

// errUnwound is the error of an app that did not return: it panicked, or its goroutine ended.
var errUnwound = errors.New("unwound")

// incoming is the app's Receive.
func (r *record) incoming(ctx context.Context) (asgi.Event, error) {
	event, err := r.receive(ctx)
	if err != nil {
		r.failed(err)
	}
	switch e := event.(type) {
	case asgi.WebSocketReceive:
		r.messagesIn.Add(1)
		r.bytesIn.Add(int64(len(e.Frame.Data)))
	case asgi.HTTPRequest:
		r.bytesIn.Add(int64(len(e.Body)))
	case asgi.WebSocketDisconnect:
		r.mu.Lock()
		r.closed = &e
		r.mu.Unlock()
	}
	return event, err
}

// failed keeps what Receive says of a body that nobody can read.
func (r *record) failed(err error) {
	var deny asgi.Deny
	if errors.As(err, &deny) {
		r.mu.Lock()
		r.bad = err
		r.mu.Unlock()
	}
}

// outgoing is the app's Send.
func (r *record) outgoing(ctx context.Context, event asgi.Event) error {
	err := r.send(ctx, event)
	if err != nil {
		return err
	}
	if e, ok := event.(asgi.WebSocketSend); ok { // nearly all of them
		r.messagesOut.Add(1)
		r.bytesOut.Add(int64(len(e.Frame.Data)))
		return nil
	}
	r.note(event)
	return nil
}

// note looks at what answers and ends.
func (r *record) note(event asgi.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e := event.(type) {
	case asgi.WebSocketAccept:
		r.status, r.accepted = http.StatusSwitchingProtocols, time.Now()
		if r.chosen {
			r.write("websocket: open", r.accepted.Sub(r.begin), zap.String("subprotocol", e.Subprotocol))
		}
	case asgi.WebSocketHTTPResponseStart:
		r.status = e.Status
	case asgi.WebSocketClose:
		if r.status == 0 {
			r.status = http.StatusForbidden
		} else if r.closed == nil {
			r.closed = &asgi.WebSocketDisconnect{Code: cmp.Or(e.Code, normal), Reason: e.Reason, By: asgi.ByApp}
		}
	case asgi.HTTPResponseStart:
		r.status, r.trailers = e.Status, e.Trailers
	default:
		switch event.(type) {
		case asgi.HTTPResponseBody, asgi.HTTPResponseZeroCopySend, asgi.HTTPResponsePathSend:
			r.begun = true
		}
		size, last := body(event)
		if r.scope.Method() != http.MethodHead {
			r.bytesOut.Add(size)
		}
		trailers, ok := event.(asgi.HTTPResponseTrailers)
		r.complete = r.complete || last && !r.trailers || ok && !trailers.MoreTrailers
	}
}

// body is the size of a part of a response, and whether it is the last.
func body(event asgi.Event) (size int64, last bool) {
	switch e := event.(type) {
	case asgi.HTTPResponseBody:
		return int64(len(e.Body)), !e.MoreBody
	case asgi.WebSocketHTTPResponseBody:
		return int64(len(e.Body)), !e.MoreBody
	case asgi.HTTPResponseZeroCopySend:
		return fileSize(e), !e.MoreBody
	case asgi.HTTPResponsePathSend:
		return pathSize(e.Path), true
	}
	return 0, false
}

// end writes the last line.
func (r *record) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.scope.Type() == asgi.HTTP:
		r.endRequest(err)
	case r.accepted.IsZero():
		r.endHandshake(err)
	default:
		r.endSocket(err)
	}
}

func (r *record) endRequest(err error) {
	by := r.endedBy()
	switch {
	case r.complete:
		by = asgi.ByApp
	case !r.begun && by == asgi.ByApp:
		r.status = r.statusOf(err)
		r.complete = true // by the server
	}
	cut := !r.complete
	left := by == asgi.ByClient || by == asgi.ByNetwork
	if !r.chosen && r.status < http.StatusInternalServerError && (!cut || left) {
		return
	}
	r.write("http: request", time.Since(r.begin), zap.String("method", r.scope.Method()), zap.String("version", r.scope.HTTPVersion()),
		zap.Int("status", r.status), zap.String("by", string(by)), zap.Bool("cut", cut),
		zap.Int64("bytes_in", r.bytesIn.Load()), zap.Int64("bytes_out", r.bytesOut.Load()))
}

func (r *record) endHandshake(err error) {
	by := r.endedBy()
	if r.status == 0 {
		r.status = r.statusOf(err)
		if by != asgi.ByApp {
			r.status = http.StatusServiceUnavailable // the server's answer, if anybody was there to hear it
		}
	}
	if r.chosen || r.status >= http.StatusInternalServerError {
		r.write("websocket: refused", time.Since(r.begin), zap.Int("status", r.status), zap.String("by", string(by)))
	}
}

func (r *record) endSocket(err error) {
	end := r.closed
	if end == nil {
		end = closeOf(r.ctx, err)
	}
	if !r.chosen && end.Code != internalError {
		return
	}
	r.write("websocket: close", time.Since(r.accepted),
		zap.Int("code", end.Code), zap.String("reason", end.Reason), zap.String("by", string(end.By)),
		zap.Int64("bytes_in", r.bytesIn.Load()), zap.Int64("bytes_out", r.bytesOut.Load()),
		zap.Int64("messages_in", r.messagesIn.Load()), zap.Int64("messages_out", r.messagesOut.Load()))
}

// endedBy is the app, unless ctx tells of somebody else who ended the connection.
func (r *record) endedBy() asgi.EndedBy {
	var d asgi.DisconnectError
	if errors.As(context.Cause(r.ctx), &d) {
		return d.By
	}
	return asgi.ByApp
}

// statusOf is the response that a server makes of what an app returned before it answered. Where the app says nothing of its own,
// a body that nobody could read is what is answered.
func (r *record) statusOf(err error) int {
	if r.bad != nil && (err == nil || errors.Is(err, asgi.ErrClosed)) {
		err = r.bad
	}
	var panicked *asgi.PanicError
	var deny asgi.Deny
	var closing asgi.CloseError
	switch {
	case errors.As(err, &panicked):
	case errors.As(err, &deny):
		return deny.StatusCode()
	case errors.As(err, &closing) && r.scope.Type() == asgi.WebSocket:
		return http.StatusForbidden
	}
	if status, ok := asgi.StatusOf(err); ok {
		return status
	}
	return http.StatusInternalServerError
}

// Close codes of RFC 6455 section 7.4.1.
const (
	normal        = 1000
	internalError = 1011
)

// closeOf is how a WebSocket ends that the app has left without receiving its end or closing it.
func closeOf(ctx context.Context, err error) *asgi.WebSocketDisconnect {
	var ended asgi.DisconnectError
	var panicked *asgi.PanicError
	var closing asgi.CloseError
	end := &asgi.WebSocketDisconnect{Code: internalError, By: asgi.ByApp}
	switch {
	case errors.As(context.Cause(ctx), &ended):
		end.Code, end.Reason, end.By = ended.Code, ended.Reason, ended.By
	case errors.As(err, &panicked):
	case err == nil, errors.Is(err, asgi.ErrClosed):
		end.Code = normal
	case errors.As(err, &closing):
		end.Code, end.Reason = cmp.Or(closing.Code, normal), closing.Reason
	}
	return end
}

// write writes a line with what every line has.
func (r *record) write(message string, duration time.Duration, fields ...zap.Field) {
	fields = append([]zap.Field{
		zap.String("client", r.scope.Client()), zap.String("host", r.scope.Host()),
		zap.String("path", r.scope.Path()), zap.String("query", r.o.shownQuery(r.scope.RawQuery())),
	}, fields...)
	fields = append(fields, zap.Duration("duration", duration))
	r.logger.Info(message, append(fields, r.o.shownHeader(r.scope)...)...)
}
