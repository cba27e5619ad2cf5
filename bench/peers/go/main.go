// Trackerpeer is the tracker's impression and click routes as a Go service would have them: net/http, encoding/json and a
// buffered file, standard library only. It exists to be measured beside the tracker; see bench/README.md.
//
// What it leaves out, each to its own advantage: the bad lane's cap and masking, robots by user agent, client ids and
// times, and the promise itself: an answered hit is in a buffer of this process for up to 200 ms, where a kill -9 finds
// it.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	address := flag.String("listen", "127.0.0.1:8080", "address for hits")
	path := flag.String("events", "events.ndjson", "file that events are appended to")
	environment := flag.String("environment", "production", "written into each event")
	flag.Parse()
	log.SetFlags(0)

	// GOGC stays at its default: 400 and 1600 were measured and made no difference beyond the noise.
	if err := serve(*address, *path, *environment); err != nil {
		log.Fatal(err)
	}
}

func serve(address, path, environment string) error {
	journal, err := openJournal(path)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           routes(&tracker{journal: journal, ids: newIDs(), environment: environment}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       15 * time.Second,
		MaxHeaderBytes:    32 << 10,
	}
	stop, done := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer done()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err = <-failed:
		return err
	case <-stop.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err = server.Shutdown(grace); errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	return errors.Join(err, journal.close())
}
