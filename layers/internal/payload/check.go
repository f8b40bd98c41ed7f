package payload

import "errors"

// Check reads a whole message from the wire and returns its type. What it passes can be decoded.
func Check(data []byte) (typ string, err error) {
	typ, _, err = CheckTraced(data)
	return typ, err
}

// CheckTraced is [Check], and tells whether there is something for [CutTrace] to cut.
func CheckTraced(data []byte) (typ string, traced bool, err error) {
	r := reader{data: data}
	head, err := r.root()
	if err != nil {
		return "", false, err
	}
	for range head.n {
		key, err := r.key()
		if err != nil {
			return typ, traced, err
		}
		v, err := r.next()
		if err != nil {
			return typ, traced, err
		}
		switch string(key) {
		case TypeKey:
			if v.kind != kindText || len(v.raw) == 0 {
				return typ, traced, errors.New(`the "type" is not text, or is empty`)
			}
			if typ != "" {
				return typ, traced, errors.New(`there are two "type" keys`)
			}
			typ = string(v.raw)
		case TraceKey:
			traced = true
		case ReservedKey:
			return typ, traced, errors.New(`there is a key "` + ReservedKey + `", which is reserved`)
		}
		if err := r.skip(v); err != nil {
			return typ, traced, err
		}
	}
	switch {
	case len(r.data) > 0:
		return typ, traced, errors.New("there are bytes behind the message")
	case typ == "":
		return "", traced, errors.New(`there is no "type"`)
	default:
		return typ, traced, nil
	}
}

// root reads the head of a message.
func (r *reader) root() (token, error) {
	t, err := r.next()
	if err != nil {
		return token{}, err
	}
	if t.kind != kindMap {
		return token{}, errors.New("a message is a map, this is " + t.kind.String())
	}
	return t, r.enter()
}
