// Command notify sends to browser tabs from outside: from a script, a cron job, another program.
//
//	go tool nats-server -a 127.0.0.1
//	go run ./examples/notify serve -layer nats://127.0.0.1:4222
//
// serves a page at http://127.0.0.1:8000. Each tab that shows it is a connection with a channel of its own, and a member of
// the group "everyone"; the page shows what the connection is sent, and the two commands that send to it:
//
//	go run ./examples/notify send -channel 'CHANNEL' Hello, you
//	go run ./examples/notify send -group everyone Hello, all
//
// A channel's name can be stored and used later, by any process that reaches the same NATS server. It is good as long as
// the connection lasts, and is never used again for another one.
//
// send opens a layer, sends once, closes the layer and exits. Its exit status is 0 when the message was sent: closing has
// flushed it. It is 1, with a line that says why, when nobody is at the channel, when the channel is full, when no server
// answers; 2 is a mistake in the command line. A group may be empty: that is no error, and nobody knows.
//
// The site can also bring the NATS server itself; it then prints the URL for send:
//
//	go run ./examples/notify serve -cluster 127.0.0.1:7001
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/tideway-go/tideway/layers"
)

const usage = `usage:
  notify serve [flags]                       the site; -h tells the flags
  notify send [flags] -channel NAME TEXT...  to one tab
  notify send [flags] -group NAME TEXT...    to all members of a group: everyone
`

// A mistake is an error in the command line: it ends the program with status 2.
type mistake string

func (m mistake) Error() string { return string(m) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt does not wait
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it returns its exit status.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	var err error
	switch command, rest := first(args); command {
	case "serve":
		err = serveCommand(ctx, rest, out, errs)
	case "send":
		err = sendCommand(ctx, rest, errs)
	case "-h", "-help", "--help", "help":
		fmt.Fprint(errs, usage)
	case "":
		err = mistake("no command\n" + usage)
	default:
		err = mistake(command + " is no command\n" + usage)
	}
	var m mistake
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &m), errors.Is(err, layers.ErrInvalidName):
		fmt.Fprintln(errs, "notify:", err)
		return 2
	default:
		fmt.Fprintln(errs, "notify:", err)
		return 1
	}
}

// first splits the first argument off; it is empty if there is none.
func first(args []string) (string, []string) {
	if len(args) == 0 {
		return "", nil
	}
	return args[0], args[1:]
}
