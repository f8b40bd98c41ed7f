package consumers_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

func noHandle(*none, context.Context, *consumers.Conn, []byte) error { return nil }

func noStream(*none, context.Context, *consumers.Conn, io.Reader) error { return nil }

// TestStreamReads: the body is read while it comes, and answered while it is read.
func TestStreamReads(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Second} { // quick, and so late that the reading would pass to another
		synctest.Test(t, func(t *testing.T) {
			site, _ := site(t, request{Stream: func(_ *none, ctx context.Context, c *consumers.Conn, body io.Reader) error {
				if err := c.StartResponse(ctx, 200, nil); err != nil {
					return err
				}
				buf := make([]byte, 3)
				for {
					rest(ctx, pause)
					n, err := body.Read(buf)
					if n > 0 {
						if err := c.SendBody(ctx, []byte(strings.ToUpper(string(buf[:n]))), true); err != nil {
							return err
						}
					}
					if err == io.EOF {
						return c.SendBody(ctx, nil, false)
					}
					if err != nil {
						return err
					}
				}
			}}.App())
			x := site.Upload("POST", "/")
			x.SendBody("abcd")
			x.ExpectChunk("ABC")
			x.ExpectChunk("D")
			x.SendBody("")
			x.SendBody("e")
			x.ExpectChunk("E")
			x.ExpectNothing()
			x.EndBody()
			if r := x.Response(); string(r.Body) != "ABCDE" {
				t.Errorf("the response is %q", r.Body)
			}
			if err := x.Wait(); err != nil {
				t.Error(err)
			}
			if r := site.Request("GET", "/"); len(r.Body) != 0 || r.Status != 200 {
				t.Errorf("without a body: %d %q", r.Status, r.Body)
			}
		})
	}
}

// TestStreamBackpressure: a body that the handler does not read stays with the client.
func TestStreamBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parts, size = 50, 10_000
		read := make(chan bool)
		site, _ := site(t, request{Stream: func(_ *none, ctx context.Context, c *consumers.Conn, body io.Reader) error {
			<-read
			n, err := io.Copy(io.Discard, body)
			return errors.Join(err, c.Respond(ctx, 200, nil, fmt.Append(nil, n)))
		}, MaxBody: parts * size}.App())
		x := site.With(&asgitest.Options{Queue: 1, Timeout: time.Hour}).Upload("POST", "/")
		var sent atomic.Int32
		go func() { // ends with the body
			for range parts {
				x.SendBody(strings.Repeat("x", size))
				sent.Add(1)
			}
			x.EndBody()
		}()
		rest(t.Context(), time.Minute)
		if n := sent.Load(); n > 2 {
			t.Errorf("%d parts were taken for a handler that reads nothing", n)
		}
		close(read)
		if r := x.Response(); string(r.Body) != "500000" {
			t.Errorf("the handler has read %s bytes", r.Body)
		}
	})
}

// TestStreamClientLeaves: within the body Read says so; after it the handler's ctx ends at once.
func TestStreamClientLeaves(t *testing.T) {
	want := asgi.DisconnectError{By: asgi.ByClient}
	for _, whole := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			causes, whys := make(chan error, 1), make(chan asgi.DisconnectError, 2)
			site, _ := site(t, request{
				Stream: func(_ *none, ctx context.Context, c *consumers.Conn, body io.Reader) error {
					_, err := io.ReadAll(body)
					if whole != (err == nil) || !whole && !(errors.Is(err, io.ErrUnexpectedEOF) && errors.Is(err, asgi.ErrClosed)) {
						t.Errorf("reading ended with %v", err)
					}
					<-ctx.Done()
					causes <- context.Cause(ctx)
					return err
				},
				Disconnect: func(_ *none, _ context.Context, _ *consumers.Conn, why asgi.DisconnectError) error {
					whys <- why
					return nil
				},
			}.App())
			x := site.Upload("POST", "/")
			x.SendBody("half")
			rest(t.Context(), time.Second)
			if whole {
				x.EndBody()
			}
			rest(t.Context(), time.Second)
			x.Abandon()
			left := time.Now()
			if err := x.Wait(); err != nil {
				t.Errorf("Serve returned %v", err)
			}
			if cause := told(t, causes); cause != want || time.Since(left) != 0 {
				t.Errorf("ctx ended after %v with %v", time.Since(left), cause)
			}
			if why := told(t, whys); why != want || len(whys) > 0 {
				t.Errorf("Disconnect was told %v, and %d times more", why, len(whys))
			}
		})
	}
}

