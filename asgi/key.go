package asgi

// A Key names a typed value in scopes. Declare it once, beside the middleware that sets it:
//
//	var userKey = asgi.NewKey[User]("user")
//
//	func CurrentUser(scope *asgi.Scope) (User, bool) { return userKey.Get(scope) }
//
// Two keys are never equal, whatever their names. The zero Key panics when used: make one with [NewKey].
type Key[T any] struct {
	id *keyID
}

// keyID gives a key its identity; the name serves messages only.
type keyID struct{ name string }

// value is one link of the list of typed values of a Scope.
type value struct {
	key  *keyID
	v    any
	next *value
}

// NewKey makes a Key. The name appears in messages and need not be unique.
func NewKey[T any](name string) Key[T] { return Key[T]{id: &keyID{name}} }

// String is the name that the key was made with.
func (k Key[T]) String() string { return k.mustID().name }

// With returns a Scope like s that holds v under k.
func (k Key[T]) With(s *Scope, v T) *Scope {
	return &Scope{shared: s.shared, values: &value{key: k.mustID(), v: v, next: s.values}}
}

// Get returns the value under k, and whether there is one.
func (k Key[T]) Get(s *Scope) (v T, ok bool) {
	id := k.mustID()
	for n := s.values; n != nil; n = n.next {
		if n.key == id {
			v, _ = n.v.(T) // fails for a nil interface only, which is a value too
			return v, true
		}
	}
	return v, false
}

func (k Key[T]) mustID() *keyID {
	if k.id == nil {
		panic("asgi: a Key was used before it was made: write `var key = asgi.NewKey[T](\"name\")`")
	}
	return k.id
}

// LoggerKey holds the logger that the server chose for the connection, a *zap.Logger. The value is untyped
// because this package imports only the standard library; servers set it, consumers read it.
var LoggerKey = NewKey[any]("logger")
