// Package metrics counts what a daemon does and writes it as a page for Prometheus: counters, gauges that are looked up
// when the page is asked for, and classic histograms of seconds.
//
// A metric is made once, at the start, with the values its labels can have or with few of them: what a stranger sends
// must never become the value of a label. Counting takes no lock.
//
// It knows no push, no exemplars and no native histograms, and it opens no listener.
//
// Standards: Prometheus text exposition format 0.0.4.
//
// Not a public API.
package metrics

import (
	"bufio"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ContentType is that of the page.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Set is a page of metrics in the order they were made. It may be used by many goroutines.
type Set struct {
	mu       sync.Mutex
	families []family
}

// family is one metric with all its values.
type family interface{ write(w *bufio.Writer) }

func (s *Set) add(f family) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.families = append(s.families, f)
}

// Write writes the page.
func (s *Set) Write(w io.Writer) error {
	s.mu.Lock()
	families := s.families[:len(s.families):len(s.families)]
	s.mu.Unlock()
	b := bufio.NewWriter(w)
	for _, f := range families {
		f.write(b)
	}
	return b.Flush()
}

// head is what every metric has.
type head struct {
	name, help, kind string
	labels           []string
}

func (h head) write(w *bufio.Writer) {
	_, _ = w.WriteString("# HELP " + h.name + " " + strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(h.help) +
		"\n# TYPE " + h.name + " " + h.kind + "\n")
}

// sample writes one line. values belong to labels; more is a further label that is written as it is, "" for none.
func (h head) sample(w *bufio.Writer, suffix string, values []string, more, number string) {
	_, _ = w.WriteString(h.name + suffix)
	parts := make([]string, 0, len(values)+1)
	for i, v := range values {
		parts = append(parts, h.labels[i]+`="`+strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(v)+`"`)
	}
	if more != "" {
		parts = append(parts, more)
	}
	if len(parts) > 0 {
		_, _ = w.WriteString("{" + strings.Join(parts, ",") + "}")
	}
	_, _ = w.WriteString(" " + number + "\n")
}

func format(f float64) string {
	if math.IsInf(f, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// Counter only grows.
type Counter struct {
	values []string
	n      atomic.Uint64
}

// Add counts n more.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Value returns the count.
func (c *Counter) Value() uint64 { return c.n.Load() }

// Counters are the counters of one name, one for each combination of values of its labels.
type Counters struct {
	head
	list keyed[*Counter]
}

// Counters makes a metric of kind counter. name ends in _total by convention.
func (s *Set) Counters(name, help string, labels ...string) *Counters {
	c := &Counters{head: head{name, help, "counter", labels}}
	s.add(c)
	return c
}

// Counter is Counters without labels.
func (s *Set) Counter(name, help string) *Counter { return s.Counters(name, help).With() }

// With returns the counter of these values, one for each label, which exists from then on. Keep it where it is counted
// often.
func (c *Counters) With(values ...string) *Counter {
	return c.list.get(values, func() *Counter { return &Counter{values: values} })
}

func (c *Counters) write(w *bufio.Writer) {
	c.head.write(w)
	for _, one := range c.list.all() {
		c.sample(w, "", one.values, "", strconv.FormatUint(one.Value(), 10))
	}
}

// Gauge is a number that is looked up when the page is written.
type gauge struct {
	head
	read func(emit func(value float64, labels ...string))
}

// Gauge makes a metric of kind gauge. read calls emit for every combination of labels there is at that moment.
func (s *Set) Gauge(name, help string, labels []string, read func(emit func(value float64, labels ...string))) {
	s.add(gauge{head{name, help, "gauge", labels}, read})
}

func (g gauge) write(w *bufio.Writer) {
	g.head.write(w)
	g.read(func(value float64, labels ...string) { g.sample(w, "", labels, "", format(value)) })
}

// Histogram counts durations in buckets.
type Histogram struct {
	values []string
	bounds []float64
	counts []atomic.Uint64 // one more than bounds
	nanos  atomic.Int64
}

// Observe counts one duration.
func (h *Histogram) Observe(d time.Duration) {
	seconds := d.Seconds()
	i := 0
	for i < len(h.bounds) && seconds > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.nanos.Add(int64(d))
}

// Histograms are the histograms of one name.
type Histograms struct {
	head
	bounds []float64
	list   keyed[*Histogram]
}

// Histograms makes a metric of kind histogram. bounds are the upper bounds of the buckets in seconds, ascending and
// without infinity.
func (s *Set) Histograms(name, help string, bounds []float64, labels ...string) *Histograms {
	h := &Histograms{head: head{name, help, "histogram", labels}, bounds: bounds}
	s.add(h)
	return h
}

// With returns the histogram of these values.
func (h *Histograms) With(values ...string) *Histogram {
	return h.list.get(values, func() *Histogram {
		return &Histogram{values: values, bounds: h.bounds, counts: make([]atomic.Uint64, len(h.bounds)+1)}
	})
}

func (h *Histograms) write(w *bufio.Writer) {
	h.head.write(w)
	for _, one := range h.list.all() {
		var sum uint64
		for i := range one.counts {
			sum += one.counts[i].Load()
			bound := math.Inf(1)
			if i < len(h.bounds) {
				bound = h.bounds[i]
			}
			h.sample(w, "_bucket", one.values, `le="`+format(bound)+`"`, strconv.FormatUint(sum, 10))
		}
		h.sample(w, "_sum", one.values, "", format(time.Duration(one.nanos.Load()).Seconds()))
		h.sample(w, "_count", one.values, "", strconv.FormatUint(sum, 10))
	}
}

// keyed is a list of values that are found by the values of labels.
type keyed[T any] struct {
	byKey sync.Map // of T
	mu    sync.Mutex
	list  []T
}

func (k *keyed[T]) get(values []string, make func() T) T {
	key := strings.Join(values, "\xff")
	if v, ok := k.byKey.Load(key); ok {
		return v.(T)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if v, ok := k.byKey.Load(key); ok {
		return v.(T)
	}
	v := make()
	k.byKey.Store(key, v)
	k.list = append(k.list, v)
	return v
}

func (k *keyed[T]) all() []T {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.list[:len(k.list):len(k.list)]
}
