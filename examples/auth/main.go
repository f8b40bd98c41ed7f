// Command auth is a site with a login: a page of notes that all tabs of one user share, and nobody else sees.
//
//	go run ./examples/auth
//
// serves http://127.0.0.1:8000 and prints the password of its users, ann and bob. Log in in two tabs: what is written in
// one shows in the other. Log out in one, and the other's socket is closed with 4401 and its page goes to the login.
//
// Sessions and sockets work across processes. Two copies that share a directory of sessions and a cluster are one site:
//
//	go run ./examples/auth -addr 127.0.0.1:8001 -sessions /tmp/sessions -password tides -cluster 127.0.0.1:7001 -routes 127.0.0.1:7002
//	go run ./examples/auth -addr 127.0.0.1:8002 -sessions /tmp/sessions -password tides -cluster 127.0.0.1:7002 -routes 127.0.0.1:7001
//
// Cookies do not know ports, so a browser that is logged in at one copy is logged in at both.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alexedwards/scs/v2/memstore"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/examples/internal/backend"
	"github.com/tideway-go/tideway/layers"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "`address` to listen on")
	password := flag.String("password", "", "the `password` of ann and of bob; default: one made up at each start")
	dir := flag.String("sessions", "", "a `directory` that keeps the sessions, for several copies or another start; default: memory")
	choice := backend.Flags(flag.CommandLine)
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "auth: %s: it takes flags only; -h tells them\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt does not wait

	if err := run(ctx, *addr, *password, *dir, choice); err != nil {
		fmt.Fprintln(os.Stderr, "auth:", err)
		os.Exit(1)
	}
}

// run serves a site until ctx ends, then gives what is on its way 10 s to leave.
func run(ctx context.Context, addr, password, dir string, choice *backend.Choice) error {
	if password == "" {
		password = rand.Text()
	}
	people, err := newAccounts(password, "ann", "bob")
	if err != nil {
		return err
	}
	sessions, err := newStore(dir)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	b, err := choice.Open(ctx, layers.Options{})
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	fmt.Printf("auth: open http://%s/ in two tabs and log in as ann or bob, password %s\n", ln.Addr(), password)
	err = serve(ctx, ln, newSite(people, sessions, b.Layer).app())
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, b.Close(closing))
}

// newStore is where sessions are kept.
func newStore(dir string) (store, error) {
	if dir == "" {
		return memstore.NewWithCleanupInterval(0), nil // the few sessions of an example need no cleaning
	}
	return newFileStore(dir)
}

// serve runs a site until ctx ends.
func serve(ctx context.Context, ln net.Listener, app asgi.App) error {
	return server.New(app, nil).Serve(ctx, ln)
}
