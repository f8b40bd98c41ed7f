package asgi

// LifespanStartup (received) asks the application to get ready. The server accepts no connection before the answer.
type LifespanStartup struct{}

// LifespanStartupComplete (sent) says that the application is ready.
type LifespanStartupComplete struct{}

// LifespanStartupFailed (sent) makes the server give up with Message.
type LifespanStartupFailed struct{ Message string }

// LifespanShutdown (received) comes after the last connection has ended.
type LifespanShutdown struct{}

// LifespanShutdownComplete (sent) says that the application has cleaned up; the server then exits.
type LifespanShutdownComplete struct{}

// LifespanShutdownFailed (sent) makes the server exit with an error that carries Message.
type LifespanShutdownFailed struct{ Message string }

// EventType is "lifespan.startup".
func (LifespanStartup) EventType() string { return "lifespan.startup" }

// EventType is "lifespan.startup.complete".
func (LifespanStartupComplete) EventType() string { return "lifespan.startup.complete" }

// EventType is "lifespan.startup.failed".
func (LifespanStartupFailed) EventType() string { return "lifespan.startup.failed" }

// EventType is "lifespan.shutdown".
func (LifespanShutdown) EventType() string { return "lifespan.shutdown" }

// EventType is "lifespan.shutdown.complete".
func (LifespanShutdownComplete) EventType() string { return "lifespan.shutdown.complete" }

// EventType is "lifespan.shutdown.failed".
func (LifespanShutdownFailed) EventType() string { return "lifespan.shutdown.failed" }
