// Package sessions gives HTTP and WebSocket connections the sessions of an alexedwards/scs site: same manager, same store,
// same cookie.
//
//	var manager = scs.New() // with any store that scs has
//
//	app := asgi.Wrap(routes, sessions.New(manager))
//
// Behind the middleware the methods of the manager work with the ctx of every handler, and with the context of requests
// behind [asgi.FromHandler]:
//
//	func (s *chat) connect(ctx context.Context, c *consumers.Conn) error {
//		s.name = manager.GetString(ctx, "name")
//		...
//
// Code that has a scope alone, such as a blocking handler, gets such a ctx from [Context].
//
// # Requests
//
// A session that was modified is saved when the response starts, before its headers leave, and its cookie goes with
// them, under the settings of the manager. A response with status 500 saves nothing. A session that was destroyed, or has
// lost its last value, is deleted, and so is its cookie. A manager with an IdleTimeout saves with every response, as scs
// does. What is modified after the start needs [Save].
//
// # WebSockets
//
// A session is read with the handshake and never saved by itself: the handler would have to guess when. [Save] saves.
// A socket keeps its copy for as long as it lasts, and requests change the session meanwhile, so a handler that writes
// reads again first:
//
//	ctx, err := sessions.Reload(ctx, manager)
//	if err != nil {
//		return err
//	}
//	manager.Put(ctx, "draft", text)
//	return sessions.Save(ctx, manager)
//
// A browser takes cookies from the answer to the handshake and from nothing later. So a session that gets a new token,
// because it is new or was renewed, can be saved until the socket is accepted: its cookie goes with the 101. Afterwards
// Save and [Renew] return [middleware.ErrResponseBegun].
//
// An IdleTimeout counts from the last save. A socket that is in use does not renew it, or an open tab would keep a
// session for ever; Reload and Save do.
//
// # Beside net/http
//
// A site whose http.Handlers are behind manager.LoadAndSave keeps it around them; pages and sockets then share their
// sessions through the store. LoadAndSave may also stand around the whole server: the middleware finds the session that
// it loaded and leaves the saving of responses to it. It also saves, after the handshake, what Connect has modified.
//
// Under this middleware no LoadAndSave is needed, and one that is there saves and sets the cookie as well.
//
// # Promises
//
//   - SE1 A session is saved under the token with which it was loaded, or a new one: never under one that a client made up.
//   - SE2 A session that was deleted elsewhere is not saved again: [ErrDeleted]. scs stores cannot compare and swap, so
//     a deletion in the very moment between the look and the save is overlooked.
//   - SE3 A cookie is set if and only if the session was saved or deleted, once, and before the headers leave.
//   - SE4 Connections share no session data: what one modifies, another sees after the one has saved and the other has
//     loaded or reloaded.
package sessions
