// Package embedded runs a NATS server inside this process, alone or as one node of a cluster, so that a program needs no
// broker beside it.
//
//	srv, err := embedded.Start(ctx, nil)
//	if err != nil {
//		return err
//	}
//	defer srv.Close(ctx)
//	layer, err := natslayer.New(ctx, srv.Conn(), nil)
//
// # Alone
//
// The default. No port is opened: clients are connections inside this process ([Server.Conn], [Server.InProcessConn]).
// JetStream is on, and what it keeps is lost with the process, or stays in a directory ([Options.Dir]). A directory
// belongs to one server at a time, which a lock guards, and to one shape: a store that was written alone is invisible in a
// cluster, and one of a cluster is without its peers alone, so a start in another shape is refused.
//
// # Clustered
//
// Every process of a deployment runs a node, and names some of the others:
//
//	embedded.Start(ctx, &embedded.Options{Cluster: &embedded.Cluster{
//		Listen: "10.0.0.1:6222",
//		Routes: []string{"10.0.0.2:6222", "10.0.0.3:6222"},
//		User:   "tideway", Password: os.Getenv("CLUSTER_PASSWORD"),
//	}})
//
// One reachable route is enough: nodes tell each other of the rest. Groups and process-local channels need no more, on any
// number of nodes. Who reaches the port of the routes, and has the password, has the whole deployment: keep it on a private
// network, and set TLS where that is not trusted.
//
// Queues need JetStream, which is off in a cluster unless [Cluster.JetStreamPeers] says how many nodes hold it: 3 or 5. Two
// are refused, because the death of either stops both. On these nodes Routes lists the other peers. All others leave
// JetStreamPeers at 0 and use what the peers hold.
//
// # What the log says, and what to watch
//
// While nodes start and end one after another nothing is said. A node in Routes that is missing for more than 10 s is a
// warning that says why, again each minute, and one warning says when it is here. A line that comes again and again
// is written once in 10 s, with the number that were left out.
//
// A layer over [Server.Conn] never loses its connection, which stays inside the process: a node that is cut off from all
// others gets no layers.Down. It serves those who are connected to it, what it sends to the others is lost, and what
// they send passes it by. To know, ask [Server.Peers] now and then, as in a health check: none, where there
// should be some, is a node that is cut off.
//
// # End
//
// Close the layers first, then the server. The server installs no signal handlers and never exits the process: what its
// own log calls fatal is an error of [Start].
package embedded
