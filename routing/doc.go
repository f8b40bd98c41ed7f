// Package routing has the apps that choose an app: [Protocols] by the type of the scope, [URLs] by the path, [Channels]
// by the name of a channel.
//
//	app := routing.Protocols(map[string]asgi.App{
//		asgi.HTTP: pages,
//		asgi.WebSocket: routing.URLs(
//			routing.Path("/ws/chat/{room}/", chat),
//			routing.Path("/ws/user/{id:int}/", user),
//			routing.Mount("/ws/admin/", adminOnly(routing.URLs(
//				routing.Path("/log/", log),
//			))),
//		),
//	})
//
// # Patterns
//
// A pattern is a path that begins with a slash and matches whole paths: unlike those of [net/http.ServeMux], one that
// ends with a slash does not match what lies below it; write {rest...} or [Mount] for that. A parameter takes the place of
// a whole segment.
//
//	pattern             matches                 does not match
//	/                   /  //                   /x
//	/chat/              /chat/                  /chat  /chat/x  /Chat/
//	/chat/{room}        /chat/a  /chat/a%2Fb    /chat/  /chat/a/  /chat/a/b
//	/user/{id:int}/     /user/7/  /user/007/    /user/-7/  /user/7a/  /user/99999999999999999999/
//	/post/{s:slug}      /post/my-post_2         /post/my.post  /post/é
//	/job/{id:uuid}      /job/0187d0c1-…         /job/0187D0C1-…  (lower case only)
//	/files/{rest...}    /files/  /files/a/b     /files
//
// {name:str} is {name}: any segment that is not empty. Paths are taken apart as they were sent and each segment is
// decoded for itself, so that an encoded slash (%2F) is part of a segment and never ends one. Leading slashes count as one.
//
// [Regexp] is for what patterns cannot say.
//
// # Order, nesting, no route
//
// The first route that matches serves the connection. [Mount] hands a part of the path on: [URLs] below it, through
// whatever middleware, see the rest only, and [Param] finds the parameters of all levels, the innermost first.
//
// Without a route the error matches [ErrNoRoute], which servers answer with 404. An app below a URLs that returns it
// before it has received or sent anything lets the next route that matches have the connection: so an inner router, through
// any middleware, falls back to the outer one.
//
// The root path of a scope ([asgi.Scope.RootPath]) is cut off by the outermost URLs. It ends where a segment ends: with the
// root path /root, the path /rootws/ has no route.
//
// Mistakes in the set-up panic at once, with the line of the route and what to write instead: patterns that cannot be
// read, routes that can never be reached, apps that are nil.
package routing
