package natslayer_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer"
	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

// openAliases opens a layer for each alias, from variables such as
//
//	TIDEWAY_LAYER_DEFAULT=nats://10.0.0.1:4222
//	TIDEWAY_LAYER_JOBS=nats://user:password@10.0.1.1:4222
//
// and registers it. What it returns closes them again.
func openAliases(ctx context.Context, aliases ...string) (end func(), err error) {
	var opened []string
	end = func() {
		for _, alias := range opened {
			if err := layers.Get(alias).Close(ctx); err != nil {
				fmt.Println(err)
			}
			layers.Register(alias, nil)
		}
	}
	for _, alias := range aliases {
		variable := "TIDEWAY_LAYER_" + strings.ToUpper(alias)
		url := os.Getenv(variable)
		if url == "" {
			return end, fmt.Errorf("%s is not set: give the URL of a NATS server, such as nats://127.0.0.1:4222", variable)
		}
		layer, err := natslayer.Open(ctx, url, nil)
		if err != nil {
			return end, fmt.Errorf("%s: %w", variable, err)
		}
		layers.Register(alias, layer)
		opened = append(opened, alias)
	}
	return end, nil
}

// Two aliases, each with a broker that the environment names: what connections say to each other, and background work.
func ExampleOpen_aliases() {
	ctx := context.Background()
	srv, err := embedded.Start(ctx, &embedded.Options{Listen: "127.0.0.1:0"}) // stands for two servers elsewhere
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close(ctx)
	os.Setenv("TIDEWAY_LAYER_DEFAULT", srv.ClientURL())
	os.Setenv("TIDEWAY_LAYER_JOBS", srv.ClientURL())

	end, err := openAliases(ctx, layers.Default, "jobs")
	defer end()
	if err != nil {
		fmt.Println(err)
		return
	}
	const resize layers.Type[struct{ Picture string }] = "resize"
	err = layers.Get("jobs").Send(ctx, "pictures", resize.With(struct{ Picture string }{"tide.png"}))
	m, _ := layers.Get("jobs").Receive(ctx, "pictures")
	fmt.Println(m.Type(), err)
	// Output: resize <nil>
}
