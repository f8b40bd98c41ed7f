package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/testing/asgitest"
)

func withCookies(lines ...string) *asgi.Scope {
	return asgi.NewScope(asgi.Fields{Type: asgi.HTTP, Header: http.Header{"Cookie": lines}})
}

// Case 157. No cookie is an empty list, and several Cookie headers are one.
func TestCookiesOf(t *testing.T) {
	for _, tc := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"none", nil, ""},
		{"an empty header", []string{""}, ""},
		{"one", []string{"a=1"}, "a=1"},
		{"several in one header", []string{"a=1; b=2"}, "a=1 b=2"},
		{"several headers", []string{"a=1", "b=2; c=3"}, "a=1 b=2 c=3"},
		{"twice the same name", []string{"a=1", "a=2"}, "a=1 a=2"},
		{"a malformed one beside a good one", []string{"=x; a b=1; c=3"}, "c=3"},
		{"quoted", []string{`a="1 2"`}, "a=1 2"},
	} {
		scope := withCookies(tc.lines...)
		var got []string
		for _, c := range middleware.CookiesOf(scope) {
			got = append(got, c.Name+"="+c.Value)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
	if v, ok := middleware.CookieOf(withCookies("a=1", "a=2"), "a"); v != "1" || !ok {
		t.Errorf("of two cookies got %q, %v, want the first", v, ok)
	}
	if v, ok := middleware.CookieOf(withCookies("a="), "a"); v != "" || !ok {
		t.Errorf("an empty cookie gave %q, %v", v, ok)
	}
	if v, ok := middleware.CookieOf(withCookies("a=1"), "A"); v != "" || ok {
		t.Errorf("a cookie of another name gave %q, %v", v, ok)
	}
}

// Cookies are the same in one header and in several, wherever a client splits them.
func FuzzCookiesOf(f *testing.F) {
	f.Add("a", "1", "b", "2")
	f.Add("a", `"1"`, "a", "")
	f.Add("", "x", "b", "\xff")
	f.Fuzz(func(t *testing.T, a, av, b, bv string) {
		if strings.ContainsAny(a+av+b+bv, ";") {
			return
		}
		first, second := a+"="+av, b+"="+bv
		one := fmt.Sprint(middleware.CookiesOf(withCookies(first + "; " + second)))
		two := fmt.Sprint(middleware.CookiesOf(withCookies(first, second)))
		if one != two {
			t.Errorf("cookies %q and %q are %s in one header and %s in two", first, second, one, two)
		}
	})
}

// setting is an app that sets cookies and answers in one of the ways there are.
func setting(t *testing.T, set func(*asgi.Scope) error, answer func(context.Context, asgi.Send) error) asgi.App {
	return middleware.Cookies(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if _, err := receive(ctx); err != nil {
			return err
		}
		if err := set(scope); err != nil {
			t.Error(err)
		}
		return answer(ctx, send)
	}))
}

func events(list ...asgi.Event) func(context.Context, asgi.Send) error {
	return func(ctx context.Context, send asgi.Send) error {
		for _, e := range list {
			if err := send(ctx, e); err != nil {
				return err
			}
		}
		return nil
	}
}

func returning(err error) func(context.Context, asgi.Send) error {
	return func(context.Context, asgi.Send) error { return err }
}

