package redislayer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/layers"
)

// Waits between tries grow up to a limit, and no two are the same.
func TestPause(t *testing.T) {
	for try, want := range map[int]time.Duration{1: 50 * time.Millisecond, 3: 200 * time.Millisecond, 6: 1600 * time.Millisecond, 100: 2 * time.Second} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := pause(try)
			if seen[d] = true; d < want/2 || d >= want*3/2 {
				t.Errorf("L15: before try %d a pause of %v, want about %v", try, d, want)
			}
		}
		if len(seen) < 50 {
			t.Errorf("L15: 100 pauses before try %d have %d lengths", try, len(seen))
		}
	}
}

// tried are the lines about tries that failed.
func tried(logs *observer.ObservedLogs) []observer.LoggedEntry {
	return logs.FilterMessageSnippet("a try to connect failed").All()
}

// A connection that is cut, and cut again as often as it is made, is made once more after a pause that grows: what the layer notes
// of its tries are the pauses that it then makes. In the end channels hear that all is well, and are still members.
func TestReconnect(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, 1)
			cable := newTCPCable(t, 1)
			p := open(b, func(o *Options) { o.Hosts = cable.URLs() })
			channel, ear := p.channel(), p.ear()
			p.join("room", channel)
			cable.Cut()
			ear.want(t, layers.Down)
			const tries = 5
			eventually(t, func() bool { return len(tried(p.logs)) >= tries }, "L15: it is tried again")
			cable.Mend()
			ear.want(t, layers.Up)
			p.groupSend("room", "a")
			p.want(channel, "a")
			lines := tried(p.logs)
			for i, line := range lines {
				fields := line.ContextMap()
				d, _ := fields["pause"].(time.Duration)
				base := min(50*time.Millisecond<<i, 2*time.Second)
				if fields["try"] != int64(i+1) || d < base/2 || d >= base*3/2 {
					t.Errorf("L15: after try %d: try %v, a pause of %v, want about %v", i+1, fields["try"], d, base)
				}
				if i+1 < len(lines) && lines[i+1].Time.Sub(line.Time) < d {
					t.Errorf("L15: try %d comes %v after the one before, whose pause is %v", i+2, lines[i+1].Time.Sub(line.Time), d)
				}
			}
		})
	}
}

// As often as connections are lost and made again, nothing of them is left. The waits between are left out.
func TestReconnectsLeaveNothing(t *testing.T) {
	Long(t) // and not beside other tests, whose goroutines it would count
	const cycles, some = 10_000, 100
	quiet := func(o *Options) { o.Logger = zap.NewNop() }
	for name, open := range map[string]func(*bed) (*process, *link, func() error){
		"Core": func(b *bed) (*process, *link, func() error) {
			p := b.core(quiet)
			return p, &p.c.link, func() error { return p.c.session(p.c.shards[0]) }
		},
		"PubSub": func(b *bed) (*process, *link, func() error) {
			p := b.stations(quiet)
			return p, &p.ps.link, func() error { return p.ps.session(p.ps.shards[0], nil) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // with the other layer alone
			b := newBed(t, 1)
			p, link, session := open(b)
			channel := p.channel()
			ended := make(chan error, 1)
			var goroutines, files int
			for i := range cycles {
				link.down(0, "a host", errLost)
				go func() { // ends with the connection; waited for below
					err := session()
					for link.isLost(0) && t.Context().Err() == nil { // the cut was noticed here before it was where commands are sent
						err = session()
					}
					ended <- err
				}()
				eventually(t, func() bool { return !link.isLost(0) }, "L15: the connection is made")
				switch i {
				case 0:
					p.join("room", channel)
				case some:
					goroutines, files = runtime.NumGoroutine(), openFiles()
				case cycles - 1:
					p.groupSend("room", "a")
					p.want(channel, "a")
					if g, f := runtime.NumGoroutine(), openFiles(); g > goroutines+some || f > files+some {
						t.Errorf("L16: after %d connections there are %d goroutines and %d files, after %d there were %d and %d",
							cycles, g, f, some, goroutines, files)
					}
				}
				p.cable.Cut()
				if err := <-ended; err == nil {
					t.Fatal("L15: a connection that was cut is no error")
				}
				p.cable.Mend()
			}
		})
	}
}

