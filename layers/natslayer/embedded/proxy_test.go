package embedded_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

// A proxy is an address of a node that can stop working.
type proxy struct {
	t    *testing.T
	addr string
	to   atomic.Value // string

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
	running  sync.WaitGroup
}

func newProxy(t *testing.T) *proxy {
	p := &proxy{t: t, addr: "127.0.0.1:0"}
	p.up()
	p.addr = p.listener.Addr().String()
	t.Cleanup(p.down)
	return p
}

func (p *proxy) up() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = l
	p.running.Go(func() { // ends with down, which waits
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			p.join(in)
		}
	})
}

func (p *proxy) join(in net.Conn) {
	out, err := net.Dial("tcp", p.to.Load().(string))
	if err != nil {
		_ = in.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, in, out)
	p.mu.Unlock()
	for _, ends := range [][2]net.Conn{{in, out}, {out, in}} {
		p.running.Go(func() { // ends with either connection; down waits
			_, _ = io.Copy(ends[0], ends[1])
			_, _ = in.Close(), out.Close()
		})
	}
}

func (p *proxy) down() {
	p.mu.Lock()
	_ = p.listener.Close()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.running.Wait()
}

// TestLinkBetweenStrangers holds that two nodes that know each other from a third alone find each other again when the link
// between them was gone.
func TestLinkBetweenStrangers(t *testing.T) {
	t.Parallel()
	node := func(name, advertise string) *embedded.Server {
		return start(t, &embedded.Options{Name: name, Cluster: &embedded.Cluster{Listen: "127.0.0.1:0", Advertise: advertise}})
	}
	pa, pc := newProxy(t), newProxy(t)
	a, b, c := node("a", pa.addr), node("b", ""), node("c", pc.addr)
	pa.to.Store(a.ClusterAddr())
	pc.to.Store(c.ClusterAddr())
	ctx := soon(t)
	if err := errors.Join(a.AddRoutes(ctx, b.ClusterAddr()), c.AddRoutes(ctx, b.ClusterAddr()),
		a.WaitPeers(ctx, 2), c.WaitPeers(ctx, 2)); err != nil {
		t.Fatal(err)
	}
	pa.down()
	pc.down()
	for len(a.Peers()) > 1 && ctx.Err() == nil {
		<-time.After(time.Millisecond)
	}
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond) // in which an attempt fails
	defer cancel()
	if err := a.WaitPeers(short, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the link is gone, and a has the peers %q, %v", a.Peers(), err)
	}
	pa.up()
	pc.up()
	if err := a.WaitPeers(ctx, 2); err != nil {
		t.Fatal(err)
	}
	crosses(t, a, c)
}
