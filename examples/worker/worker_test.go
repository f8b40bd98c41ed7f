package main

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// startSite makes a site on a layer with the durable queue, or with other options.
func startSite(t *testing.T, opts layers.Options) *asgitest.Site {
	if opts.Durables == nil {
		opts.Durables = durables
	}
	layer := memlayer.New(&opts)
	t.Cleanup(func() {
		if err := layer.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return asgitest.New(t, site()).With(&asgitest.Options{Layer: layer})
}

// startWorker runs a worker until stop is called, or to the end of the test.
func startWorker(site *asgitest.Site, pause time.Duration) (stop func() error) {
	return site.Work(worker(pause))
}

func upload(ws *asgitest.WebSocket, id string, file []byte) {
	ws.SendJSON(announcement{ID: id, Name: id + ".png"})
	ws.SendBinary(file)
}

// begun demands that the next report is that a worker has the picture.
func begun(t *testing.T, ws *asgitest.WebSocket, id string) {
	t.Helper()
	var r report
	ws.ReceiveJSON(&r)
	if r.ID != id || r.Worker == "" || r.Thumbnail != nil || r.Error != "" {
		t.Fatalf("the page hears %+v, want that a worker has %q", r, id)
	}
}

// made demands that the next report is a thumbnail of the picture.
func made(t *testing.T, ws *asgitest.WebSocket, id string, size int) *thumbnail {
	t.Helper()
	var r report
	ws.ReceiveJSON(&r)
	if r.ID != id || r.Thumbnail == nil || r.Thumbnail.Size != size {
		t.Fatalf("the page hears %+v, want the thumbnail of %q that fits into %d", r, id, size)
	}
	return r.Thumbnail
}

// refused demands that the next report says why there will be no thumbnails.
func refused(t *testing.T, ws *asgitest.WebSocket, id, why string) {
	t.Helper()
	var r report
	ws.ReceiveJSON(&r)
	if r.ID != id || r.Thumbnail != nil || !strings.Contains(r.Error, why) {
		t.Fatalf("the page hears %+v, want an error for %q with %q", r, id, why)
	}
}

func TestThumbnailsArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := startSite(t, layers.Options{})
		startWorker(site, 0)
		ann, bob := site.Dial("/ws/album/"), site.Dial("/ws/album/")
		upload(ann, "sea", jpegOf(t, paint(200, 100)))
		begun(t, ann, "sea")
		for i, want := range [][2]int{{48, 24}, {96, 48}, {192, 96}, {200, 100}} { // never larger than it was
			got := made(t, ann, "sea", sizes[i])
			img, err := png.Decode(bytes.NewReader(got.PNG))
			if err != nil {
				t.Fatal(err)
			}
			size := [2]int{img.Bounds().Dx(), img.Bounds().Dy()}
			if size != want || [2]int{got.Width, got.Height} != want {
				t.Errorf("size %d: a PNG of %v, called %d by %d, want %v", sizes[i], size, got.Width, got.Height, want)
			}
		}
		upload(bob, "marker", nil)
		begun(t, bob, "marker") // and nothing of Ann's
		ann.Disconnect()
		bob.Disconnect()
	})
}

// TestABadPictureIsToldOnce shows that a picture which cannot be decoded is no failed job: it does not come again.
func TestABadPictureIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := startSite(t, layers.Options{})
		startWorker(site, 0)
		ann := site.Dial("/ws/album/")
		upload(ann, "diary", []byte("dear diary"))
		upload(ann, "half", half(pngOf(t, paint(50, 50))))
		upload(ann, "huge", claim(t, 60_000, 60_000))
		upload(ann, "good", pngOf(t, paint(50, 50)))
		for _, bad := range [][2]string{{"diary", "no PNG"}, {"half", "damaged"}, {"huge", "60000 by 60000"}} {
			begun(t, ann, bad[0])
			refused(t, ann, bad[0], bad[1])
		}
		begun(t, ann, "good")
		for _, size := range sizes {
			made(t, ann, "good", size)
		}
		<-time.After(24 * time.Hour)
		ann.ExpectNothing()
	})
}