// openFiles is how many files and connections the process has; 0 where the system does not tell.
func openFiles() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}

// What the server says of itself passes, what it says of the command does not.
func TestPasses(t *testing.T) {
	b := newBed(t, 1)
	for text, want := range map[string]bool{
		"LOADING Redis is loading the dataset in memory":                                         true,
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": true,
		"BUSYGROUP Consumer Group name already exists":                                           false,
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.":       true,
		"NOREPLICAS Not enough good replicas to write.":                                          true,
		"TRYAGAIN Multiple keys request during rehashing of slot":                                true,
		"unknown command 'BZPOPMIN'":                                                             false,
		"NOAUTH Authentication required.":                                                        false,
		"WRONGPASS invalid username-password pair or user is disabled.":                          false,
		"NOPERM this user has no permissions to run the 'evalsha' command":                       false,
		"DENIED Redis is running in protected mode because protected mode is enabled":            false,
		"READONLY You can't write against a read only replica.":                                  false,
		"WRONGTYPE Operation against a key holding the wrong kind of value":                      false,
	} {
		err := b.redis.Do(t.Context(), b.redis.B().Eval().Script("return redis.error_reply(ARGV[1])").Numkeys(0).Arg(text).Build()).Error()
		if err == nil || err.Error() != text {
			t.Fatalf("the answer %q is %v", text, err)
		}
		if got := passes(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%q passes: %t, want %t", text, got, want)
		}
	}
	for err, want := range map[error]bool{io.EOF: true, context.DeadlineExceeded: true, errLost: true, errUnsuited: false} {
		if got := passes(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v passes: %t, want %t", err, got, want)
		}
	}
}

// Without a deadline a layer has 10 s to connect.
func TestStartLimit(t *testing.T) {
	begun := time.Now()
	ctx, cancel := startLimit(t.Context())
	defer cancel()
	if end, ok := ctx.Deadline(); !ok || end.Before(begun.Add(10*time.Second)) || end.After(time.Now().Add(10*time.Second)) {
		t.Errorf("without a deadline the layer has until %v, want 10 s", end)
	}
	late, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	want, _ := late.Deadline()
	ctx, cancel = startLimit(late)
	defer cancel()
	if end, ok := ctx.Deadline(); !ok || !end.Equal(want) {
		t.Errorf("with a deadline of an hour the layer has until %v", end)
	}
}

// A server that says that it is not ready is tried again until it is, or until ctx ends.
func TestNotReadyAtStart(t *testing.T) {
	for word, start := range map[string]func(*testing.T) (port string, ready func()){
		"LOADING": loadingRedis, "BUSY": busyRedis, "MASTERDOWN": strayReplica,
	} {
		for name, open := range opens {
			t.Run(word+" "+name, func(t *testing.T) {
				t.Parallel()
				port, ready := start(t)
				o := Options{Hosts: []string{"redis://127.0.0.1:" + port}}
				begin := func() (opened chan error, giveUp func()) {
					ctx, cancel := context.WithTimeout(t.Context(), Patience)
					seen, logs := observer.New(zapcore.DebugLevel)
					own := o
					own.Logger = zap.New(seen)
					opened = make(chan error, 1)
					go func() { // ends with ctx at the latest; waited for below
						l, err := open(ctx, &own)
						if err == nil {
							err = l.Close(context.Background())
						}
						opened <- err
					}()
					eventually(t, func() bool {
						lines := tried(logs)
						return len(lines) >= 2 && strings.HasPrefix(reason(lines[0]), word) && strings.HasPrefix(reason(lines[1]), word)
					}, "the server is tried again")
					return opened, cancel
				}
				impatient, giveUp := begin()
				giveUp()
				if err := <-impatient; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), word) {
					t.Errorf("when ctx has ended: %v, want an error that says %s, and why it ended", err, word)
				}
				opened, giveUp := begin()
				defer giveUp()
				ready()
				if err := <-opened; err != nil {
					t.Errorf("a server that becomes ready: %v", err)
				}
				works(t, o)
			})
		}
	}
}

// reason is the error that a line tells of.
func reason(line observer.LoggedEntry) string {
	text, _ := line.ContextMap()["error"].(string)
	return text
}

