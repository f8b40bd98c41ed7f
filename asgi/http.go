package asgi

import (
	"net/http"
	"os"
)

// HTTPRequest (received) is a part of a request's body. The first one comes for every request, also without a body;
// the last one has MoreBody false.
type HTTPRequest struct {
	Body     []byte
	MoreBody bool
}

// HTTPDisconnect (received) says that the client has gone, or that the response is complete.
type HTTPDisconnect struct{}

// HTTPResponseStart (sent) begins the response. It reaches the client with the first body event.
type HTTPResponseStart struct {
	Status   int
	Header   http.Header // Transfer-Encoding is the server's own business and is ignored
	Trailers bool        // HTTPResponseTrailers will follow the body
}

// HTTPResponseBody (sent) is a part of the response's body, flushed to the client before Send returns. The last one has
// MoreBody false and completes the response, unless trailers were announced.
type HTTPResponseBody struct {
	Body     []byte
	MoreBody bool
}

// HTTPResponseTrailers (sent) follows a body whose start announced trailers; the last one has MoreTrailers false and
// completes the response. It reaches only a client that asked for trailers with "TE: trailers". Extension
// "http.response.trailers".
type HTTPResponseTrailers struct {
	Header       http.Header
	MoreTrailers bool
}

// HTTPResponseEarlyHint (sent, before the first part of the body) is a 103 response with Link headers; it may be sent
// more than once. Extension "http.response.early_hint".
type HTTPResponseEarlyHint struct {
	Links []string // such as `</style.css>; rel=preload; as=style`
}

// HTTPResponsePush (sent, before the last part of the body) asks for an HTTP/2 server push. Extension
// "http.response.push"; browsers have given pushes up, so most scopes do not have it.
type HTTPResponsePush struct {
	Path   string
	Header http.Header
}

// HTTPResponseZeroCopySend (sent) is a part of the body that the server reads from an open file. The application closes
// the file after Send has returned. Extension "http.response.zerocopysend".
type HTTPResponseZeroCopySend struct {
	File     *os.File
	Offset   int64 // where to begin; -1: at the file's own position
	Count    int64 // how many bytes; 0: to the end
	MoreBody bool
}

// HTTPResponsePathSend (sent, instead of a body) completes the response with the file at an absolute path.
// Extension "http.response.pathsend".
type HTTPResponsePathSend struct {
	Path string
}

// HTTPResponseDebug (sent, before the response starts) hands information to a test client; real servers do not have it.
// Extension "http.response.debug".
type HTTPResponseDebug struct {
	Info map[string]any
}

// EventType is "http.request".
func (HTTPRequest) EventType() string { return "http.request" }

// EventType is "http.disconnect".
func (HTTPDisconnect) EventType() string { return "http.disconnect" }

// EventType is "http.response.start".
func (HTTPResponseStart) EventType() string { return "http.response.start" }

// EventType is "http.response.body".
func (HTTPResponseBody) EventType() string { return "http.response.body" }

// EventType is "http.response.trailers".
func (HTTPResponseTrailers) EventType() string { return "http.response.trailers" }

// EventType is "http.response.early_hint".
func (HTTPResponseEarlyHint) EventType() string { return "http.response.early_hint" }

// EventType is "http.response.push".
func (HTTPResponsePush) EventType() string { return "http.response.push" }

// EventType is "http.response.zerocopysend".
func (HTTPResponseZeroCopySend) EventType() string { return "http.response.zerocopysend" }

// EventType is "http.response.pathsend".
func (HTTPResponsePathSend) EventType() string { return "http.response.pathsend" }

// EventType is "http.response.debug".
func (HTTPResponseDebug) EventType() string { return "http.response.debug" }
