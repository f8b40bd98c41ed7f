package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer"
	"go.uber.org/zap"
)

// sendCommand sends one notice and closes the layer.
func sendCommand(ctx context.Context, args []string, errs io.Writer) error {
	fs := flag.NewFlagSet("notify send", flag.ContinueOnError)
	fs.SetOutput(errs)
	url := fs.String("layer", "nats://127.0.0.1:4222", "`URL` of the NATS server that the site uses")
	channel := fs.String("channel", "", "`name` of the channel to send to")
	group := fs.String("group", "", "`name` of the group to send to")
	limit := fs.Duration("timeout", 5*time.Second, "how long it may take in all")
	if err := parse(fs, args); err != nil {
		return err
	}
	text := strings.Join(fs.Args(), " ")
	switch {
	case *channel == "" && *group == "":
		return mistake("say to whom: -channel NAME or -group NAME")
	case *channel != "" && *group != "":
		return mistake("give one of -channel and -group: a message goes to one tab, or to all of a group")
	case *channel != "" && !strings.Contains(*channel, "!"):
		return mistake(fmt.Sprintf("-channel %s: the channel of a tab has a ! in its name; put it in single quotes", *channel))
	case text == "":
		return mistake("say what: TEXT comes after the flags")
	case !strings.Contains(*url, "://"):
		return mistake(fmt.Sprintf("-layer %s: send needs the URL of the NATS server that the site uses, such as nats://127.0.0.1:4222", *url))
	}
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	layer, err := natslayer.Open(ctx, *url, &natslayer.Options{Logger: zap.NewNop()}) // the error says it all
	if err != nil {
		return err
	}
	n := notice{Text: text, Time: time.Now().UTC().Format(time.RFC3339)}
	err = send(ctx, layer, *channel, *group, n)
	return errors.Join(err, layer.Close(ctx)) // which sends what is buffered
}

// send sends to a channel, or to a group where channel is empty. Its errors say what they mean.
func send(ctx context.Context, layer *layers.Layer, channel, group string, n notice) error {
	if channel == "" {
		return layer.GroupSend(ctx, group, noticed.With(n))
	}
	err := layer.Send(ctx, channel, noticed.With(n))
	switch {
	case errors.Is(err, layers.ErrNoChannel):
		return fmt.Errorf("nobody is there: the connection has ended, or its site has lost the NATS server at this moment: %w", err)
	case errors.Is(err, layers.ErrChannelFull):
		return fmt.Errorf("there is too much to read already, try again later: %w", err)
	case errors.Is(err, layers.ErrUncertain):
		return fmt.Errorf("it may have arrived or not: %w", err)
	}
	return err
}

// parse parses a command line. The FlagSet has said what is wrong with it, so the error is short.
func parse(fs *flag.FlagSet, args []string) error {
	err := fs.Parse(args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return mistake("see above")
}
