package payload

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func TestAddress(t *testing.T) {
	message, err := Marshal("grp", &map[string]any{"x": 1})
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, 70_000)
	for i := range many {
		many[i] = strings.Repeat("c", i%99+1)
	}
	for _, c := range []struct {
		name  string
		names []string
		list  bool
		want  string // in hexadecimal
	}{
		{"case 28: text", []string{"a!b"}, false, "83a474797065a3677270a17801b05f5f617367695f6368616e6e656c5f5fa3612162"},
		{"case 28: a list", []string{"normal2"}, true, "83a474797065a3677270a17801b05f5f617367695f6368616e6e656c5f5f91a76e6f726d616c32"},
		{"two", []string{"a", "b"}, true, "83a474797065a3677270a17801b05f5f617367695f6368616e6e656c5f5f92a161a162"},
		{"many", many, true, ""},
	} {
		got := WithAddress(message, c.names, c.list)
		if c.want != "" && hex.EncodeToString(got) != c.want {
			t.Errorf("%s: %x, want %s", c.name, got, c.want)
		}
		body, to, err := CutAddress(got)
		if err != nil || !bytes.Equal(body, message) || !slices.Equal(to.Names, c.names) || to.List != c.list {
			t.Errorf("%s: back came %x for %d names (a list: %v), %v", c.name, body, len(to.Names), to.List, err)
		}
	}
	if body, to, err := CutAddress(message); err != nil || to.Names != nil || !bytes.Equal(body, message) {
		t.Errorf("case 29: without the field: %x, %v, %v", body, to, err)
	}
	sixteen, err := hex.DecodeString("de0010" + strings.Repeat("a161c0", 15) + "b05f5f617367695f6368616e6e656c5f5fa162")
	if err != nil {
		t.Fatal(err)
	}
	if body, to, err := CutAddress(sixteen); err != nil || !slices.Equal(to.Names, []string{"b"}) || body[0] != 0x8f {
		t.Errorf("a map of 16 becomes one of 15: %x, %v, %v", body, to, err)
	}
}

func TestBadAddress(t *testing.T) {
	const key = "b05f5f617367695f6368616e6e656c5f5f"
	for name, text := range map[string]string{
		"empty": "", "no map": "c0", "number": "81" + key + "01", "empty list": "81" + key + "90", "list of numbers": "81" + key + "9101",
		"cut list": "81" + key + "92a161", "cut": "81" + key, "key of bytes": "81c40161c0", "broken value before": "82a161d9" + key + "a162",
	} {
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, to, err := CutAddress(data); err == nil {
			t.Errorf("%s: no error, %v", name, to)
		}
	}
}

func FuzzCutAddress(f *testing.F) {
	f.Add([]byte{0x80})
	f.Add(WithAddress([]byte{0x81, 0xa4, 't', 'y', 'p', 'e', 0xa1, 'x'}, []string{"a!b", "c"}, true))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		body, to, err := CutAddress(data)
		if !bytes.Equal(data, before) {
			t.Fatal("the input has changed")
		}
		if err != nil {
			return
		}
		if typ, err := Check(body); err == nil && len(to.Names) > 0 {
			again, back, err := CutAddress(WithAddress(body, to.Names, to.List))
			if err != nil || !bytes.Equal(again, body) || !slices.Equal(back.Names, to.Names) || back.List != to.List {
				t.Fatalf("type %q: %x, %v, %v", typ, again, back, err)
			}
		}
	})
}