// Every answer that an app gives carries its cookies, beside the headers that it has already.
func TestCookiesLeaveWithTheAnswer(t *testing.T) {
	const cookie = "Testing-Key=testing-value; Path=/; SameSite=Lax"
	set := func(s *asgi.Scope) error {
		return middleware.SetCookie(s, &http.Cookie{Name: "Testing-Key", Value: "testing-value"})
	}
	own := http.Header{"Set-Cookie": {"own=1"}, "X-Own": {"yes"}}
	want := []string{"own=1", cookie}
	deny := asgi.Deny{Status: 401, Header: own, Body: []byte("who?")}
	for name, tc := range map[string]struct {
		websocket bool
		status    int
		body      string
		answer    func(context.Context, asgi.Send) error
		want      []string
	}{
		"response":          {false, 200, "hi", events(asgi.HTTPResponseStart{Status: 200, Header: own}, asgi.HTTPResponseBody{Body: []byte("hi")}), want},
		"no other headers":  {false, 200, "", events(asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{}), want[1:]},
		"Deny of a request": {false, 401, "who?", returning(deny), want},
		"101":               {true, 101, "", events(asgi.WebSocketAccept{Header: own}, asgi.WebSocketClose{}), want},
		"Deny":              {true, 401, "who?", returning(deny), want},
		"Deny, wrapped":     {true, 401, "who?", returning(fmt.Errorf("app: %w", deny)), want},
		"denial response": {true, 401, "who?", events(asgi.WebSocketHTTPResponseStart{Status: 401, Header: own},
			asgi.WebSocketHTTPResponseBody{Body: []byte("who?")}), want},
		"close before the accept": {true, 403, "", events(asgi.WebSocketClose{Code: 4001}), want[1:]},
		"CloseError":              {true, 403, "", returning(asgi.CloseError{Code: 4001}), want[1:]},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site := asgitest.New(t, setting(t, set, tc.answer))
				var status int
				var header http.Header
				var body string
				switch {
				case tc.status == 101:
					ws := site.Dial("/")
					status, header = 101, ws.Header()
					ws.ExpectClose(1000, "")
				case tc.websocket:
					r := site.Refused("/")
					status, header, body = r.Status, r.Header, string(r.Body)
				default:
					r := site.Request("GET", "/")
					status, header, body = r.Status, r.Header, string(r.Body)
				}
				if got := header["Set-Cookie"]; status != tc.status || body != tc.body || !slices.Equal(got, tc.want) {
					t.Errorf("got %d %q with cookies %q, want %d %q with %q", status, body, got, tc.status, tc.body, tc.want)
				}
				if len(own["Set-Cookie"]) != 1 {
					t.Errorf("the app's own header became %q", own)
				}
			})
		})
	}
}

// Without cookies nothing that an app sends or returns is changed.
func TestCookiesChangeNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := errors.New("failed")
		for _, err := range []error{nil, failed, asgi.Deny{Status: 404}, asgi.CloseError{Code: 4001}} {
			app := middleware.Cookies(asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return err }))
			got := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), nil, nil)
			if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", err) {
				t.Errorf("got %#v, want %#v", got, err)
			}
		}
		frame := asgi.TextFrame("x")
		sent := []asgi.Event{asgi.WebSocketAccept{}, asgi.WebSocketSend{Frame: frame, Prepared: asgi.Prepare(frame), More: true},
			asgi.WebSocketFlush{}, asgi.WebSocketClose{Code: 4000, Reason: "bye"}}
		raw := asgitest.New(t, middleware.Cookies(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			return events(sent...)(ctx, send)
		}))).Raw(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}))
		for _, e := range sent {
			raw.Expect(e)
		}
		if err := raw.Wait(); err != nil {
			t.Error(err)
		}
		refused := asgitest.New(t, middleware.Cookies(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			return send(ctx, asgi.WebSocketClose{Code: 4001})
		}))).Refused("/")
		if refused.Code != 4001 {
			t.Errorf("a close before the accept became %v", refused)
		}
	})
}

// A server without denial responses gets the close, and the cookies are lost with it.
func TestCookiesWithoutDenialResponses(t *testing.T) {
	set := func(s *asgi.Scope) error { return middleware.SetCookie(s, &http.Cookie{Name: "a"}) }
	var sent []asgi.Event
	send := func(_ context.Context, e asgi.Event) error { sent = append(sent, e); return nil }
	connect := func(context.Context) (asgi.Event, error) { return asgi.WebSocketConnect{}, nil }
	scope := asgi.NewScope(asgi.Fields{Type: asgi.WebSocket})
	if err := setting(t, set, events(asgi.WebSocketClose{Code: 4001})).Serve(t.Context(), scope, connect, send); err != nil {
		t.Fatal(err)
	}
	if len(sent) != 1 || sent[0] != (asgi.WebSocketClose{Code: 4001}) {
		t.Errorf("sent %v", sent)
	}
}

