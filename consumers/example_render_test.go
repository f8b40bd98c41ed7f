package consumers_test

import (
	"encoding/binary"
	"math"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// price is what the market's feed sends to the group "prices".
type price struct {
	Symbol string  `json:"symbol"`
	Value  float64 `json:"value"`
}

const priceChanged layers.Type[price] = "price.changed"

// frame is a price as the clients of the ticker want it: eight bytes, then the symbol.
func frame(p price) (asgi.Frame, error) {
	data := binary.BigEndian.AppendUint64(nil, math.Float64bits(p.Value))
	return asgi.BinaryFrame(append(data, p.Symbol...)), nil
}

type ticker struct{}

var prices = consumers.AsyncWebsocketConsumer[ticker]{
	Groups:  []string{"prices"},
	Forward: []consumers.Forwarder{consumers.Render(priceChanged, frame)},
}.App()

// Render makes a message of any form, once for everybody in the process.
func ExampleRender() {
	serve(prices)
}
