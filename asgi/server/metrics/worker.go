package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tideway-go/tideway/consumers"
)

var (
	workerRunning = gauge("tideway_worker_running", "1 while the worker runs, else 0", "worker")
	workerLayerUp = gauge("tideway_worker_layer_up", "1 while the worker's layer answers, else 0", "worker")
	workerBusy    = gauge("tideway_worker_busy", "messages that are handled now", "worker")
	workerDone    = counter("tideway_worker_done_total", "messages whose handler has succeeded", "worker")
	workerFailed  = counter("tideway_worker_failed_total", "tries that ended with an error or a panic", "worker")
	workerBuried  = counter("tideway_worker_buried_total", "jobs that were moved to the dead letters", "worker")
)

// A workerSource shows a worker.
type workerSource struct {
	name   string
	worker *consumers.Worker
}

func (s workerSource) collect(ch chan<- prometheus.Metric) {
	s.show(ch, s.worker.Health())
}

// show makes a metric of each figure.
func (s workerSource) show(ch chan<- prometheus.Metric, h consumers.WorkerHealth) {
	workerRunning.send(ch, truth(h.Running), s.name)
	workerLayerUp.send(ch, truth(h.Err == nil), s.name)
	workerBusy.send(ch, float64(h.Busy), s.name)
	workerDone.send(ch, float64(h.Done), s.name)
	workerFailed.send(ch, float64(h.Failed), s.name)
	workerBuried.send(ch, float64(h.Buried), s.name)
}