func TestTheSiteRefuses(t *testing.T) {
	t.Run("too many bytes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ann := startSite(t, layers.Options{}).Dial("/ws/album/")
			upload(ann, "large", make([]byte, maxBytes+1))
			refused(t, ann, "large", "at most 900 kB; this one has 901")
		})
	})
	t.Run("more than the workers can do", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			site := startSite(t, layers.Options{Durables: []layers.Durable{{Queues: queue, Capacity: 1}}})
			ann := site.Dial("/ws/album/")
			upload(ann, "first", make([]byte, maxBytes)) // as large as may be
			upload(ann, "second", nil)
			refused(t, ann, "second", "too much to do")
			startWorker(site, 0)
			begun(t, ann, "first")
			refused(t, ann, "first", "no PNG")
		})
	})
	for _, c := range []struct {
		name string
		send func(*asgitest.WebSocket)
		code int
	}{
		{"bytes without a word", func(ws *asgitest.WebSocket) { ws.SendBinary([]byte("GIF89a")) }, 1008},
		{"a word without an id", func(ws *asgitest.WebSocket) { ws.SendJSON(announcement{Name: "sea.png"}) }, 1008},
		{"an id without end", func(ws *asgitest.WebSocket) { ws.SendJSON(announcement{ID: strings.Repeat("i", maxText+1)}) }, 1008},
		{"two words", func(ws *asgitest.WebSocket) {
			ws.SendJSON(announcement{ID: "1"})
			ws.SendJSON(announcement{ID: "2"})
		}, 1008},
		{"no JSON", func(ws *asgitest.WebSocket) { ws.SendText("sea.png") }, 1007},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ws := startSite(t, layers.Options{}).Dial("/ws/album/")
				c.send(ws)
				if got := ws.ReceiveClose(); got.Code != c.code {
					t.Errorf("closed with %v, want %d", got, c.code)
				}
			})
		})
	}
}

// TestWhoAskedHasGone shows that the rest of a job is dropped, and that the worker goes on with the next one.
func TestWhoAskedHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := startSite(t, layers.Options{})
		startWorker(site, time.Minute)
		patient := &asgitest.Options{Timeout: time.Hour}
		ann, bob := site.DialWith("/ws/album/", patient), site.DialWith("/ws/album/", patient)
		upload(ann, "sea", pngOf(t, paint(400, 400)))
		begun(t, ann, "sea")
		made(t, ann, "sea", sizes[0])
		ann.Disconnect()
		since := time.Now()
		upload(bob, "hills", pngOf(t, paint(50, 50)))
		begun(t, bob, "hills")
		if waited := time.Since(since); waited < time.Minute+patience || waited > time.Minute+2*patience {
			t.Errorf("the next job began after %v, want a minute until the next report, and %v for whoever may come back", waited, patience)
		}
		for _, size := range sizes {
			made(t, bob, "hills", size)
		}
	})
}

// TestASlowWorkerKeepsItsJob shows that a job is not given to another worker while the first one lives, however long it
// takes.
func TestASlowWorkerKeepsItsJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := startSite(t, layers.Options{})
		startWorker(site, time.Minute) // far longer than the lease
		startWorker(site, time.Minute)
		ann := site.DialWith("/ws/album/", &asgitest.Options{Timeout: time.Hour})
		upload(ann, "sea", pngOf(t, paint(400, 400)))
		begun(t, ann, "sea")
		for _, size := range sizes {
			made(t, ann, "sea", size)
		}
		<-time.After(time.Hour)
		ann.ExpectNothing()
	})
}

// TestAnotherWorkerTakesOver plays a worker that dies with a job in its hands: nobody ends the job or renews the hold.
func TestAnotherWorkerTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := startSite(t, layers.Options{})
		ann := site.DialWith("/ws/album/", &asgitest.Options{Timeout: time.Hour})
		upload(ann, "sea", pngOf(t, paint(400, 400)))
		if _, err := site.Layer().Take(t.Context(), queue); err != nil {
			t.Fatal(err)
		}
		died := time.Now()
		startWorker(site, 0)
		begun(t, ann, "sea")
		if waited, lease := time.Since(died), durables[0].Lease; waited < lease || waited > 2*lease {
			t.Errorf("another worker has the job after %v, want it after the lease of %v", waited, lease)
		}
		for _, size := range sizes {
			made(t, ann, "sea", size)
		}
	})
}

