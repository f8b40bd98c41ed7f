package asgi

import "fmt"

// PanicError is what a recovered panic becomes, so that whoever logs it can show where it happened. Servers and
// consumers recover panics of applications: one connection ends, no other notices.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // as [runtime/debug.Stack] gave it where the panic was recovered
}

// Error says the value; the stack is for the log.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value where it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
