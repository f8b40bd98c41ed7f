package server_test

import (
	"context"
	"log"
	"net/http"
	"time"

	"golang.org/x/crypto/acme/autocert"

	"github.com/tideway-go/tideway/asgi/server"
)

// Certificates by ACME, as from Let's Encrypt. The handler on port 80 answers the challenge HTTP-01 and sends everybody else to
// https; where port 80 cannot be had, the challenge TLS-ALPN-01 on port 443 is enough.
func Example_acme() {
	manager := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		HostPolicy: autocert.HostWhitelist("www.example.org"),
		Cache:      autocert.DirCache("/var/lib/app/certificates"),
	}
	challenges := &http.Server{Addr: ":80", Handler: manager.HTTPHandler(nil), ReadHeaderTimeout: 5 * time.Second}
	go func() { log.Print(challenges.ListenAndServe()) }() // ends with Close
	defer challenges.Close()

	srv := server.New(hello, &server.Options{Addr: ":443", TLS: manager.TLSConfig()})
	if err := srv.RunUntilSignal(context.Background()); err != nil {
		log.Print(err)
	}
}