// TestStreamTooLarge: Case 124. A body of unknown length is refused when too much has come, if the handler says so.
func TestStreamTooLarge(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle func(ctx context.Context, c *consumers.Conn, body io.Reader) error
		status int
	}{
		{"case 124: the error is returned", func(ctx context.Context, c *consumers.Conn, body io.Reader) error {
			_, err := io.ReadAll(body)
			return err
		}, 413},
		{"answered all the same", func(ctx context.Context, c *consumers.Conn, body io.Reader) error {
			data, err := io.ReadAll(body)
			var deny asgi.Deny
			if !errors.As(err, &deny) || deny.Status != 413 || string(data) != "abc" {
				t.Errorf("read %q, %v", data, err)
			}
			return c.Respond(ctx, 202, nil, nil)
		}, 202},
		{"not read", func(ctx context.Context, c *consumers.Conn, body io.Reader) error {
			return c.Respond(ctx, 202, nil, nil)
		}, 202},
		{"case 124: not read, not answered", func(ctx context.Context, c *consumers.Conn, body io.Reader) error {
			return nil
		}, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site, _ := site(t, request{
					MaxBody: 4,
					Stream: func(_ *none, ctx context.Context, conn *consumers.Conn, body io.Reader) error {
						return c.handle(ctx, conn, body)
					},
					Messages: []consumers.Handler[none]{consumers.On(noted, func(*none, context.Context, *consumers.Conn, note) error { return nil })},
				}.App())
				x := site.Upload("POST", "/")
				x.SendBody("abc")
				x.SendBody("def")
				if status, _ := x.Start(); status != c.status {
					t.Errorf("got %d, want %d", status, c.status)
				}
				x.Abandon()
				if err := x.Wait(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestTooLargeByHeader: Case 124. Where Content-Length says too much, nothing is read, so the client is not asked to go on.
func TestTooLargeByHeader(t *testing.T) {
	for name, app := range map[string]asgi.App{
		"case 124: Handle": request{Handle: noHandle, MaxBody: 4}.App(),
		"case 124: Stream": request{Stream: noStream, MaxBody: 4}.App(),
		"case 124: none":   request{MaxBody: 4}.App(),
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(asgi.Handler{App: app, OnError: func(_ *asgi.Scope, err error) { t.Errorf("logged: %v", err) }})
			defer srv.Close()
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || res.StatusCode != 413 {
				t.Fatalf("the first that the client hears is %v, %v, want 413", res, err)
			}
			res.Body.Close()
			if !res.Close {
				t.Error("the connection stays open, though its body was not read")
			}
		})
	}
}

// TestStreamLeavesTheBody: a handler that answers later need not read: what comes is thrown away, and the client's leaving is
// heard.
func TestStreamLeavesTheBody(t *testing.T) {
	for _, answer := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			site, layer := site(t, request{
				Stream: func(_ *none, ctx context.Context, c *consumers.Conn, body io.Reader) error {
					return c.GroupAdd(ctx, "room")
				},
				Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
					return c.Respond(ctx, 200, nil, []byte(v.Text))
				})},
			}.App())
			x := site.With(&asgitest.Options{Queue: 1}).Upload("POST", "/")
			for range 100 {
				x.SendBody("abc")
			}
			x.EndBody()
			synctest.Wait()
			if answer {
				toRoom(t, layer, noted.With(note{Text: "later"}))
				if r := x.Response(); string(r.Body) != "later" {
					t.Errorf("got %q", r.Body)
				}
			}
			x.Abandon()
			if err := x.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBodyAfterItsHandler: a Read that outlives the handler ends with it, and later ones are errors.
func TestBodyAfterItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := make(chan error, 2)
		var kept io.Reader
		site, _ := site(t, request{Stream: func(_ *none, ctx context.Context, c *consumers.Conn, body io.Reader) error {
			kept = body
			c.Go(func(ctx context.Context) error {
				_, err := io.ReadAll(body)
				reads <- err
				return c.Respond(ctx, 200, nil, nil)
			})
			synctest.Wait()
			return nil
		}}.App())
		x := site.Upload("POST", "/")
		x.SendBody("abc")
		if err := told(t, reads); err == nil {
			t.Error("the read went on after the handler")
		}
		if r := x.Response(); r.Status != 200 {
			t.Errorf("got %d", r.Status)
		}
		if _, err := kept.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "its handler has returned") {
			t.Errorf("a later read: %v", err)
		}
		_ = x.Wait()
	})
}

// TestHTTPTrailers: what SendEvent sends completes a response too.
func TestHTTPTrailers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, _ := site(t, request{Handle: func(_ *none, ctx context.Context, c *consumers.Conn, _ []byte) error {
			for _, ev := range []asgi.Event{
				asgi.HTTPResponseEarlyHint{Links: []string{"</a.css>; rel=preload"}},
				asgi.HTTPResponseStart{Status: 200, Trailers: true},
				asgi.HTTPResponseBody{Body: []byte("body")},
				asgi.HTTPResponseTrailers{Header: http.Header{"X-Sum": {"1"}}},
			} {
				if err := c.SendEvent(ctx, ev); err != nil {
					return err
				}
			}
			return nil
		}}.App())
		x := site.Stream("GET", "/")
		r := x.Response()
		if string(r.Body) != "body" || r.Trailers.Get("X-Sum") != "1" || len(r.Hints) != 1 {
			t.Errorf("got %q, trailers %v, hints %v", r.Body, r.Trailers, r.Hints)
		}
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestSyncStream: the same for blocking handlers, of which a Limit lets one run: a client that leaves gives the place free.
func TestSyncStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, _ := site(t, consumers.SyncHTTPConsumer[none]{
			Limit: consumers.NewLimit(1),
			Stream: func(_ *none, c *consumers.SyncConn, body io.Reader) error {
				data, err := io.ReadAll(body)
				if err != nil {
					return err
				}
				return c.Respond(200, nil, data)
			},
		}.App())
		idle := site.Upload("POST", "/")
		idle.SendBody("never ends")
		synctest.Wait() // it has the place
		x := site.Upload("POST", "/")
		x.SendBody("a")
		x.SendBody("b")
		x.EndBody()
		synctest.Wait()
		x.ExpectNothing()
		idle.Abandon()
		if err := idle.Wait(); err != nil {
			t.Error(err)
		}
		if r := x.Response(); string(r.Body) != "ab" {
			t.Errorf("got %q", r.Body)
		}
	})
}
