package redislayer

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
)

// commandsOf are the commands that each layer uses, with the version of Redis that brought them; doc.go lists them for those
// who write rules for a user. Those behind a "?" make life better where they are there, and are not missed.
var commandsOf = map[string]map[string]string{
	"Core": {
		"bzpopmin": "5.0", "zpopmin": "5.0", "zadd": "1.2", "zrem": "1.2", "zrange": "1.2", "zscore": "1.2", "zcard": "1.2",
		"zremrangebyscore": "1.2", "zcount": "2.0", "expire": "1.0", "unlink": "4.0", "type": "1.0", "scan": "2.8",
		"evalsha": "2.6", "eval": "2.6", "time": "2.6", "ping": "1.0",
		"?hello": "6.0", "?client": "2.4", "?info": "1.0",
		// The client library tidies up a connection that the layer gives back when it closes.
		"?unsubscribe": "2.0", "?punsubscribe": "2.0", "?sunsubscribe": "7.0", "?discard": "2.0",
	},
	"PubSub": {
		"publish": "2.0", "subscribe": "2.0", "unsubscribe": "2.0", "psubscribe": "2.0", "ping": "1.0", "hello": "6.0",
		"?client": "2.4", "?info": "1.0",
	},
}

// Each layer uses the commands of its list and no other, with nothing that came later than the command itself.
func TestCommands(t *testing.T) {
	for name, open := range opens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := startRedis(t, plain)
			seen := monitor(t, port)
			everything(t, open, "redis://127.0.0.1:"+port)
			list := commandsOf[name]
			used := seen()
			for command, lines := range used {
				if list[command] == "" && list["?"+command] == "" {
					t.Errorf("%s uses %s: %s", name, command, lines[0])
				}
				for _, line := range lines {
					if later.MatchString(line) {
						t.Errorf("%s uses an option that Redis 5.0 does not know: %s", name, line)
					}
				}
			}
			for command := range list {
				if !strings.HasPrefix(command, "?") && used[command] == nil && command != "eval" {
					t.Errorf("%s does not use %s", name, command)
				}
			}
		})
	}
}

// later are options that came after Redis 5.0 to commands that are on the lists: conditions of EXPIRE and ZADD, waits of a
// part of a second, new ways of ZRANGE, UNBLOCK's kin.
var later = regexp.MustCompile(`(?i)"expire" .*"(nx|xx|gt|lt)"|"zadd" "[^"]*" "(gt|lt)"|"bzpopmin" .* "\d*\.\d+"$|"zrange" .*"(byscore|bylex|rev|limit)"|"scan" .*"type"`)

// Commands that came after the oldest version that a layer needs are taken from a server, and the layer works: without HELLO,
// Core speaks the protocol of Redis 5.
func TestOldRedis(t *testing.T) {
	for name, major := range map[string]int{"Core": 5, "PubSub": 6} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var removed []string
			for _, command := range newer(t, major) {
				removed = append(removed, "--rename-command", command, "")
			}
			if major == 5 && !slices.Contains(removed, "hello") {
				t.Fatalf("HELLO is not among the commands that came after Redis 5.0: %v", removed)
			}
			port := startRedis(t, func(port string) []string { return append(plain(port), removed...) })
			everything(t, opens[name], "redis://127.0.0.1:"+port)
		})
	}
}

// newer are the commands that the server here has and one of this version, .0, has not.
func newer(t *testing.T, major int) (all []string) {
	t.Helper()
	c := client(t, "redis://127.0.0.1:"+startRedis(t, plain))
	docs, err := do(t, c, "COMMAND", "DOCS").AsMap()
	must(t, err)
	for command, doc := range docs {
		fields, err := doc.AsMap()
		must(t, err)
		value := fields["since"]
		since, err := value.ToString()
		must(t, err)
		var has, minor int
		if _, err := fmt.Sscanf(since, "%d.%d", &has, &minor); err != nil {
			t.Fatalf("%s is since %q", command, since)
		}
		if has > major || has == major && minor > 0 {
			all = append(all, command)
		}
	}
	return all
}

