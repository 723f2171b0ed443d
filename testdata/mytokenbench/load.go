package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// conn is a client as light as it can be: a connection that is kept, and requests that were written before.
type conn struct {
	c net.Conn
	r *bufio.Reader
}

func dial(address string) (*conn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReaderSize(c, 16<<10)}, nil
}

// ask sends a request and returns status and body.
func (c *conn) ask(request []byte, body []byte) (int, []byte, error) {
	_ = c.c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.c.Write(request); err != nil {
		return 0, nil, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil || len(line) < 12 {
		return 0, nil, errors.Join(err, errors.New("no status"))
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, nil, err
	}
	length := -1
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(n)); err != nil {
				return 0, nil, err
			}
		}
	}
	if length < 0 {
		return 0, nil, fmt.Errorf("status %d without a length", status)
	}
	body = slices.Grow(body[:0], length)[:length]
	_, err = io.ReadFull(c.r, body)
	return status, body, err
}

// post is a request as bytes.
func post(address, path, contentType string, body []byte) []byte {
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
		path, address, contentType, len(body))
	return append([]byte(head), body...)
}

// load asks from several sides for a while. Each side goes through the requests in an order of its own.
type load struct {
	address  string
	clients  int
	length   time.Duration
	requests [][]byte
	want     []byte // in each answer, whose status has to be 200
	// lost, where it is not nil, counts other answers by status; else the first of them ends the load.
	lost map[int]int
}

// result is what came of a load.
type result struct {
	rate     float64
	p50, p99 time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("%6.0f/s, p50 %5.2f ms, p99 %6.2f ms", r.rate, ms(r.p50), ms(r.p99))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (l load) run(ctx context.Context) (result, error) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		took []time.Duration
		errs []error
	)
	begin := time.Now()
	for i := range l.clients {
		wg.Go(func() {
			own, lost, err := l.side(ctx, i, begin)
			mu.Lock()
			defer mu.Unlock()
			for _, status := range lost {
				l.lost[status]++
			}
			took, errs = append(took, own...), append(errs, err)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return result{}, err
	}
	seconds := time.Since(begin).Seconds()
	slices.Sort(took)
	if len(took) == 0 {
		return result{}, errors.New("not one answer")
	}
	return result{float64(len(took)) / seconds, took[len(took)/2], took[len(took)*99/100]}, nil
}

func (l load) side(ctx context.Context, i int, begin time.Time) (took []time.Duration, lost []int, err error) {
	c, err := dial(l.address)
	if err != nil {
		return nil, nil, err
	}
	defer c.c.Close()
	var body []byte
	for n := i * len(l.requests) / l.clients; time.Since(begin) < l.length && ctx.Err() == nil; n++ {
		at := time.Now()
		var status int
		if status, body, err = c.ask(l.requests[n%len(l.requests)], body); err != nil {
			return took, lost, err
		}
		switch {
		case status == 200 && bytes.Contains(body, l.want):
			took = append(took, time.Since(at))
		case l.lost != nil:
			lost = append(lost, status)
		default:
			return took, lost, fmt.Errorf("status %d: %.200s", status, body)
		}
	}
	return took, lost, ctx.Err()
}

// median repeats a load and returns the round in the middle by its rate.
func (p plan) median(ctx context.Context, l load) (result, error) {
	l.length = p.round
	var all []result
	for range p.rounds {
		r, err := l.run(ctx)
		if err != nil {
			return result{}, err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b result) int { return int(a.rate - b.rate) })
	return all[len(all)/2], nil
}
