package metrics

import (
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// TestEveryFigure: each figure that servers, layers and workers count is shown, once.
func TestEveryFigure(t *testing.T) {
	var st server.Stats
	var ls layers.Stats
	var h consumers.WorkerHealth
	names := number(reflect.ValueOf(&st).Elem(), 100, "server.Stats.")
	ls.Dropped = make(map[layers.DropReason]uint64)
	for i, reason := range dropReasons {
		ls.Dropped[reason] = uint64(300 + i)
		names[float64(300+i)] = "layers.Stats.Dropped " + string(reason)
	}
	maps.Copy(names, number(reflect.ValueOf(&ls).Elem(), 200, "layers.Stats."))
	maps.Copy(names, number(reflect.ValueOf(&h).Elem(), 400, "consumers.WorkerHealth."))
	h.Running, h.Err, h.Since = false, nil, time.Time{} // shown as 0 and 1

	ch := make(chan prometheus.Metric, 200)
	serverSource{name: "x"}.show(ch, st)
	layerSource{name: "x"}.show(ch, ls)
	workerSource{name: "x"}.show(ch, h)
	close(ch)
	shown := make(map[float64]int)
	for m := range ch {
		var v dto.Metric
		if err := m.Write(&v); err != nil {
			t.Fatal(err)
		}
		shown[v.GetCounter().GetValue()+v.GetGauge().GetValue()]++
	}
	if len(names) < 40 {
		t.Errorf("there are %d figures", len(names))
	}
	for n, name := range names {
		if shown[n] != 1 {
			t.Errorf("%s is shown by %d metrics, want 1: add it to this package and to the table in its comment", name, shown[n])
		}
	}
}

// number sets each number in v to another one, and returns their names.
func number(v reflect.Value, from int, prefix string) map[float64]string {
	names := make(map[float64]string)
	for i := range v.NumField() {
		f, name := v.Field(i), prefix+v.Type().Field(i).Name
		switch {
		case f.CanInt() && f.Type() != reflect.TypeFor[time.Duration]():
			f.SetInt(int64(from))
		case f.CanUint():
			f.SetUint(uint64(from))
		case f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[time.Time]():
			inner := number(f, from, name+".")
			maps.Copy(names, inner)
			from += len(inner)
			continue
		default:
			continue
		}
		names[float64(from)] = name
		from++
	}
	return names
}
