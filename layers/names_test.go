package layers_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var names = []struct {
	name           string
	channel, group bool
}{
	{"chat", true, true},                                    // case 78
	{strings.Repeat("a", 400), false, false},                // case 78
	{"¯\\_(ツ)_/¯", false, false},                            // case 78
	{strings.Repeat("a", layers.MaxNameLength), true, true}, // case 79
	{strings.Repeat("a", 100), false, false},                // case 79
	{strings.Repeat("a", 98) + "!", true, false},            // case 79
	{"a\n", false, false},                                   // case 80
	{"٣", false, false},                                     // case 80
	{"a!é", false, false},                                   // case 80
	{"a!", true, false},                                     // case 81
	{"a!b!c", false, false},                                 // case 81
	{"a!b", true, false},                                    // case 81
	{"a:b", false, false},                                   // case 81
	{"", false, false},                                      // case 81
	{"!a", false, false},                                    // case 4
	{"a=b", false, false},                                   // case 4
	{"a+b", false, false},                                   // case 4
	{"!", false, false},                                     //
	{"a!!", false, false},                                   //
	{"a b", false, false},                                   //
	{"a\x00", false, false},                                 //
	{".a..b.", true, true},                                  //
	{"-_.Az09", true, true},                                 //
	{"a\xff", false, false},                                 //
	{strings.Repeat("é", 40), false, false},                 //
	{strings.Repeat("a", 50) + "!" + strings.Repeat("b", 48), true, false},
}

// TestNames asks every method. Cases 4, 78, 79, 80, 81.
func TestNames(t *testing.T) {
	ctx := t.Context()
	l := memlayer.New(nil)
	own, err := l.NewChannel(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m := note.With(text{"x"})
	for _, n := range names {
		for op, err := range map[string]error{
			"Send":         l.Send(ctx, n.name, m),
			"GroupAdd":     l.GroupAdd(ctx, "g", n.name),
			"GroupDiscard": l.GroupDiscard(ctx, "g", n.name),
			"EndChannel":   l.EndChannel(ctx, n.name),
		} {
			checkName(t, op, n.name, n.channel, err, "may have one '!', not first")
		}
		for op, err := range map[string]error{
			"GroupSend":    l.GroupSend(ctx, n.name, m),
			"GroupAdd":     l.GroupAdd(ctx, n.name, own),
			"GroupDiscard": l.GroupDiscard(ctx, n.name, own),
			"CheckGroup":   layers.CheckGroup(n.name),
		} {
			checkName(t, op+" (group)", n.name, n.group, err, "a group name is 1 to 99 ASCII letters")
		}
		if !n.channel {
			_, err := l.Receive(ctx, n.name)
			checkName(t, "Receive", n.name, false, err, "a channel name is 1 to 99 ASCII letters")
		}
	}
}

func checkName(t *testing.T, op, name string, valid bool, err error, rule string) {
	t.Helper()
	if got := !errors.Is(err, layers.ErrInvalidName); got != valid {
		t.Errorf("L1: %s(%q): %v, want valid = %v", op, name, err, valid)
	}
	if !valid && (err == nil || !strings.Contains(err.Error(), rule) || len(err.Error()) > 700) {
		t.Errorf("L1: %s(%q): the error must state the rule, it says: %v", op, name, err)
	}
}

// FuzzNames compares with the rule as regular expressions.
func FuzzNames(f *testing.F) {
	for _, n := range names {
		f.Add(n.name)
	}
	channel := regexp.MustCompile(`\A[a-zA-Z0-9\-_.]+(![a-zA-Z0-9\-_.]*)?\z`)
	group := regexp.MustCompile(`\A[a-zA-Z0-9\-_.]+\z`)
	l := memlayer.New(nil)
	f.Fuzz(func(t *testing.T, name string) {
		err := l.GroupDiscard(t.Context(), "g", name)
		if got, want := err == nil, channel.MatchString(name) && len(name) <= 99; got != want {
			t.Errorf("L1: channel %q: %v, want valid = %v", name, err, want)
		}
		err = l.GroupSend(t.Context(), name, note.With(text{}))
		if got, want := err == nil, group.MatchString(name) && len(name) <= 99; got != want {
			t.Errorf("L1: group %q: %v, want valid = %v", name, err, want)
		}
	})
}