// Case 148. The text of a cookie is "Testing-Key=testing-value; Path=/; SameSite=lax", with the capital of net/http, which
// browsers do not tell apart.
// Case 149. Values are respected, and a SameSite that does not exist is an error.
func TestSetCookie(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cookie *http.Cookie
		scheme string
		want   string // the header, or what the error contains
		fails  bool
	}{
		{"case 148: defaults", &http.Cookie{Name: "Testing-Key", Value: "testing-value"}, "http", "Testing-Key=testing-value; Path=/; SameSite=Lax", false},
		{"case 149: strict", &http.Cookie{Name: "a", SameSite: http.SameSiteStrictMode}, "http", "a=; Path=/; SameSite=Strict", false},
		{"no SameSite", &http.Cookie{Name: "a", SameSite: http.SameSiteDefaultMode}, "http", "a=; Path=/", false},
		{"case 149: no such SameSite", &http.Cookie{Name: "a", SameSite: 5}, "http", "SameSite is 5", true},
		{"a negative SameSite", &http.Cookie{Name: "a", SameSite: -1}, "http", "SameSite is -1", true},
		{"everything", &http.Cookie{Name: "a", Value: "1", Path: "/x", Domain: "example.org", MaxAge: 60, Secure: true, HttpOnly: true}, "http",
			"a=1; Path=/x; Domain=example.org; Max-Age=60; HttpOnly; Secure; SameSite=Lax", false},
		{"https", &http.Cookie{Name: "a"}, "https", "a=; Path=/; Secure; SameSite=Lax", false},
		{"wss", &http.Cookie{Name: "a"}, "wss", "a=; Path=/; Secure; SameSite=Lax", false},
		{"None over http", &http.Cookie{Name: "a", SameSite: http.SameSiteNoneMode}, "http", "only with Secure", true},
		{"None over https", &http.Cookie{Name: "a", SameSite: http.SameSiteNoneMode}, "https", "a=; Path=/; Secure; SameSite=None", false},
		{"Partitioned over http", &http.Cookie{Name: "a", Partitioned: true}, "http", "artitioned", true},
		{"__Host-", &http.Cookie{Name: "__Host-a"}, "https", "__Host-a=; Path=/; Secure; SameSite=Lax", false},
		{"__Host- over http", &http.Cookie{Name: "__Host-a"}, "http", "__Host- needs", true},
		{"__Host- below a path", &http.Cookie{Name: "__Host-a", Path: "/x"}, "https", "__Host- needs", true},
		{"__Host- with a domain", &http.Cookie{Name: "__host-a", Domain: "example.org"}, "https", "__Host- needs", true},
		{"__Secure- over http", &http.Cookie{Name: "__secure-a"}, "http", "__Secure- needs", true},
		{"an empty name", &http.Cookie{}, "http", "Name", true},
		{"a bad name", &http.Cookie{Name: "a b"}, "http", "Name", true},
		{"a bad value", &http.Cookie{Name: "a", Value: "1;2"}, "http", "Value", true},
		{"a line end", &http.Cookie{Name: "a", Value: "1\r\nX: y"}, "http", "Value", true},
		{"a bad domain", &http.Cookie{Name: "a", Domain: "b c"}, "http", "omain", true},
		{"before 1601", &http.Cookie{Name: "a", Expires: time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC)}, "http", "1601", true},
		{"nil", nil, "http", "pass &http.Cookie", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var err error
			app := middleware.Cookies(page(func(s *asgi.Scope) error {
				err = middleware.SetCookie(s, tc.cookie)
				return nil
			}))
			r := asgitest.New(t, app).With(&asgitest.Options{Scheme: tc.scheme}).Request("GET", "/")
			got := strings.Join(r.Header["Set-Cookie"], "\n")
			switch {
			case tc.fails && (err == nil || !strings.Contains(err.Error(), tc.want) || got != ""):
				t.Errorf("got %q and the error %v, want none and one with %q", got, err, tc.want)
			case !tc.fails && (err != nil || got != tc.want):
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestDeleteCookie(t *testing.T) {
	app := middleware.Cookies(page(func(s *asgi.Scope) error {
		return errors.Join(middleware.SetCookie(s, &http.Cookie{Name: "a", Value: "1"}),
			middleware.SetCookie(s, &http.Cookie{Name: "b", Value: "1"}),
			middleware.SetCookie(s, &http.Cookie{Name: "a", Value: "2"}), // replaces the first
			middleware.SetCookie(s, &http.Cookie{Name: "a", Path: "/x"}), // another one
			middleware.SetCookie(s, &http.Cookie{Name: "a", Domain: "b.c"}),
			middleware.DeleteCookie(s, &http.Cookie{Name: "b", Value: "ignored", MaxAge: 5}),
			middleware.DeleteCookie(s, &http.Cookie{Name: "c", Path: "/x", Domain: "example.org"}))
	}))
	got := asgitest.New(t, app).Request("GET", "/").Header["Set-Cookie"]
	want := []string{
		"a=2; Path=/; SameSite=Lax",
		"b=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; SameSite=Lax",
		"a=; Path=/x; SameSite=Lax",
		"a=; Path=/; Domain=b.c; SameSite=Lax",
		"c=; Path=/x; Domain=example.org; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; SameSite=Lax",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	scope := asgi.NewScope(asgi.Fields{Type: asgi.HTTP})
	if err := middleware.DeleteCookie(scope, nil); err == nil {
		t.Error("deleting nil is no error")
	}
	if err := middleware.DeleteCookie(scope, &http.Cookie{Name: "a"}); err == nil || !strings.Contains(err.Error(), "put middleware.Cookies around the app") {
		t.Errorf("without the middleware: got %v", err)
	}
}

// The caller's cookie stays as it is, and what it does with it later is not sent.
func TestSetCookieKeepsNothing(t *testing.T) {
	c := &http.Cookie{Name: "a", Value: "1"}
	app := middleware.Cookies(page(func(s *asgi.Scope) error {
		if err := middleware.SetCookie(s, c); err != nil {
			return err
		}
		if c.Path != "" || c.SameSite != 0 {
			t.Errorf("the cookie became %v", c)
		}
		c.Value = "2"
		return nil
	}))
	if got := asgitest.New(t, app).Request("GET", "/").Header.Get("Set-Cookie"); !strings.HasPrefix(got, "a=1;") {
		t.Errorf("sent %q", got)
	}
}

// After the answer it is too late, on a socket and in a response; an answer that the server did not take was none.
func TestCookiesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := func(s *asgi.Scope) error { return middleware.SetCookie(s, &http.Cookie{Name: "a", Value: "1"}) }
		app := middleware.Cookies(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			answer, then := asgi.Event(asgi.HTTPResponseStart{Status: 200}), asgi.Event(asgi.HTTPResponseBody{})
			if scope.Type() == asgi.WebSocket {
				answer, then = asgi.WebSocketAccept{}, asgi.WebSocketClose{}
				if err := send(ctx, asgi.WebSocketAccept{Subprotocol: "not offered"}); err == nil {
					t.Error("the subprotocol was not refused")
				}
			}
			if err := set(scope); err != nil {
				t.Error(err)
			}
			if err := send(ctx, answer); err != nil {
				return err
			}
			if err := set(scope); !errors.Is(err, middleware.ErrResponseBegun) {
				t.Errorf("after the answer: got %v", err)
			}
			return send(ctx, then)
		}))
		site := asgitest.New(t, app)
		if got := site.Request("GET", "/").Header["Set-Cookie"]; len(got) != 1 {
			t.Errorf("a response has %q", got)
		}
		if got := site.Dial("/").Header()["Set-Cookie"]; len(got) != 1 {
			t.Errorf("a 101 has %q", got)
		}
	})
}

func TestCookiesNest(t *testing.T) {
	app := middleware.Cookies(middleware.Cookies(page(func(s *asgi.Scope) error {
		if v, _ := middleware.CookieOf(s, "in"); v != "1" {
			t.Errorf("the client's cookie is %q", v)
		}
		return middleware.SetCookie(s, &http.Cookie{Name: "a"})
	})))
	site := asgitest.New(t, app).With(&asgitest.Options{Cookies: []*http.Cookie{{Name: "in", Value: "1"}}})
	if got := site.Request("GET", "/").Header["Set-Cookie"]; len(got) != 1 {
		t.Errorf("sent %q", got)
	}
}

// What a consumer returns for a panic is no refusal, whatever the value.
func TestCookiesLeavePanicsAlone(t *testing.T) {
	failure := &asgi.PanicError{Value: asgi.Deny{Status: 401}}
	app := setting(t, func(s *asgi.Scope) error { return middleware.SetCookie(s, &http.Cookie{Name: "a"}) }, returning(failure))
	connect := func(context.Context) (asgi.Event, error) { return asgi.HTTPRequest{}, nil }
	if err := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP}), connect, nil); err != failure {
		t.Errorf("got %#v", err)
	}
}
