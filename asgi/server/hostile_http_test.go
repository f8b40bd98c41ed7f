package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

const (
	get    = "GET /a HTTP/1.1\r\nHost: example.org\r\n"
	post   = "POST /a HTTP/1.1\r\nHost: example.org\r\n"
	second = "GET /second HTTP/1.1\r\nHost: example.org\r\n\r\n"

	// marker follows each of the requests below. It is answered unless the connection was closed before.
	marker = "GET /marker HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n"
	alive  = "; GET /marker"
)

// hostileRequests are requests that may be wrong, and what is answered to them and the marker: a status, or for 200 the request
// as the application saw it.
var hostileRequests = []struct{ name, sent, want string }{
	{"a good request", get + "\r\n", "GET /a" + alive},
	{"two requests at once", get + "\r\n" + get + "\r\n", "GET /a; GET /a" + alive},
	{"a chunked body", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "POST /a abc" + alive},
	{"two lengths: chunked counts (RFC 9112 section 6.3)", post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second, "POST /a; GET /second" + alive},
	{"two lengths, the other way round", post + "Transfer-Encoding: chunked\r\nContent-Length: 44\r\n\r\n0\r\n\r\n" + second, "POST /a; GET /second" + alive},
	{"the same length twice", post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "POST /a abc" + alive},
	{"two different lengths", post + "Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc", "400"},
	{"a list of lengths", post + "Content-Length: 3, 3\r\n\r\nabc", "400"},
	{"length with a plus", post + "Content-Length: +3\r\n\r\nabc", "400"},
	{"negative length", post + "Content-Length: -3\r\n\r\nabc", "400"},
	{"hexadecimal length", post + "Content-Length: 0x3\r\n\r\nabc", "400"},
	{"length beyond 64 bits", post + "Content-Length: 18446744073709551619\r\n\r\nabc", "400"},
	{"length with a space inside", post + "Content-Length: 1 3\r\n\r\nabc", "400"},
	{"empty length", post + "Content-Length:\r\n\r\nabc", "400"},
	{"chunked twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "501"},
	{"identity, chunked", post + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", "501"},
	{"chunked, identity", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "501"},
	{"xchunked", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501"},
	{"chunked behind a vertical tab", post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "400"},
	{"CHUNKED", post + "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", "POST /a" + alive},
	{"gzip as a transfer coding", post + "Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", "501"},
	{"no transfer coding at all", post + "Transfer-Encoding:\r\n\r\n0\r\n\r\n", "501"},
	{"chunked in HTTP/1.0: the body is the next request", "POST /a HTTP/1.0\r\nHost: example.org\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second, "POST /a; 400"},
	{"a GET with a body", get + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET /a" + alive},
	{"folded header", get + "A: b\r\n c\r\n\r\n", "GET /a" + alive},
	{"folded Transfer-Encoding", post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "POST /a" + alive},
	{"folded first header", "GET /a HTTP/1.1\r\n Host: example.org\r\n\r\n", "400"},
	{"line feeds only", "GET /a HTTP/1.1\nHost: example.org\n\n", "GET /a" + alive},
	{"a line feed among others", get + "A: b\nC: d\r\n\r\n", "GET /a" + alive},
	{"carriage return in a value", get + "A: b\rTransfer-Encoding: chunked\r\n\r\n", "400"},
	{"two carriage returns", get + "A: b\r\r\n\r\n", "400"},
	{"carriage return before the end of the header", get + "\r\r\n", "400"},
	{"space before the colon", post + "Content-Length : 3\r\n\r\nabc", "400"},
	{"tab before the colon", post + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", "400"},
	{"header without a colon", get + "abc\r\n\r\n", "400"},
	{"header without a name", get + ": abc\r\n\r\n", "400"},
	{"empty line in front", "\r\n" + get + "\r\n", "400"},
	{"two empty lines in front", "\r\n\r\n" + get + "\r\n", "400"},
	{"space in front", " " + get + "\r\n", "400"},
	{"chunk extension", post + "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n", "POST /a abc" + alive},
	{"chunk extension that ends with a line feed", post + "Transfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n", "400"},
	{"carriage return in a chunk extension", post + "Transfer-Encoding: chunked\r\n\r\n3;a\rx\r\nabc\r\n0\r\n\r\n", "400"},
	{"chunk extension of 5 kB", post + "Transfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("x", 5000) + "\r\nabc\r\n0\r\n\r\n", "400"},
	{"100 chunk extensions of 1 kB", post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\na\r\n", 100) + "0\r\n\r\n", "400"},
	{"chunk size that ends with a line feed", post + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", "400"},
	{"chunk size beyond 64 bits", post + "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", "400"},
	{"negative chunk size", post + "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", "400"},
	{"chunk size with 0x", post + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", "400"},
	{"chunk size that is none", post + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n", "400"},
	{"empty chunk size", post + "Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n", "400"},
	{"space behind a chunk size", post + "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", "POST /a abc" + alive},
	{"chunk without its end of line", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n", "400"},
	{"chunk longer than it says", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", "400"},
	{"trailers", post + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", "POST /a abc" + alive},
	{"Transfer-Encoding announced as a trailer", post + "Transfer-Encoding: chunked\r\nTrailer: Transfer-Encoding\r\n\r\n0\r\n\r\n", "400"},
	{"Content-Length as a trailer", post + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 50\r\n\r\n", "POST /a" + alive},
	{"trailer without a colon", post + "Transfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n", "400"},
	{"trailer of 1 MB", post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", "400"},
	{"method that is no token", "G@T /a HTTP/1.1\r\nHost: example.org\r\n\r\n", "400"},
	{"unknown method", "BREW /a HTTP/1.1\r\nHost: example.org\r\n\r\n", "BREW /a" + alive},
	{"method in lower case", "get /a HTTP/1.1\r\nHost: example.org\r\n\r\n", "GET /a" + alive},
	{"no method", " /a HTTP/1.1\r\nHost: example.org\r\n\r\n", "400"},
	{"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
	{"TRACE", "TRACE /a HTTP/1.1\r\nHost: example.org\r\n\r\n", "TRACE /a" + alive},
	{"HTTP/0.9", "GET /a\r\n\r\n", "400"},
	{"HTTP/1.2", "GET /a HTTP/1.2\r\nHost: example.org\r\n\r\n", "GET /a" + alive},
	{"HTTP/2.0", "GET /a HTTP/2.0\r\nHost: example.org\r\n\r\n", "505"},
	{"HTTP/3", "GET /a HTTP/3\r\nHost: example.org\r\n\r\n", "400"},
	{"http/1.1", "GET /a http/1.1\r\nHost: example.org\r\n\r\n", "400"},
	{"HTTP/1.10", "GET /a HTTP/1.10\r\nHost: example.org\r\n\r\n", "400"},
	{"space behind the version", "GET /a HTTP/1.1 \r\nHost: example.org\r\n\r\n", "400"},
	{"two spaces", "GET  /a HTTP/1.1\r\nHost: example.org\r\n\r\n", "400"},
	{"tabs for spaces", "GET\t/a\tHTTP/1.1\r\nHost: example.org\r\n\r\n", "400"},
	{"space in the path", "GET /a b HTTP/1.1\r\nHost: example.org\r\n\r\n", "400"},
	{"absolute form", "GET http://other.example/a HTTP/1.1\r\nHost: example.org\r\n\r\n", "GET /a" + alive},
	{"GET of an authority", "GET example.org:80 HTTP/1.1\r\nHost: example.org\r\n\r\n", "400" + alive},
	{"CONNECT", "CONNECT example.org:80 HTTP/1.1\r\nHost: example.org\r\n\r\n", "400" + alive},
	{"GET *", "GET * HTTP/1.1\r\nHost: example.org\r\n\r\n", "400" + alive},
	{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: example.org\r\n\r\n", "200" + alive},
	{"relative path", "GET a HTTP/1.1\r\nHost: example.org\r\n\r\n", "400"},
	{"no path", "GET  HTTP/1.1\r\nHost: example.org\r\n\r\n", "400"},
	{"two slashes", "GET //evil.example/a HTTP/1.1\r\nHost: example.org\r\n\r\n", "GET //evil.example/a" + alive},
	{"dots", "GET /../../etc/passwd HTTP/1.1\r\nHost: example.org\r\n\r\n", "GET /../../etc/passwd" + alive},
	{"bad percent-encoding", "GET /%zz HTTP/1.1\r\nHost: example.org\r\n\r\n", "400"},
	{"percent-encoded NUL", "GET /%00 HTTP/1.1\r\nHost: example.org\r\n\r\n", "GET /%00" + alive},
	{"percent-encoded end of line", "GET /%0d%0a HTTP/1.1\r\nHost: example.org\r\n\r\n", "GET /%0d%0a" + alive},
	{"NUL in the path", "GET /\x00 HTTP/1.1\r\nHost: example.org\r\n\r\n", "400"},
	{"fragment", "GET /a#b HTTP/1.1\r\nHost: example.org\r\n\r\n", "GET /a#b" + alive},
	{"case 175: byte 0xE9 in the path", "GET /\xe9 HTTP/1.1\r\nHost: example.org\r\n\r\n", "400" + alive},
	{"case 175: é in the path", "GET /é HTTP/1.1\r\nHost: example.org\r\n\r\n", "400" + alive},
	{"case 175: byte 0xE9 in the query", "GET /a?\xe9 HTTP/1.1\r\nHost: example.org\r\n\r\n", "400" + alive},
	{"DEL in the path", "GET /\x7f HTTP/1.1\r\nHost: example.org\r\n\r\n", "400"},
	{"path of 128 kB", "GET /" + strings.Repeat("a", 1<<17) + " HTTP/1.1\r\nHost: example.org\r\n\r\n", "431"},
	{"no host", "GET /a HTTP/1.1\r\n\r\n", "400"},
	{"no host in HTTP/1.0", "GET /a HTTP/1.0\r\n\r\n", "GET /a"},
	{"two hosts", get + "Host: other.example\r\n\r\n", "400"},
	{"the same host twice", get + "Host: example.org\r\n\r\n", "400"},
	{"host with a space", "GET /a HTTP/1.1\r\nHost: ex ample\r\n\r\n", "400"},
	{"empty host", "GET /a HTTP/1.1\r\nHost:\r\n\r\n", "GET /a" + alive},
	{"host with a path", "GET /a HTTP/1.1\r\nHost: example.org/evil\r\n\r\n", "400"},
	{"host with a user", "GET /a HTTP/1.1\r\nHost: a@example.org\r\n\r\n", "400"},
	{"host with a backslash", "GET /a HTTP/1.1\r\nHost: example.org\\x\r\n\r\n", "400"},
	{"host that is not ASCII", "GET /a HTTP/1.1\r\nHost: ex\xe9mple.org\r\n\r\n", "400"},
	{"host with a quote", "GET /a HTTP/1.1\r\nHost: example.org\"\r\n\r\n", "400"},
	{"host with markup", "GET /a HTTP/1.1\r\nHost: <script>\r\n\r\n", "400"},
	{"case 175: space in a name", get + "a b: c\r\n\r\n", "400"},
	{"case 175: NUL in a name", get + "a\x00b: c\r\n\r\n", "400"},
	{"case 175: 0x01 in a name", get + "a\x01b: c\r\n\r\n", "400"},
	{"case 175: 0xFF in a name", get + "a\xffb: c\r\n\r\n", "400"},
	{"NUL in a value", get + "a: b\x00c\r\n\r\n", "400"},
	{"0x01 in a value", get + "a: b\x01c\r\n\r\n", "400"},
	{"case 175: 0x0B in a value", get + "a: b\x0bc\r\n\r\n", "400"},
	{"case 175: 0x0C in a value", get + "a: b\x0cc\r\n\r\n", "400"},
	{"case 175: 0x1C in a value", get + "a: b\x1cc\r\n\r\n", "400"},
	{"case 175: 0x1D in a value", get + "a: b\x1dc\r\n\r\n", "400"},
	{"case 175: 0x1E in a value", get + "a: b\x1ec\r\n\r\n", "400"},
	{"DEL in a value", get + "a: b\x7fc\r\n\r\n", "400"},
	{"case 175: 0x85 in a value", get + "a: b\x85c\r\n\r\n", "400" + alive},
	{"Å in a value, which is C3 85", get + "a: Å\r\n\r\n", "GET /a" + alive},
	{"case 175: U+0085 in a value", get + "a: \u0085\r\n\r\n", "400" + alive},
	{"header of 128 kB", get + "a: " + strings.Repeat("x", 1<<17) + "\r\n\r\n", "431"},
	{"32,768 headers", get + strings.Repeat("a: b\r\n", 1<<15) + "\r\n", "431"},
	{"Expect: 100-continue", post + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "100; POST /a abc" + alive},
	{"Expect something else", post + "Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", "417"},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"},
}

// TestHostileRequests demands of each request its answer, that no request is read out of another's body or header, and that the
// server is afterwards what it was.
func TestHostileRequests(t *testing.T) {
	s := variant{}.serveTCP(t, asgi.AppFunc(witness), server.Options{})
	unharmed := aftermath(t, s)
	for _, tc := range hostileRequests {
		t.Run(tc.name, func(t *testing.T) {
			p := s.peer()
			go io.WriteString(p, tc.sent+marker) // the server may answer before it has read all
			if got := answers(p.br); got != tc.want {
				t.Errorf("answered %q, want %q", got, tc.want)
			}
			p.Close()
		})
	}
	unharmed()
}

// witness answers an HTTP request with what it saw of it, and echoes WebSockets.
func witness(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	switch scope.Type() {
	case asgi.WebSocket:
		return echoing(nil).Serve(ctx, scope, receive, send)
	case asgi.Lifespan:
		return errors.ErrUnsupported
	}
	body, err := bodyOf(ctx, receive)
	if err != nil {
		return err
	}
	if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
		return err
	}
	seen := strings.TrimSpace(fmt.Sprintf("%s %s %s", scope.Method(), scope.RawPath(), body))
	return send(ctx, asgi.HTTPResponseBody{Body: []byte(seen)})
}

// bodyOf reads a request's body.
func bodyOf(ctx context.Context, receive asgi.Receive) (body []byte, err error) {
	for {
		event, err := receive(ctx)
		if err != nil {
			return nil, err
		}
		e, ok := event.(asgi.HTTPRequest)
		if !ok {
			return nil, asgi.ErrClosed
		}
		if body = append(body, e.Body...); !e.MoreBody {
			return body, nil
		}
	}
}

// answers reads responses until the connection ends: bodies of good ones, statuses of others.
func answers(br *bufio.Reader) string {
	var list []string
	for {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return strings.Join(list, "; ")
		}
		got := body(resp)
		if resp.StatusCode != 200 || got == "" {
			got = fmt.Sprint(resp.StatusCode)
		}
		list = append(list, got)
	}
}