// A Redis that is started again with much to load is away until it is done.
func TestLoadingAfterRestart(t *testing.T) {
	for name, open := range opens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := dumped(t)
			r := startOwnRedis(t, plain)
			seen, logs := observer.New(zapcore.DebugLevel)
			l, err := open(t.Context(), &Options{Hosts: []string{"redis://127.0.0.1:" + r.port}, Logger: zap.New(seen)})
			must(t, err)
			p := &process{TB: t, Layer: l}
			channel, ear := p.channel(), p.ear()
			p.join("room", channel)
			r.kill()
			ear.want(t, layers.Down)
			if _, ok := startRedisAt(t, r.port, slowly(dir, r.port)); !ok {
				t.Fatal("redis-server does not start again")
			}
			eventually(t, func() bool {
				lines := tried(logs)
				return len(lines) > 0 && strings.HasPrefix(reason(lines[len(lines)-1]), "LOADING")
			}, "the server says that it is loading")
			if err := p.GroupAdd(t.Context(), "hall", channel); err == nil {
				t.Error("L15: a join while Redis is loading is no error")
			}
			err = p.Send(t.Context(), pythonProcess+"1", note.With(text{"lost"}))
			if err == nil || errors.Is(err, layers.ErrUncertain) {
				t.Errorf("L15: a send while Redis is loading: %v, want an error that is certain", err)
			}
			if out, ok := p.Outage(); !ok {
				t.Errorf("L15: while Redis is loading the layer is up: %v", out)
			}
			loaded(t, r.port)
			ear.want(t, layers.Up)
			p.groupSend("room", "a")
			p.want(channel, "a")
			if n := logs.FilterMessageSnippet("is lost").Len(); n != 1 {
				t.Errorf("L15: %d lines say that the connection is lost, want 1", n)
			}
			must(t, p.Close(t.Context()))
		})
	}
}

// dumped is a directory with a file that a Redis loads when it starts.
func dumped(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	port := startRedis(t, func(port string) []string { return append(plain(port), "--dir", dir, "--rdbcompression", "no") })
	c := client(t, "redis://127.0.0.1:"+port)
	do(t, c, "EVAL", "for i = 1, 3000 do redis.call('SET', 'filler' .. i, string.rep('x', 1000)) end", "0")
	do(t, c, "SAVE")
	return dir
}

// slowly are the arguments of a Redis that needs a minute for its file.
func slowly(dir, port string) []string {
	return append(plain(port), "--dir", dir, "--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
}

// loaded lets it load the rest at once.
func loaded(t *testing.T, port string) {
	t.Helper()
	do(t, client(t, "redis://127.0.0.1:"+port), "CONFIG", "SET", "key-load-delay", "0")
}

func loadingRedis(t *testing.T) (port string, ready func()) {
	t.Helper()
	dir := dumped(t)
	port = startRedis(t, func(port string) []string { return slowly(dir, port) })
	return port, func() { loaded(t, port) }
}

// busyRedis runs a script that does not end.
func busyRedis(t *testing.T) (port string, ready func()) {
	t.Helper()
	port = startRedis(t, func(port string) []string { return append(plain(port), "--lua-time-limit", "1") })
	killer := client(t, "redis://127.0.0.1:"+port)
	conn := dial(t, port)
	_, err := conn.Write([]byte("EVAL 'while true do end' 0\r\n"))
	must(t, err)
	eventually(t, func() bool {
		err := killer.Do(t.Context(), killer.B().Ping().Build()).Error()
		return err != nil && strings.HasPrefix(err.Error(), "BUSY")
	}, "the script runs")
	return port, func() { do(t, killer, "SCRIPT", "KILL") }
}

// strayReplica has no master, and answers nothing that may be old.
func strayReplica(t *testing.T) (port string, ready func()) {
	t.Helper()
	master := "127.0.0.1 " + freePort(t)
	port = startRedis(t, func(port string) []string {
		return append(plain(port), "--replicaof", master, "--replica-serve-stale-data", "no")
	})
	return port, func() { do(t, client(t, "redis://127.0.0.1:"+port), "REPLICAOF", "NO", "ONE") }
}

func dial(t *testing.T, port string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
