package asgitest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
)

// maxShown bounds how much of a payload a failure text shows.
const maxShown = 200

// describe names an event for a failure text: its ASGI name, and in parentheses what it carries.
func describe(event asgi.Event) string {
	if event == nil {
		return "nil"
	}
	detail := ""
	switch e := event.(type) {
	case asgi.WebSocketConnect, asgi.WebSocketFlush, asgi.HTTPDisconnect:
	case asgi.WebSocketAccept:
		var parts []string
		if e.Subprotocol != "" {
			parts = append(parts, "subprotocol "+quote(e.Subprotocol))
		}
		detail = strings.Join(append(parts, headers(e.Header)...), ", ")
	case asgi.WebSocketReceive:
		detail = describeFrame(e.Frame)
	case asgi.WebSocketSend:
		detail = describeFrame(e.Frame)
		if e.More {
			detail += ", held back by More"
		}
	case asgi.WebSocketClose:
		detail = describeClose(e.Code, e.Reason)
	case asgi.WebSocketDisconnect:
		detail = describeClose(e.Code, e.Reason) + ", by the " + string(e.By)
	case asgi.WebSocketHTTPResponseStart:
		detail = strings.Join(append([]string{strconv.Itoa(e.Status)}, headers(e.Header)...), ", ")
	case asgi.HTTPResponseStart:
		detail = strings.Join(append([]string{strconv.Itoa(e.Status)}, headers(e.Header)...), ", ")
	case asgi.WebSocketHTTPResponseBody:
		detail = describeBody(e.Body, e.MoreBody)
	case asgi.HTTPResponseBody:
		detail = describeBody(e.Body, e.MoreBody)
	case asgi.HTTPRequest:
		detail = describeBody(e.Body, e.MoreBody)
	default:
		detail = strings.Trim(fmt.Sprintf("%+v", event), "{}")
	}
	if detail == "" {
		return event.EventType()
	}
	return event.EventType() + " (" + detail + ")"
}

func describeFrame(f asgi.Frame) string {
	if f.Binary {
		return "binary " + showBytes(f.Data)
	}
	return "text " + showText(string(f.Data))
}

func describeBody(body []byte, more bool) string {
	shown := showBytes(body)
	if utf8.Valid(body) {
		shown = showText(string(body))
	}
	if more {
		return shown + ", more follows"
	}
	return shown + ", the last"
}

func describeClose(code int, reason string) string {
	if reason == "" {
		return strconv.Itoa(code)
	}
	return strconv.Itoa(code) + " " + showText(reason)
}

// headers lists header fields in a fixed order.
func headers(h http.Header) []string {
	var list []string
	for name, values := range h {
		for _, value := range values {
			list = append(list, name+": "+value)
		}
	}
	slices.Sort(list)
	return list
}

// showText quotes text, and says how long it is where it is cut short.
func showText(text string) string {
	if len(text) <= maxShown {
		return quote(text)
	}
	end := maxShown
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s... of %d bytes", quote(text[:end]), len(text))
}

// showBytes shows bytes in hexadecimal, and how many they are.
func showBytes(b []byte) string {
	if len(b) <= maxShown/4 {
		return fmt.Sprintf("[% x] of %d bytes", b, len(b))
	}
	return fmt.Sprintf("[% x ...] of %d bytes", b[:maxShown/4], len(b))
}

// quote is text in quotation marks, with what cannot be printed escaped.
func quote(text string) string { return strconv.Quote(text) }
