package embedded_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tideway-go/tideway/layers/natslayer/embedded"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAlone(t *testing.T) {
	t0 := time.Now()
	srv, err := embedded.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(t0))
	defer srv.Close(context.Background())
	js, _ := jetstream.New(srv.Conn())
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "X", Subjects: []string{"x"}, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "Y", Subjects: []string{"y"}}); err != nil {
		t.Log(err)
	}
	_, err = js.Publish(t.Context(), "y", []byte("hallo welt"))
	t.Log(err)
	_, err = js.Publish(t.Context(), "y", []byte("hallo welt"))
	t.Log(err)
	_ = nats.DefaultURL
}
