package server

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// String names the options that are not the defaults, in one line for a log, such as
//
//	Addr=":8000" PingInterval=off MaxWebSockets=50000 TLS=set
//
// Of what cannot be printed, and of certificates, it says only that they are set.
func (o Options) String() string {
	standard := reflect.ValueOf((&Options{Logger: zap.NewNop()}).resolve())
	given := reflect.ValueOf(o)
	var b strings.Builder
	for i := range given.NumField() {
		name, v := given.Type().Field(i).Name, given.Field(i)
		if v.IsZero() || v.Comparable() && name != "Logger" && v.Equal(standard.Field(i)) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s=%s", name, printed(v))
	}
	return b.String()
}

// printed is one option's value.
func printed(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case string, []string:
		return fmt.Sprintf("%q", x)
	case time.Duration:
		return orOffText(x < 0, x)
	case int:
		return orOffText(x < 0, x)
	case bool:
		return fmt.Sprint(x)
	case []Listener:
		return fmt.Sprint(x)
	}
	return "set"
}

func orOffText(off bool, v any) string {
	if off {
		return "off"
	}
	return fmt.Sprint(v)
}

// String is the address with what is special about it, such as "unix:/run/app.sock plain mode=0600".
func (l Listener) String() string {
	s := l.Addr
	if quoted := strconv.Quote(s); len(quoted) != len(s)+2 || strings.Contains(s, " ") {
		s = quoted
	}
	if l.Plain {
		s += " plain"
	}
	if l.ProxyProtocol {
		s += " proxy-protocol"
	}
	if l.Mode != 0 {
		s += fmt.Sprintf(" mode=%#o", l.Mode.Perm())
	}
	return s
}
