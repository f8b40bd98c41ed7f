package asgitest

import (
	"fmt"
	"net/http"
	"strings"
)

// checkStatus says why a response cannot have this status.
func checkStatus(status int) error {
	switch {
	case status == 0:
		return fmt.Errorf("field Status is missing: set it, to 200 for instance")
	case status < 200 || status > 999:
		return fmt.Errorf("status %d does not end a request: use 200 to 999", status)
	}
	return nil
}

// checkHeader says which header field cannot be sent (RFC 9110 section 5).
func checkHeader(h http.Header) error {
	for name, values := range h {
		if name == "" || strings.ContainsFunc(name, notToken) {
			return fmt.Errorf("header name %q: use letters, digits and hyphens", name)
		}
		for _, value := range values {
			if strings.ContainsAny(value, "\r\n\x00") {
				return fmt.Errorf("header %s has value %q: leave out line breaks and NUL", name, value)
			}
		}
	}
	return nil
}

// notToken is true for what a header name cannot contain.
func notToken(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
