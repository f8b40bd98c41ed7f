package consumers_test

import (
	"context"
	"net/http"

	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// jobDone is what a long poll waits for.
type jobDone struct {
	Result string `json:"result"`
}

const jobFinished layers.Type[jobDone] = "job.finished"

// poll is the state of one request.
type poll struct{}

func (s *poll) handle(ctx context.Context, c *consumers.Conn, body []byte) error {
	group := "job." + string(body)
	if err := layers.CheckGroup(group); err != nil { // clients may send anything
		return c.Respond(ctx, http.StatusBadRequest, nil, []byte("no such job\n"))
	}
	return c.GroupAdd(ctx, group) // and no answer yet
}

func (s *poll) finished(ctx context.Context, c *consumers.Conn, v jobDone) error {
	return c.Respond(ctx, http.StatusOK, http.Header{"Content-Type": {"text/plain"}}, []byte(v.Result))
}

// A long poll: the request names a job, and is answered by the message that the job is done. A client that leaves
// before leaves the group, too.
func ExampleAsyncHTTPConsumer() {
	app := consumers.AsyncHTTPConsumer[poll]{
		MaxBody:  99,
		Handle:   (*poll).handle,
		Messages: []consumers.Handler[poll]{consumers.On(jobFinished, (*poll).finished)},
	}.App()
	serve(app)
}
