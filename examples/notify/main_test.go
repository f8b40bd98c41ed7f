package main

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/goleak"
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
		{"send -channel a!b -group everyone hello", "say to whom"},
		{"send hello", "say to whom"},
		{"send -channel ab hello", "has a ! in its name"},
		{"send -group everyone", "say what"},
		{"send -to everyone hello", "-to"},
		{"send -layer memory -group everyone hello", "needs the URL"},
		{"serve", "write serve -layer nats://"},
		{"serve -layer embedded", "write serve -layer nats://"},
		{"serve -port 80", "-port"},
	} {
		t.Run(c.args, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := run(t.Context(), strings.Fields(c.args), &out, &errs)
			if code != 2 || !strings.Contains(errs.String(), c.want) || out.Len() > 0 {
				t.Errorf("status %d, %q, %q; want status 2 and a line with %q", code, &out, &errs, c.want)
			}
		})
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"send", "-h"}, &out, &errs); code != 0 || !strings.Contains(errs.String(), "-channel") {
		t.Errorf("send -h: status %d, %q; want 0 and the flags", code, &errs)
	}
}
