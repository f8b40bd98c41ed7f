package asgi_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
)

func TestZeroCopySend(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("0123456789"); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		events []asgi.Event
		want   string
		length int64
	}{
		{"whole", []asgi.Event{asgi.HTTPResponseZeroCopySend{File: file}}, "0123456789", 10},
		{"from an offset", []asgi.Event{asgi.HTTPResponseZeroCopySend{File: file, Offset: 4}}, "456789", 6},
		{"a piece", []asgi.Event{asgi.HTTPResponseZeroCopySend{File: file, Offset: 4, Count: 2}}, "45", 2},
		{"own position", []asgi.Event{asgi.HTTPResponseZeroCopySend{File: file, Offset: -1, Count: 3}}, "345", 3},
		{"behind the end", []asgi.Event{asgi.HTTPResponseZeroCopySend{File: file, Offset: 99}}, "", 0},
		{"among parts", []asgi.Event{
			part("<"),
			asgi.HTTPResponseZeroCopySend{File: file, Count: 2, MoreBody: true},
			asgi.HTTPResponseZeroCopySend{File: file, Offset: 8, MoreBody: true},
			asgi.HTTPResponseBody{Body: []byte(">")},
		}, "<0189>", -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := file.Seek(3, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			r := get(t, app(func(ctx context.Context, c conn) error {
				if _, ok := c.scope.Extension("http.response.zerocopysend"); !ok {
					t.Error("scope does not name the extension")
				}
				for _, e := range append([]asgi.Event{startOK}, tt.events...) {
					if err := c.send(ctx, e); err != nil {
						return err
					}
				}
				return nil
			}))
			if got := body(t, r); got != tt.want || r.ContentLength != tt.length {
				t.Errorf("got %q, length %d; want %q, %d", got, r.ContentLength, tt.want, tt.length)
			}
			position, err := file.Seek(0, io.SeekCurrent)
			if want := int64(3); err != nil || tt.name != "own position" && position != want {
				t.Errorf("the file's position is %d, %v; want %d", position, err, want)
			}
		})
	}
}

// A pipe has no size: what it yields is sent in chunks, and a promised count must come.
func TestZeroCopySendOfAPipe(t *testing.T) {
	for _, count := range []int64{0, 5} {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = out.WriteString("hello")
		out.Close()
		r := get(t, app(func(ctx context.Context, c conn) error {
			if err := c.send(ctx, startOK); err != nil {
				return err
			}
			return c.send(ctx, asgi.HTTPResponseZeroCopySend{File: in, Offset: -1, Count: count})
		}))
		if got := body(t, r); got != "hello" {
			t.Errorf("count %d: got %q", count, got)
		}
		in.Close()
	}
}

func TestPathSend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(strings.Repeat("page\n", 20_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	url, client := serve(t, asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		if _, ok := c.scope.Extension("http.response.pathsend"); !ok {
			t.Error("scope does not name the extension")
		}
		if err := c.send(ctx, asgi.HTTPResponseStart{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}}); err != nil {
			return err
		}
		return c.send(ctx, asgi.HTTPResponsePathSend{Path: path})
	})})
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if got := body(t, r); len(got) != 100_000 || r.ContentLength != 100_000 || r.Header.Get("Content-Type") != "text/html" {
		t.Errorf("got %d bytes, length %d, %v", len(got), r.ContentLength, r.Header)
	}
	r, err = client.Head(url)
	if err != nil {
		t.Fatal(err)
	}
	if got := body(t, r); got != "" || r.ContentLength != 100_000 {
		t.Errorf("HEAD: body %q, length %d", got, r.ContentLength)
	}
}

// Files that cannot be sent are errors before anything reaches the client.
func TestFilesThatCannotBeSent(t *testing.T) {
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = file.WriteString("0123456789")
	closed, err := os.Open(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	defer file.Close()
	tests := []struct {
		name  string
		event asgi.Event
		want  string
	}{
		{"no file", asgi.HTTPResponseZeroCopySend{}, "File is nil"},
		{"bad offset", asgi.HTTPResponseZeroCopySend{File: file, Offset: -2}, "Offset is -2"},
		{"bad count", asgi.HTTPResponseZeroCopySend{File: file, Count: -1}, "Count is -1"},
		{"too many", asgi.HTTPResponseZeroCopySend{File: file, Offset: 4, Count: 7}, "6 bytes after offset 4"},
		{"closed", asgi.HTTPResponseZeroCopySend{File: closed}, fs.ErrClosed.Error()},
		{"relative path", asgi.HTTPResponsePathSend{Path: "file"}, "must be absolute"},
		{"no such file", asgi.HTTPResponsePathSend{Path: filepath.Join(dir, "none")}, "no such file"},
		{"directory", asgi.HTTPResponsePathSend{Path: dir}, "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := get(t, app(func(ctx context.Context, c conn) error {
				if err := c.send(ctx, startOK); err != nil {
					return err
				}
				if err := c.send(ctx, tt.event); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error is %v, want %q in it", err, tt.want)
				}
				return c.send(ctx, asgi.HTTPResponseBody{Body: []byte("else")})
			}))
			if got := body(t, r); got != "else" {
				t.Errorf("got %q, want what was sent instead", got)
			}
		})
	}
	o := outcomeOf(t, app(func(ctx context.Context, c conn) error {
		if err := c.send(ctx, startOK); err != nil {
			return err
		}
		if err := c.send(ctx, part("x")); err != nil {
			return err
		}
		return c.send(ctx, asgi.HTTPResponsePathSend{Path: file.Name()})
	}))
	if !o.cut || len(o.failures) != 1 || !strings.Contains(o.failures[0].Error(), "send HTTPResponsePathSend alone") {
		t.Errorf("a path among parts: cut %v, %v", o.cut, o.failures)
	}
}

// A source that ends before the count it promised cuts the response.
func TestSourceEndsTooSoon(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	_, _ = out.WriteString("hel")
	out.Close()
	o := outcomeOf(t, app(func(ctx context.Context, c conn) error {
		if err := c.send(ctx, startOK); err != nil {
			return err
		}
		err := c.send(ctx, asgi.HTTPResponseZeroCopySend{File: in, Offset: -1, Count: 5})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("error is %v, want ErrUnexpectedEOF", err)
		}
		return nil
	}))
	if !o.cut || len(o.failures) != 1 {
		t.Errorf("S6: a response, once begun, either completes or the connection is cut; cut %v, OnError heard %v", o.cut, o.failures)
	}
}
