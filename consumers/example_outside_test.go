package consumers_test

import (
	"net/http"

	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// headline is what visitors of the front page see at once.
type headline struct {
	Title string `json:"title"`
}

const published layers.Type[headline] = "news.published"

type frontPage struct{}

var FrontPage = consumers.AsyncWebsocketConsumer[frontPage]{
	Groups:  []string{"news"}, // every visitor's
	Forward: consumers.Types(published),
}.App()

// publish is an ordinary handler of a form.
func publish(w http.ResponseWriter, r *http.Request) {
	m := published.With(headline{Title: r.FormValue("title")})
	if err := layers.Get(layers.Default).GroupSend(r.Context(), "news", m); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// Any code may send to connections; it needs the layer and the name of a group.
func ExampleAsyncWebsocketConsumer_fromOutside() {
	http.HandleFunc("POST /publish", publish)
	serve(FrontPage)
}
