package metrics

import "github.com/prometheus/client_golang/prometheus"

// A description is one metric that is made at the time of a scrape. The table in the package comment has them all.
type description struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

var descriptions []description

// counter describes a metric that only grows.
func counter(name, help string, labels ...string) description {
	return describe(prometheus.CounterValue, name, help, labels)
}

// gauge describes a metric that is of now.
func gauge(name, help string, labels ...string) description {
	return describe(prometheus.GaugeValue, name, help, labels)
}

func describe(kind prometheus.ValueType, name, help string, labels []string) description {
	d := description{prometheus.NewDesc(name, help, labels, nil), kind}
	descriptions = append(descriptions, d)
	return d
}

// send makes a metric of a value.
func (d description) send(ch chan<- prometheus.Metric, value float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d.desc, d.kind, value, labels...)
}

// truth is 1 or 0.
func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