// A user with the rules that doc.go tells may do all that a layer does.
func TestRules(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	must(t, err)
	for name, open := range opens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := startRedis(t, plain)
			admin := client(t, "redis://127.0.0.1:"+port)
			rule := []string{"ACL", "SETUSER", "tideway", "on", ">secret", "resetkeys", "resetchannels", "~acl*"}
			if name == "PubSub" { // Redis lets nobody subscribe to a pattern by another pattern
				rule = append(rule, "allchannels")
			}
			for command := range commandsOf[name] {
				if !strings.HasPrefix(command, "?") && command != "hello" { // which needs no leave
					rule = append(rule, "+"+command)
					if !bytes.Contains(doc, []byte("+"+command)) {
						t.Errorf("doc.go does not say that %s needs +%s", name, command)
					}
				}
			}
			do(t, admin, rule...)
			everything(t, open, "redis://tideway:secret@127.0.0.1:"+port)
			log, err := do(t, admin, "ACL", "LOG").ToArray()
			must(t, err)
			for _, entry := range log {
				fields, err := entry.AsMap()
				must(t, err)
				object := fields["object"]
				what, err := object.ToString()
				must(t, err)
				what, _, _ = strings.Cut(what, "|")
				if commandsOf[name]["?"+strings.ToLower(what)] == "" {
					t.Errorf("%s was refused: %s", name, what)
				}
			}
		})
	}
}

// everything does all that a layer can do, by two processes.
func everything(t *testing.T, open func(context.Context, *Options) (*layers.Layer, error), url string) {
	t.Helper()
	var two [2]*process
	for i := range two {
		l, err := open(t.Context(), &Options{Hosts: []string{url}, Prefix: "acl", Logger: zap.NewNop()})
		must(t, err)
		two[i] = &process{TB: t, Layer: l}
	}
	p, q := two[0], two[1]
	mine, theirs, ended := p.channel(), q.channel(), q.channel()
	p.join("room", mine)
	q.join("room", theirs, ended)
	p.join("foreign", theirs)
	must(t, q.EndChannel(t.Context(), ended))
	p.groupSend("room", "a")
	p.send(theirs, "b")
	q.want(theirs, "a", "b")
	p.want(mine, "a")
	if p.Require(t.Context(), layers.Queues) == nil {
		q.join("room", "jobs")
		p.send("jobs", "c")
		p.groupSend("room", "d")
		q.want("jobs", "c", "d")
		must(t, q.GroupDiscard(t.Context(), "room", "jobs"))
		do(t, client(t, adminOf(url)), "SET", "aclwrong", "of another program")
		if _, err := q.Receive(t.Context(), "wrong"); err == nil {
			t.Error("Receive from a key of another program: no error")
		}
		q.send("jobs", "to be flushed")
	}
	must(t, p.GroupDiscard(t.Context(), "foreign", theirs))
	must(t, p.Flush(t.Context()))
	for _, p := range two {
		must(t, p.Close(t.Context()))
	}
}

// adminOf is the URL of the same server without a user.
func adminOf(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	if _, host, ok := strings.Cut(rest, "@"); ok {
		rest = host
	}
	return scheme + "://" + rest
}

// monitor notes what a server is asked, its scripts included. The result ends it, and returns the lines by command.
func monitor(t *testing.T, port string) func() map[string][]string {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	must(t, err)
	_, err = conn.Write([]byte("MONITOR\r\n"))
	must(t, err)
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() || lines.Text() != "+OK" {
		t.Fatalf("MONITOR: %q, %v", lines.Text(), lines.Err())
	}
	const marker = "the end of what is asked"
	used := map[string][]string{}
	var reader sync.WaitGroup
	reader.Go(func() { // ends with the marker, or the connection; waited for by the result, or the end of the test
		for lines.Scan() && !strings.Contains(lines.Text(), marker) {
			if m := asked.FindStringSubmatch(lines.Text()); m != nil {
				command := strings.ToLower(m[1])
				used[command] = append(used[command], m[0])
			}
		}
	})
	t.Cleanup(func() { _ = conn.Close(); reader.Wait() })
	return func() map[string][]string {
		t.Helper()
		do(t, client(t, "redis://127.0.0.1:"+port), "ECHO", marker)
		reader.Wait()
		delete(used, "set") // by the test
		return used
	}
}

// asked is a command as MONITOR shows it.
var asked = regexp.MustCompile(`"(\w+)".*$`)
