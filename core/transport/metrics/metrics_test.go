package metrics

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWrite(t *testing.T) {
	s := &Set{}
	c := s.Counters("x_answers_total", "Answers, \\ and\nmore.", "service", "code")
	h := s.Histograms("x_seconds", "Time.", []float64{0.1, 1}, "service")
	s.Gauge("x_keys", "Keys.", []string{"issuer"}, func(emit func(float64, ...string)) {
		emit(2, "https://a")
		emit(0.5, `quote " and \ and`+"\nline")
	})
	n := s.Counter("x_reloads_total", "Reloads.")
	c.With("api", "200").Add(2)
	c.With("api", "403").Add(1)
	c.With("api", "200").Add(1)
	n.Add(0)
	for _, d := range []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Minute} {
		h.With("api").Observe(d)
	}
	var b strings.Builder
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := `# HELP x_answers_total Answers, \\ and\nmore.
# TYPE x_answers_total counter
x_answers_total{service="api",code="200"} 3
x_answers_total{service="api",code="403"} 1
# HELP x_seconds Time.
# TYPE x_seconds histogram
x_seconds_bucket{service="api",le="0.1"} 2
x_seconds_bucket{service="api",le="1"} 3
x_seconds_bucket{service="api",le="+Inf"} 4
x_seconds_sum{service="api"} 60.65
x_seconds_count{service="api"} 4
# HELP x_keys Keys.
# TYPE x_keys gauge
x_keys{issuer="https://a"} 2
x_keys{issuer="quote \" and \\ and\nline"} 0.5
# HELP x_reloads_total Reloads.
# TYPE x_reloads_total counter
x_reloads_total 0
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestCount_from_many_goroutines(t *testing.T) {
	s := &Set{}
	c := s.Counters("c_total", "C.", "l")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				c.With("a").Add(1)
			}
			var b strings.Builder
			_ = s.Write(&b)
		})
	}
	wg.Wait()
	if got := c.With("a").Value(); got != 8000 {
		t.Errorf("counted %d of 8000", got)
	}
}
