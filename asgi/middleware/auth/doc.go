// Package auth says who a connection is: users by session, by bearer token, or by any function, for requests and
// WebSockets alike. A connection ends with its credentials: when they expire, and when they are revoked in any process.
//
// An [Authenticator] is made once, of a table for the site's own type of user:
//
//	var users = auth.New(auth.Options[Account]{
//		ID:      func(a Account) string { return a.Name },
//		Session: &auth.Session[Account]{Manager: manager, Load: load, Hash: func(a Account) string { return a.PasswordHash }},
//	})
//
//	app := asgi.Wrap(routes, sessions.New(manager), users.Middleware)
//
//	func (s *chat) connect(ctx context.Context, c *consumers.Conn) error {
//		me, ok := users.User(c.Scope())
//		...
//
// [Authenticator.Middleware] finds out who it is and lets everybody pass. [Authenticator.Require], around the routes that
// need a user, refuses the others with 401 and WWW-Authenticate, before a WebSocket is accepted.
//
// # Ways to say who one is
//
// They are tried in this order, and the first that finds credentials decides. Bad ones are refused with 401, they do not
// count as none; a session that is out of date does.
//
//   - Find, the site's own: a client certificate, a header of a trusted proxy.
//   - Token, bearer tokens: package auth/jwt verifies signed ones. They come in the Authorization header (RFC 6750), or, since
//     a browser's WebSocket cannot set that, among the subprotocols that it offers: new WebSocket(url, ["chat", "bearer."+token]).
//     A browser wants one of the offered back, and fails the connection otherwise: so it is where the page offers the
//     token alone, new WebSocket(url, ["bearer."+token]), and where the app chooses none of the others. Offer beside the token one
//     that the app chooses, or "bearer", which is chosen for an app that chooses none:
//     new WebSocket(url, ["bearer", "bearer."+token]). The one with the token is hidden from the app and never sent back. A token is
//     made of letters, digits and "-._~+/=", and in a subprotocol of those but "/" and "=".
//   - Query names a parameter of the URL for the token. Avoid it: URLs stand in logs of servers and proxies, in histories
//     and in Referer headers. The app does not see it.
//   - Session, users who have logged in. It needs sessions.New outside.
//   - FirstMessage: where nothing else is found, Require accepts a WebSocket and waits for a token in its first message.
//     The app runs afterwards, and what it does to refuse becomes a close: 4000 and the status.
//
// # Login and logout
//
// [Authenticator.Login] and [Authenticator.Logout] belong into requests. The response carries the cookie, the session is
// saved with it. On a WebSocket Login works in Connect, before the accept, and saves at once; on one that is accepted no
// cookie can be set any more, so it changes nothing and returns an error that says so. Logout works on a socket too.
//
// Passwords are the site's business: hash them with golang.org/x/crypto/bcrypt or argon2, and compare also for names that do
// not exist. So are forged requests (CSRF): the server refuses WebSockets of other origins by itself; around requests put
// [net/http.CrossOriginProtection], besides the SameSite attribute of the cookie.
//
// # The end of credentials
//
// A connection that has a user is closed with Options.CloseCode, 4401 by default, when its session or token expires, and
// when [Revoke] or a Logout names it. A WebSocket gets a close, and its app a disconnect as with every close; a request that
// has no response yet gets 401, and one that has, such as a stream of events, is cut. Revocations travel over the channel
// layer in one group for all processes. Without a registered layer (see Options.Layer) Logout reaches this process only. Each process keeps one channel for all its connections. As with every close, a handler that
// runs goes on, and what was read before is still handled.
//
// Any process that shares the layer can send one, also in Python: a message of the type "auth.revoked" with the key "user",
// and perhaps "session", "except" and "reason", to the group "auth.revoked." and the realm. So whoever may write to the broker
// can close connections.
//
// Revoke closes what is open. It does not keep anyone from coming back with the same cookie, so end the credentials first,
// then revoke: delete the session (Logout does), or change what Session.Hash covers, as a new password does.
//
// What the layer loses is found later: when it comes back from an outage all connections are checked anew, within 10 s, and
// each every Options.Recheck besides. A check reads the session, or verifies the token, again. Where the store fails, the
// connection stays until the next check, or until it expires: an outage of the store is not to end all connections.
//
// # Promises
//
//   - A1 Credentials that are bad are refused before the app runs; only a session that is out of date is none.
//   - A2 A token is never sent back, and the app sees neither the subprotocol nor the parameter that carried it.
//   - A3 Login gives the session a new token, so that one planted before is worth nothing.
//   - A4 No connection lasts longer than the credentials that it came with.
//   - A5 A revocation that the layer delivers closes every connection that it names, in every process, also one that is being
//     accepted: it gets 401, or its close right after the accept.
//   - A6 A revocation that the layer has lost is found by a check: within 10 s of its return, or after Options.Recheck.
//   - A7 Timers and checks end with their connection.
package auth
