// Package middleware has the apps that stand around an app: each looks at a connection before the app does, and refuses it,
// changes its scope, or adds to its answer.
//
// Every middleware here is an [asgi.Middleware], or a function that makes one of its options, for requests and WebSockets
// alike. Scopes of other types, such as the lifespan, pass untouched. Middleware nests, and may stand around the whole
// application or around one route.
package middleware
