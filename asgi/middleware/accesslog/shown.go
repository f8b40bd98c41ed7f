package accesslog

import (
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// shownQuery is the query with "-" in the place of values that are not to be shown. What has no name is a value too.
func (o *Options) shownQuery(query string) string {
	if query == "" || slices.Contains(o.Query, "*") {
		return query
	}
	var shown strings.Builder
	for pair := range strings.SplitSeq(query, "&") {
		if shown.Len() > 0 {
			shown.WriteByte('&')
		}
		raw, _, found := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(raw)
		switch {
		case !found || err != nil:
			shown.WriteByte('-')
		case slices.Contains(o.Query, name):
			shown.WriteString(pair)
		default:
			shown.WriteString(raw + "=-")
		}
	}
	return shown.String()
}

func (o *Options) shownHeader(scope *asgi.Scope) []zap.Field {
	if len(o.Header) == 0 {
		return nil
	}
	header := scope.Header()
	var fields []zap.Field
	for _, name := range o.Header {
		if values := header[http.CanonicalHeaderKey(name)]; len(values) > 0 {
			fields = append(fields, zap.String(strings.ToLower(name), strings.Join(values, ", ")))
		}
	}
	return fields
}

// fileSize is how much of an open file is sent.
func fileSize(e asgi.HTTPResponseZeroCopySend) int64 {
	if e.Count > 0 || e.File == nil {
		return e.Count
	}
	info, err := e.File.Stat()
	if err != nil || e.Offset < 0 {
		return 0 // from wherever the file stood
	}
	return max(info.Size()-e.Offset, 0)
}

func pathSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
