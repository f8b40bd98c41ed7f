package embedded_test

import (
	"context"
	"fmt"
	"log"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer"
	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

type text struct {
	Text string `json:"text"`
}

const note layers.Type[text] = "note"

// One process, nothing beside it: the layer is closed before the server.
func Example() {
	ctx := context.Background()
	srv, err := embedded.Start(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close(ctx)
	layer, err := natslayer.New(ctx, srv.Conn(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer layer.Close(ctx)

	if err := layer.Send(ctx, "jobs", note.With(text{"hello"})); err != nil {
		log.Fatal(err)
	}
	m, err := layer.Receive(ctx, "jobs")
	if err != nil {
		log.Fatal(err)
	}
	got, err := note.Decode(m)
	fmt.Println(got.Text, err)
	// Output: hello <nil>
}

// Two processes of a cluster, here in one. Real ones know each other's addresses beforehand and name them in Routes.
func Example_cluster() {
	ctx := context.Background()
	node := func() *embedded.Server {
		srv, err := embedded.Start(ctx, &embedded.Options{Cluster: &embedded.Cluster{
			Listen: "127.0.0.1:0", // a private address and a port of your choice, such as 10.0.0.1:6222
			User:   "tideway", Password: "from the environment",
		}})
		if err != nil {
			log.Fatal(err)
		}
		return srv
	}
	a, b := node(), node()
	defer a.Close(ctx)
	defer b.Close(ctx)
	if err := b.AddRoutes(ctx, a.ClusterAddr()); err != nil {
		log.Fatal(err)
	}
	if err := b.WaitPeers(ctx, 1); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(b.Peers()))
	// Output: 1
}
