package server

import "testing"

func FuzzAcceptsDeflate(f *testing.F) {
	for _, s := range []string{"permessage-deflate", "permessage-deflate; server_max_window_bits=\"15\"", ";;,,=", "permessage-deflate;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if acceptsDeflate([]string{s}) && !acceptsDeflate([]string{"other, " + s}) {
			t.Errorf("%q is acceptable alone and not as the second offer", s)
		}
	})
}
