package main

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"", "usage:"},
		{"sned", "sned is no command"},
		{"send", "say to whom"},
		{"send -channel a!b -group everyone hello", "give one of -channel and -group"},
		{"send hello", "say to whom"},
		{"send -channel ab hello", "has a ! in its name"},
		{"send -group everyone", "say what"},
		{"send -to everyone hello", "-to"},
		{"send -layer memory -group everyone hello", "needs the URL"},
		{"serve", "write serve -layer nats://"},
		{"serve -layer embedded", "write serve -layer nats://"},
		{"serve -port 80", "-port"},
		{"serve -layer embedded 8000", "flags only"},
	} {
		t.Run(c.args, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := run(t.Context(), strings.Fields(c.args), &out, &errs)
			if code != 2 || !strings.Contains(errs.String(), c.want) || out.Len() > 0 {
				t.Errorf("status %d, %q, %q; want status 2 and a line with %q", code, &out, &errs, c.want)
			}
		})
	}
	for _, help := range []string{"-h", "--help", "help"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{help}, &out, &errs); code != 0 || errs.String() != usage {
			t.Errorf("%s: status %d, %q; want 0 and the usage", help, code, &errs)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"send", "-h"}, &out, &errs); code != 0 || !strings.Contains(errs.String(), "-channel") {
		t.Errorf("send -h: status %d, %q; want 0 and the flags", code, &errs)
	}
}

// A name that can be none's is a mistake in the command line.
func TestInvalidNames(t *testing.T) {
	srv, err := embedded.Start(t.Context(), &embedded.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close(t.Context())
	for _, to := range [][]string{{"-group", "every one"}, {"-channel", "a b!c"}} {
		var out, errs bytes.Buffer
		args := append([]string{"send", "-layer", srv.ClientURL()}, append(to, "hello")...)
		if code := run(t.Context(), args, &out, &errs); code != 2 || !strings.Contains(errs.String(), "invalid name") {
			t.Errorf("%q: status %d, %q; want 2 and the rule", args, code, &errs)
		}
	}
}
