package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tideway-go/tideway/layers"
)

var (
	layerUp             = gauge("tideway_layer_up", "1 while the layer is connected to its broker, else 0", "layer")
	layerSent           = counter("tideway_layer_sent_total", "messages sent to one channel", "layer")
	layerGroupSent      = counter("tideway_layer_group_sent_total", "messages sent to a group, each once", "layer")
	layerRefused        = counter("tideway_layer_refused_total", "messages that were not sent because the channel was full", "layer")
	layerDelivered      = counter("tideway_layer_delivered_total", "messages that channels of this process took", "layer")
	layerGroupDelivered = counter("tideway_layer_group_delivered_total", "messages of groups that channels of this process took, each once for each member", "layer")
	layerReceived       = counter("tideway_layer_received_total", "messages taken by Receive and Take", "layer")
	layerDropped        = counter("tideway_layer_dropped_total", "messages dropped: full, expired, unlisted, invalid, panic, failed, other", "layer", "reason")
)

// dropReasons are the layer's own. Applications may count drops for reasons of theirs, of which there may be many.
var dropReasons = []layers.DropReason{layers.DropFull, layers.DropExpired, layers.DropUnlisted, layers.DropInvalid, layers.DropPanic,
	layers.DropFailed}

// A layerSource shows a layer.
type layerSource struct {
	name  string
	layer *layers.Layer
}

func (s layerSource) collect(ch chan<- prometheus.Metric) {
	_, out := s.layer.Outage()
	layerUp.send(ch, truth(!out), s.name)
	s.show(ch, s.layer.Stats())
}

// show makes a metric of each figure.
func (s layerSource) show(ch chan<- prometheus.Metric, st layers.Stats) {
	layerSent.send(ch, float64(st.Sent), s.name)
	layerGroupSent.send(ch, float64(st.GroupSent), s.name)
	layerRefused.send(ch, float64(st.Refused), s.name)
	layerDelivered.send(ch, float64(st.Delivered), s.name)
	layerGroupDelivered.send(ch, float64(st.GroupDelivered), s.name)
	layerReceived.send(ch, float64(st.Received), s.name)
	var others uint64
	for reason, n := range st.Dropped {
		if !slices.Contains(dropReasons, reason) {
			others += n
		}
	}
	for _, reason := range dropReasons {
		layerDropped.send(ch, float64(st.Dropped[reason]), s.name, string(reason))
	}
	layerDropped.send(ch, float64(others), s.name, "other")
}
