package main

import (
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/testing/asgitest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws := asgitest.New(t, Echo).Dial("/anywhere/")
		for _, text := range []string{"hello", "", "grüße 🌊", "with a \x00 byte"} {
			ws.SendText(text)
			ws.ExpectText(text)
		}
		for _, data := range [][]byte{{}, {0, 1, 2}, {0xff, 0xfe}} {
			ws.SendBinary(data)
			ws.ExpectBinary(data)
		}
		ws.Disconnect()
	})
}
