package routing

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A segment is what stands between two slashes of a pattern.
type segment struct {
	text string     // a literal, or the name of a parameter
	conv *converter // nil for a literal
	tail bool       // everything from here on; text is its name, or empty below Mount
}

// A pattern matches paths segment by segment. "/chat/" has two segments, the second of which is empty.
type pattern []segment

// parsePattern reads a pattern. Its errors say what to write instead.
func parsePattern(text string) (pattern, error) {
	if err := checkPattern(text); err != nil {
		return nil, err
	}
	var p pattern
	var names []string
	parts := strings.Split(text[1:], "/")
	for i, part := range parts {
		s, err := parseSegment(part)
		switch {
		case err != nil:
			return nil, err
		case s.tail && i < len(parts)-1:
			return nil, fmt.Errorf("%s must be the last segment", part)
		case part == "" && i < len(parts)-1:
			return nil, fmt.Errorf("it has an empty segment: remove one of the two slashes")
		case (s.conv != nil || s.tail) && slices.Contains(names, s.text):
			return nil, fmt.Errorf("two parameters are named %q: rename one", s.text)
		case s.conv != nil || s.tail:
			names = append(names, s.text)
		}
		p = append(p, s)
	}
	return p, nil
}

// djangoParam is a parameter in the syntax of Django.
var djangoParam = regexp.MustCompile(`<(?:(\w+):)?(\w+)>`)

// checkPattern refuses what people bring from elsewhere.
func checkPattern(text string) error {
	if strings.HasPrefix(text, "^") || strings.HasSuffix(text, "$") || strings.Contains(text, "(?P<") {
		return fmt.Errorf("it looks like a regular expression: use routing.Regexp")
	}
	if djangoParam.MatchString(text) {
		return fmt.Errorf("parameters stand in braces: write %q", fromDjango(text))
	}
	method, path, ok := strings.Cut(text, " ")
	switch {
	case ok && strings.HasPrefix(path, "/") && method == strings.ToUpper(method):
		return fmt.Errorf("a pattern has no method: write %q", path)
	case text == "":
		return fmt.Errorf(`it is empty: write "/"`)
	case text[0] != '/':
		return fmt.Errorf("it does not begin with a slash: write %q", "/"+text)
	case strings.ContainsAny(text, "?#"):
		return fmt.Errorf("only the path is matched: remove what follows %q", text[:strings.IndexAny(text, "?#")])
	}
	if plain, err := url.PathUnescape(text); err == nil && plain != text {
		return fmt.Errorf("paths are decoded before they are matched: write %q", plain)
	}
	return nil
}

// fromDjango is the pattern that the author of a Django path means.
func fromDjango(text string) string {
	text = djangoParam.ReplaceAllStringFunc(text, func(s string) string {
		switch m := djangoParam.FindStringSubmatch(s); m[1] {
		case "", "str":
			return "{" + m[2] + "}"
		case "path":
			return "{" + m[2] + "...}"
		default:
			return "{" + m[2] + ":" + m[1] + "}"
		}
	})
	return "/" + strings.TrimLeft(text, "/")
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func parseSegment(part string) (segment, error) {
	if !strings.ContainsAny(part, "{}") {
		if name, ok := strings.CutPrefix(part, ":"); ok && identifier.MatchString(name) {
			return segment{}, fmt.Errorf("parameters stand in braces: write {%s} for %s", name, part)
		}
		if part == "*" || part == "**" {
			return segment{}, fmt.Errorf("a star is no wildcard: write {name} for one segment, {name...} for the rest of the path")
		}
		return segment{text: part}, nil
	}
	inner, ok := strings.CutPrefix(part, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	if !ok || !closed || strings.ContainsAny(inner, "{}") {
		return segment{}, fmt.Errorf("%s: a parameter in braces is a whole segment: use routing.Regexp for a part of one", part)
	}
	name, kind, typed := strings.Cut(inner, ":")
	name, tail := strings.CutSuffix(name, "...")
	switch {
	case inner == "$":
		return segment{}, fmt.Errorf("{$} is not needed: a pattern matches whole paths")
	case !identifier.MatchString(name):
		return segment{}, fmt.Errorf("%s: the name of a parameter is letters, digits and _, such as {room}", part)
	case tail && typed:
		return segment{}, fmt.Errorf("%s: the rest of a path has no type: write {%s...}", part, name)
	case tail:
		return segment{text: name, tail: true}, nil
	case kind == "path":
		return segment{}, fmt.Errorf("%s: write {%s...} for the rest of the path", part, name)
	case !typed:
		kind = "str"
	}
	conv := converterNamed(kind)
	if conv == nil {
		return segment{}, fmt.Errorf("%s: there is no type %q: write one of str, int, slug, uuid", part, kind)
	}
	return segment{text: name, conv: conv}, nil
}

// match matches a path as it was sent, which begins with a slash. It appends what the parameters are, and returns what is
// left of the path below a Mount, or a slash.
func (p pattern) match(path string, params []param) (_ []param, rest string, ok bool) {
	at := 1
	for i, s := range p {
		if s.tail {
			if s.text == "" {
				return params, path[at-1:], true
			}
			value, ok := decode(path[at:])
			return append(params, param{s.text, value}), "/", ok
		}
		end := strings.IndexByte(path[at:], '/')
		if last := i == len(p)-1; last != (end < 0) {
			return nil, "", false
		}
		value := path[at:]
		if end >= 0 {
			value = path[at : at+end]
		}
		if value, ok = decode(value); !ok {
			return nil, "", false
		}
		switch {
		case s.conv == nil:
			if value != s.text {
				return nil, "", false
			}
		case !s.conv.match(value):
			return nil, "", false
		default:
			params = append(params, param{s.text, value})
		}
		at += end + 1
	}
	return params, "/", true
}

// decode undoes percent-encoding, without an allocation where there is none.
func decode(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	s, err := url.PathUnescape(s)
	return s, err == nil
}

// covers reports whether p matches every path that q matches.
func (p pattern) covers(q pattern) bool {
	for i, s := range p {
		switch {
		case i >= len(q):
			return false
		case s.tail:
			return true
		case q[i].tail:
			return false
		case s.conv == nil:
			if q[i].conv != nil || q[i].text != s.text {
				return false
			}
		case q[i].conv == nil:
			if !s.conv.match(q[i].text) {
				return false
			}
		case !s.conv.covers(q[i].conv):
			return false
		}
	}
	return len(p) == len(q)
}
