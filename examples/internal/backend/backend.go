// Package backend opens the channel layer that the flags of an example choose, so that the examples themselves show
// what is theirs. An application of yours has one of these three, and then it is a line or two:
//
//	layer := memlayer.New(nil)                              // one process
//	layer, err := natslayer.Open(ctx, "nats://...", nil)    // many, and a NATS server beside them
//	srv, err := embedded.Start(ctx, nil)                    // a NATS server inside, alone or one of a cluster
//	layer, err := natslayer.New(ctx, srv.Conn(), nil)
package backend

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/layers/natslayer"
	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

// Choice is what the flags say.
type Choice struct {
	layer, cluster, routes string
}

// Flags adds -layer, -cluster and -routes to a program's flags. Read the Choice after they were parsed.
func Flags(fs *flag.FlagSet) *Choice {
	c := new(Choice)
	fs.StringVar(&c.layer, "layer", "memory", "memory: this process alone; embedded: a NATS server inside it; nats://HOST:PORT: a NATS server elsewhere")
	fs.StringVar(&c.cluster, "cluster", "", "with -layer embedded, which it implies: the `address` at which the other processes of a cluster find this one, such as 127.0.0.1:7001")
	fs.StringVar(&c.routes, "routes", "", "the -cluster `addresses` of other processes, with commas between; one that runs is enough to find them all")
	return c
}

// A Backend is an open layer and what is behind it.
type Backend struct {
	Layer *layers.Layer
	// URL is where other programs on this machine find the same NATS server; empty if they cannot.
	URL    string
	server *embedded.Server
}

// Open opens the layer. Close it after everything that uses it has ended.
func (c *Choice) Open(ctx context.Context, opts layers.Options) (*Backend, error) {
	switch {
	case c.cluster != "" && strings.Contains(c.layer, "://"):
		return nil, fmt.Errorf("-cluster %s makes this process part of the broker, so -layer %s cannot be another: leave one of them out", c.cluster, c.layer)
	case c.cluster != "" || c.layer == "embedded":
		return c.embed(ctx, opts)
	case c.routes != "":
		return nil, errors.New("-routes are the other nodes of a cluster: name this one's own address with -cluster too")
	case c.layer == "memory":
		return &Backend{Layer: memlayer.New(&opts)}, nil
	case strings.Contains(c.layer, "://"):
		layer, err := natslayer.Open(ctx, c.layer, &natslayer.Options{Options: opts})
		if err != nil {
			return nil, err
		}
		return &Backend{Layer: layer, URL: c.layer}, nil
	}
	return nil, fmt.Errorf("-layer %s: it is memory, embedded, or a URL such as nats://127.0.0.1:4222", c.layer)
}

// embed starts a NATS server inside this process.
func (c *Choice) embed(ctx context.Context, opts layers.Options) (*Backend, error) {
	node := c.node()
	o := &natslayer.Options{Options: opts}
	if node != nil && len(opts.Durables) > 0 {
		// Jobs need JetStream on the nodes of the cluster, each under a name of its own that stays, and copies that
		// outlive a node.
		peers := len(node.Cluster.Routes) + 1
		if peers != 3 && peers != 5 {
			return nil, fmt.Errorf("-cluster: jobs are kept on 3 or 5 nodes, and -routes makes %d: name the 2 or 4 others", peers)
		}
		node.Name = "node-" + strings.NewReplacer(".", "-", ":", "-").Replace(c.cluster)
		node.Cluster.JetStreamPeers, o.Replicas = peers, 3
	}
	server, err := embedded.Start(ctx, node)
	if err != nil {
		return nil, err
	}
	layer, err := natslayer.New(ctx, server.Conn(), o)
	if err != nil {
		return nil, errors.Join(err, server.Close(ctx))
	}
	return &Backend{layer, server.ClientURL(), server}, nil
}

// Close sends what is buffered, and ends the layer and what is behind it.
func (b *Backend) Close(ctx context.Context) error {
	err := b.Layer.Close(ctx)
	if b.server != nil {
		err = errors.Join(err, b.server.Close(ctx))
	}
	return err
}

// node is the server inside as one node of a cluster; nil if it is alone.
func (c *Choice) node() *embedded.Options {
	if c.cluster == "" {
		return nil
	}
	cluster := &embedded.Cluster{Listen: c.cluster}
	if c.routes != "" {
		cluster.Routes = strings.Split(c.routes, ",")
	}
	return &embedded.Options{Listen: "127.0.0.1:0", Cluster: cluster}
}
