package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/testing/asgitest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if settings := os.Getenv(processEnv); settings != "" {
		if err := serveProcess(settings); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func TestChat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, app())
		ann, bob := site.Dial("/ws/chat/lobby/"), site.Dial("/ws/chat/lobby/")
		eve := site.Dial("/ws/chat/elsewhere/")
		ann.SendText(`{"message":"hello"}`)
		ann.ExpectText(`{"message":"hello"}`)
		bob.ExpectText(`{"message":"hello"}`)
		eve.SendText(`{"message":"marker"}`)
		eve.ExpectText(`{"message":"marker"}`)
	})
}

func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws := asgitest.New(t, app()).Dial("/ws/echo/")
		ws.SendText("hello")
		ws.ExpectText("hello")
		ws.SendBinary([]byte{0xff})
		ws.ExpectBinary([]byte{0xff})
	})
}

// TestProfiles takes a profile while the server runs, and looks that the listener ends with it.
func TestProfiles(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url := "http://" + ln.Addr().String() + "/debug/pprof/goroutine?debug=1"
	stopped := errors.New("stopped")
	err = withProfiles(t.Context(), ln, func(context.Context) error {
		answer, err := client.Get(url)
		if err != nil {
			t.Error(err)
			return stopped
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("a profile: %s, want 200", answer.Status)
		}
		return stopped
	})
	if !errors.Is(err, stopped) {
		t.Errorf("the server ended with %v, want what serving it returned", err)
	}
	if answer, err := client.Get(url); err == nil {
		answer.Body.Close()
		t.Error("profiles are still served")
	}
}