// TestAWorkerThatStopsGivesBack ends a worker in the middle: its job is too long to wait for, and the other begins anew.
func TestAWorkerThatStopsGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := startSite(t, layers.Options{})
		ann := site.DialWith("/ws/album/", &asgitest.Options{Timeout: time.Hour})
		stop := startWorker(site, time.Minute)
		upload(ann, "sea", pngOf(t, paint(400, 400)))
		begun(t, ann, "sea")
		made(t, ann, "sea", sizes[0])
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		startWorker(site, 0)
		begun(t, ann, "sea")
		for _, size := range sizes {
			made(t, ann, "sea", size)
		}
	})
}

// TestAFullPageIsWaitedFor plays a page with room for one report.
func TestAFullPageIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := startSite(t, layers.Options{Capacity: 1})
		page, err := site.Layer().NewChannel(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		startWorker(site, 0)
		job := picture{ReplyTo: page, ID: "sea", Data: pngOf(t, paint(50, 50))}
		if err := site.Layer().Send(t.Context(), queue, thumbnailsWanted.With(job)); err != nil {
			t.Fatal(err)
		}
		var got []int
		for range 1 + len(sizes) {
			<-time.After(3 * time.Second) // the worker has long been waiting
			m, err := site.Layer().Receive(t.Context(), page)
			if err != nil {
				t.Fatal(err)
			}
			r, err := thumbnailsReport.Decode(m)
			if err != nil {
				t.Fatal(err)
			}
			if r.Thumbnail != nil {
				got = append(got, r.Thumbnail.Size)
			}
		}
		if len(got) != len(sizes) {
			t.Errorf("the page has got %v, want %v", got, sizes)
		}
	})
}

// TestAReportIsSentAgain shows which failures of a send are not believed, and for how long.
func TestAReportIsSentAgain(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name  string
		sends []error // what they return; the last one again and again
		want  error
		waits time.Duration
	}{
		{"at once", []error{nil}, nil, 0},
		{"a full page, then no word, then a channel that seems gone", []error{layers.ErrChannelFull, layers.ErrUncertain, layers.ErrNoChannel, nil}, nil, 3 * pace},
		{"a channel that is gone", []error{layers.ErrNoChannel}, layers.ErrNoChannel, patience},
		{"something else", []error{broken}, broken, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				err := tell(t.Context(), func(_ context.Context, channel string, m layers.Message) error {
					if r, err := thumbnailsReport.Decode(m); err != nil || r.ID != "sea" || channel != "a!b" {
						t.Errorf("%+v is sent to %q (%v)", r, channel, err)
					}
					err := c.sends[0]
					if len(c.sends) > 1 {
						c.sends = c.sends[1:]
					}
					return err
				}, picture{ID: "sea", ReplyTo: "a!b"}, report{})
				if waited := time.Since(begun); err != c.want || waited != c.waits {
					t.Errorf("%v after %v, want %v after %v", err, waited, c.want, c.waits)
				}
			})
		})
	}
	t.Run("until the worker stops", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), time.Hour)
			defer stop()
			full := func(context.Context, string, layers.Message) error { return layers.ErrChannelFull }
			if err := tell(ctx, full, picture{}, report{}); err != context.DeadlineExceeded {
				t.Errorf("%v, want the end of ctx", err)
			}
		})
	})
}

// TestDeadLetters shows that a page hears of a job at which workers have failed too often.
func TestDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := startSite(t, layers.Options{})
		ann := site.Dial("/ws/album/")
		upload(ann, "sea", pngOf(t, paint(50, 50)))
		job, err := site.Layer().Take(t.Context(), queue)
		if err != nil {
			t.Fatal(err)
		}
		if err := job.Bury(t.Context(), "three workers have died of it"); err != nil {
			t.Fatal(err)
		}
		startWorker(site, 0)
		refused(t, ann, "sea", "gave up")
	})
}
