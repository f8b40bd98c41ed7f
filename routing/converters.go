package routing

import "strconv"

// A converter says which values a parameter takes.
type converter struct {
	name  string
	match func(string) bool
	// within are the other converters all of whose values this one takes too.
	within []string
}

// converters are those that a pattern may name.
var converters = []*converter{
	{name: "str", match: func(s string) bool { return s != "" }, within: []string{"int", "slug", "uuid"}},
	{name: "int", match: isInt},
	{name: "slug", match: isSlug, within: []string{"int", "uuid"}},
	{name: "uuid", match: isUUID},
}

func converterNamed(name string) *converter {
	for _, c := range converters {
		if c.name == name {
			return c
		}
	}
	return nil
}

// covers reports whether c takes every value that d takes.
func (c *converter) covers(d *converter) bool {
	if c == d {
		return true
	}
	for _, name := range c.within {
		if name == d.name {
			return true
		}
	}
	return false
}

// isInt reports whether s is digits that fit an int.
func isInt(s string) bool {
	if s == "" || s[0] == '+' || s[0] == '-' {
		return false
	}
	_, err := strconv.Atoi(s)
	return err == nil
}

func isSlug(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != ""
}

// isUUID reports whether s is a UUID in lower case (RFC 9562 section 4).
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}
