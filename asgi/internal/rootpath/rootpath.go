// Package rootpath says what a path may look like under which an application is mounted. The server's options and the headers of
// proxies are held to the same rule.
package rootpath

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Check says what is wrong with p, a decoded path, and what to write instead. Applications put it in front of the links and
// redirects that they make: "//evil.example" there is another host, and a line end another header. The root is "".
func Check(p string) error {
	switch {
	case p == "":
	case p[0] != '/':
		return errors.New(`write "", or a path that begins with a slash and ends without one, such as "/live"`)
	case !utf8.ValidString(p):
		return errors.New("it is not UTF-8: write it in UTF-8")
	case strings.ContainsFunc(p, unicode.IsControl):
		return errors.New(`it has a control character: write a path without, such as "/live"`)
	case strings.ContainsAny(p, "?#"):
		return fmt.Errorf("the path ends before %q: leave out what begins there", p[strings.IndexAny(p, "?#")])
	case strings.Contains(p, "%"):
		return errors.New(`it is percent-encoded: write it decoded, as "/a b" for "/a%20b"`)
	case clean(p) != p:
		return fmt.Errorf("browsers would take it for another path, or for another host: write %q", clean(p))
	}
	return nil
}

// clean is what browsers make of p: a backslash is a slash there.
func clean(p string) string {
	return strings.TrimSuffix(path.Clean(strings.ReplaceAll(p, `\`, "/")), "/")
}
