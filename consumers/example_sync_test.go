package consumers_test

import (
	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// A database is a library that blocks and knows no ctx.
type database interface {
	Balance(account string) (int, error)
}

// transferred is sent to the group of an account whose balance has changed.
const transferred layers.Type[transfer] = "account.transferred"

type transfer struct {
	Account string `json:"account"`
}

// account is the state of one connection.
type account struct {
	db   database
	name string
}

func (s *account) connect(c *consumers.SyncConn) error {
	s.name = c.Scope().Header().Get("X-Account")
	if s.name == "" {
		return asgi.Deny{Status: 401}
	}
	return c.GroupAdd("account." + s.name)
}

func (s *account) changed(c *consumers.SyncConn, v transfer) error {
	balance, err := s.db.Balance(s.name) // may take its time: no other connection waits for it
	if err != nil {
		return err
	}
	return c.SendJSON(map[string]int{"balance": balance})
}

// accounts makes the consumer of a database that takes ten connections.
func accounts(db database) asgi.App {
	pool := consumers.NewLimit(10) // shared by all tables that use the database
	return consumers.SyncWebsocketConsumer[account]{
		New:      func(*asgi.Scope) *account { return &account{db: db} },
		Connect:  (*account).connect,
		Messages: []consumers.Handler[account]{consumers.OnSync(transferred, (*account).changed)},
		Limit:    pool,
	}.App()
}

// Handlers that block get no ctx and run to their end. A Limit keeps them from asking more of a resource than it has.
func ExampleSyncWebsocketConsumer() {
	var db database // = opened at start
	serve(accounts(db))
}
