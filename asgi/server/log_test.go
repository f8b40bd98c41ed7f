package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// returning answers each connection by what Serve returns; a WebSocket is accepted first where accept says so.
func returning(err error, accept bool) asgi.App {
	after := socket(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return err })
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		switch {
		case scope.Type() == asgi.Lifespan:
			return errors.ErrUnsupported
		case accept:
			return after.Serve(ctx, scope, receive, send)
		}
		return err
	})
}

// stuck never answers a handshake.
var stuck = asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
	if scope.Type() == asgi.Lifespan {
		return errors.ErrUnsupported
	}
	<-ctx.Done()
	return context.Cause(ctx)
})

// What the server writes about one connection or request is one line, with its path and its client.
func TestLines(t *testing.T) {
	story := func(err error) error { return fmt.Errorf("the token is from yesterday: %w", err) }
	bad := frame(fin|0x30|text, "")
	for name, tc := range map[string]struct {
		app     asgi.App
		options server.Options
		request string // without the empty line
		after   []byte // sent when the handshake is complete
		want    string // message, level, and what else is in the line; empty: there is no line
	}{
		"breach of the protocol":     {echoing(nil), server.Options{}, handshake, bad, "websocket: peer broke the protocol warn 1002"},
		"too large":                  {echoing(nil), server.Options{MaxMessage: 99}, handshake, frame(fin|text, strings.Repeat("x", 100)), "websocket: peer broke the protocol warn message is larger than the limit 99"},
		"failed after the accept":    {returning(errors.New("odd"), true), server.Options{}, handshake, nil, "websocket: application failed error odd"},
		"failed before":              {returning(errors.New("odd"), false), server.Options{}, handshake, nil, "websocket: application failed error odd"},
		"close with a story":         {returning(story(asgi.CloseError{Code: 4001}), true), server.Options{}, handshake, nil, "websocket: closed because of an error warn 4001 yesterday"},
		"bare close":                 {returning(asgi.CloseError{Code: 4001}, true), server.Options{}, handshake, nil, ""},
		"Deny with a story":          {returning(story(asgi.Deny{}), false), server.Options{}, handshake, nil, "websocket: refused because of an error info 403 yesterday"},
		"bare Deny":                  {returning(asgi.Deny{}, false), server.Options{}, handshake, nil, ""},
		"no answer to the handshake": {stuck, server.Options{HandshakeTimeout: time.Millisecond}, handshake, nil, "websocket: handshake failed warn 503 did not answer"},
		"malformed handshake":        {echoing(nil), server.Options{MaxHeaders: 2}, handshake, nil, "websocket: handshake refused warn 431"},
		"failed request":             {returning(errors.New("odd"), false), server.Options{}, get, nil, "http: application failed error odd"},
		"large body":                 {pages, server.Options{MaxBody: 7}, post + "Content-Length: 8\r\n", nil, "http: request refused warn 413 8 Options.MaxBody:7"},
		"many header lines":          {pages, server.Options{MaxHeaders: 2}, get + "A: 1\r\nB: 2\r\nC: 3\r\n", nil, "http: request refused warn 431 Options.MaxHeaders:2"},
		"behind a proxy": {echoing(nil), server.Options{TrustedProxies: []string{"127.0.0.1"}, ProxyHeaders: true}, handshake + "X-Forwarded-For: 203.0.113.7\r\n", bad,
			"websocket: peer broke the protocol warn client:203.0.113.7:0"},
		"request behind a proxy": {returning(errors.New("odd"), false), server.Options{TrustedProxies: []string{"127.0.0.1"}, ProxyHeaders: true}, get + "X-Forwarded-For: 203.0.113.7\r\n", nil,
			"http: application failed error client:203.0.113.7:0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := variant{}.serveTCP(t, tc.app, tc.options)
			p := s.peer()
			client := p.LocalAddr().String()
			if tc.options.ProxyHeaders {
				client = "203.0.113.7:0"
			}
			resp, err := p.request(tc.request + "\r\n")
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode == 101 {
				p.Write(tc.after)
				p.end()
			}
			p.Close()
			s.stop() // all lines are written then
			if err := theLine(s.logs, tc.want, client); err != nil {
				t.Error(err)
			}
		})
	}
}

// theLine is an error unless there is one line, as wanted, or none.
func theLine(logs *observer.ObservedLogs, want, client string) error {
	lines := logs.Filter(func(e observer.LoggedEntry) bool { return e.Message != "serving" }).All()
	if want == "" && len(lines) == 0 {
		return nil
	}
	if want == "" || len(lines) != 1 {
		return fmt.Errorf("%d lines, want one %q: %v", len(lines), want, lines)
	}
	fields := lines[0].ContextMap()
	if fields["client"] != client || !strings.HasPrefix(fmt.Sprint(fields["path"]), "/") {
		return fmt.Errorf("the line has the client %v and the path %v, want %s: %v", fields["client"], fields["path"], client, fields)
	}
	got := fmt.Sprint(lines[0].Message, " ", lines[0].Level, " ", fields)
	prefix, details, _ := strings.Cut(want, " "+lines[0].Level.String()+" ")
	for _, word := range append(strings.Fields(details), prefix) {
		if !strings.Contains(got, word) {
			return fmt.Errorf("the line is %s, want %s in it", got, word)
		}
	}
	return nil
}

// A request above Options.MaxRequests has its line.
func TestLineOfFullServer(t *testing.T) {
	release := make(chan struct{})
	s := variant{}.serveTCP(t, gentle(release), server.Options{MaxRequests: 1})
	first, second := s.peer(), s.peer()
	first.Write([]byte(get + "\r\n"))
	await(t, func() bool { return s.srv.Stats().HTTPOpen == 1 })
	if resp, err := second.request(get + "\r\n"); err != nil || resp.StatusCode != 503 {
		t.Errorf("got %v, %v", resp, err)
	}
	if err := theLine(s.logs, "http: request refused warn 503 Options.MaxRequests", second.LocalAddr().String()); err != nil {
		t.Error(err)
	}
	close(release)
}

// A message that is too large is answered with a reason, with compression and without.
func TestTooLargeHasItsReason(t *testing.T) {
	for _, extension := range []string{"X-Nothing: 1", "Sec-WebSocket-Extensions: permessage-deflate"} {
		s := variant{}.serveTCP(t, echoing(nil), server.Options{MaxMessage: 10, Compression: true})
		p := s.open(extension)
		p.send(fin|text, strings.Repeat("x", 1000))
		if code, reason := p.end(); code != 1009 || reason != "message is larger than the limit" {
			t.Errorf("%s: ended with %d %q", extension, code, reason)
		}
		p.Close()
	}
}
