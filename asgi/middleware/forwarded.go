package middleware

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// readForwarded reads the header Forwarded from its end as clientOf does X-Forwarded-For. The element in which reading ends
// says scheme and host too: whoever wrote it was the proxy that the client had asked.
func (p *believer) readForwarded(lines []string) (told, error) {
	if len(lines) == 0 {
		return told{}, nil
	}
	elements, err := parseForwarded(strings.Join(lines, ","))
	if err != nil {
		return told{}, err
	}
	var t told
	for _, e := range slices.Backward(elements) { // each was written by somebody trusted, or reading had ended before
		if e.proto != "" {
			t.scheme = e.proto
		}
		if e.host != "" && p.opts.Host {
			t.host = e.host
		}
		addr, ok := parseNode(e.node)
		if !ok {
			break // "unknown", an obfuscated name, or nothing
		}
		t.client = addr.String()
		if !p.opts.Proxies.has(addr.Addr()) {
			break
		}
	}
	return t, nil
}

// A forwarded is one element of the header: what one proxy says.
type forwarded struct{ node, proto, host string }

// parseForwarded reads a list of elements (RFC 7239 section 4). It takes addresses without the quotes that they should have,
// since proxies write them so.
func parseForwarded(s string) (elements []forwarded, err error) {
	for s != "" {
		var e forwarded
		if e, s, err = parseElement(s); err != nil {
			return nil, err
		}
		if e != (forwarded{}) {
			elements = append(elements, e)
		}
	}
	return elements, nil
}

// parseElement reads to the next comma and returns what follows that.
func parseElement(s string) (e forwarded, rest string, err error) {
	seen := map[string]bool{}
	for {
		s = strings.TrimLeft(s, " \t")
		if s != "" && s[0] != ',' && s[0] != ';' {
			var name, value string
			if name, value, s, err = parsePair(s); err != nil {
				return e, "", err
			}
			if seen[name] {
				return e, "", fmt.Errorf("%q is there twice in one element", name)
			}
			seen[name] = true
			e.set(name, value)
			s = strings.TrimLeft(s, " \t")
		}
		switch {
		case s == "":
			return e, "", nil
		case s[0] == ',':
			return e, s[1:], nil
		case s[0] != ';':
			return e, "", fmt.Errorf("expected a comma or a semicolon before %q", s)
		}
		s = s[1:]
	}
}

func (e *forwarded) set(name, value string) {
	switch name {
	case "for":
		e.node = value
	case "proto":
		e.proto = value
	case "host":
		e.host = value
	}
}

// parsePair reads name=value, where value may be a quoted string (RFC 9110 section 5.6.4).
func parsePair(s string) (name, value, rest string, err error) {
	name, s, ok := strings.Cut(s, "=")
	if !ok || name == "" || strings.ContainsAny(name, " \t,;\"") {
		return "", "", "", errors.New("expected name=value")
	}
	name = strings.ToLower(name)
	quoted, isQuoted := strings.CutPrefix(s, `"`)
	if !isQuoted {
		end := strings.IndexAny(s, " \t,;\"")
		if end < 0 {
			end = len(s)
		}
		return name, s[:end], s[end:], nil
	}
	var text strings.Builder
	for i := 0; i < len(quoted); i++ {
		switch c := quoted[i]; {
		case c == '"':
			return name, text.String(), quoted[i+1:], nil
		case c == '\\' && i+1 < len(quoted):
			i++
			text.WriteByte(quoted[i])
		default:
			text.WriteByte(c)
		}
	}
	return "", "", "", errors.New("a quoted string has no end")
}
