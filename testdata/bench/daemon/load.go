package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// wrk returns the rate at which a server answers when all connections ask again at once. The tokens are used in turn.
func (s *site) wrk(to *server, tokens []string) (float64, error) {
	list, err := s.file("tokens", strings.Join(tokens, "\n")+"\n")
	if err != nil {
		return 0, err
	}
	var set strings.Builder
	for name, value := range headers("") {
		fmt.Fprintf(&set, "wrk.headers[%q] = %q\n", name, value)
	}
	// One token: the request is made once. Many: all of them are made before the clock runs.
	script, err := s.file("load.lua", set.String()+`
local requests, next = {}, 0
function init(args)
  for token in io.lines("`+list+`") do
    wrk.headers["Authorization"] = "Bearer " .. token
    requests[#requests + 1] = wrk.format("GET", "`+to.path+`")
  end
end
function request()
  next = next % #requests + 1
  return requests[next]
end
`)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.o.length+time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(s.o.clients), "-d",
		strconv.Itoa(int(s.o.length.Seconds()))+"s", "-s", script, "http://"+to.addr).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return rate(string(out))
}

// rate reads what wrk prints. Answers that are no yes, and connections that broke, are a failure.
func rate(out string) (float64, error) {
	if strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") {
		return 0, fmt.Errorf("not every request was answered well: %s", out)
	}
	m := regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("wrk says nothing: %s", out)
	}
	return strconv.ParseFloat(m[1], 64)
}

// pace asks at a fixed rate from many connections and returns how long each answer took from when it was due, sorted. A
// server that stands still is charged for all that was due meanwhile.
func (s *site) pace(to *server, token string, perSecond float64) ([]time.Duration, error) {
	text := "GET " + to.path + " HTTP/1.1\r\n"
	for name, value := range headers(token) {
		text += name + ": " + value + "\r\n"
	}
	text += "\r\n"
	begin := time.Now().Add(100 * time.Millisecond)
	pause := time.Duration(float64(time.Second) * float64(s.o.clients) / perSecond)
	results, faults := make([][]time.Duration, s.o.clients), make([]error, s.o.clients)
	var all sync.WaitGroup
	for i := range s.o.clients {
		all.Go(func() {
			first := begin.Add(pause * time.Duration(i) / time.Duration(s.o.clients))
			results[i], faults[i] = paced(to, []byte(text), first, pause, begin.Add(s.o.length))
		})
	}
	all.Wait()
	list := slices.Concat(results...)
	slices.Sort(list)
	if len(list) == 0 {
		faults = append(faults, errors.New("no answers"))
	}
	return list, errors.Join(faults...)
}

func paced(to *server, text []byte, due time.Time, pause time.Duration, end time.Time) ([]time.Duration, error) {
	conn, err := net.Dial("tcp", to.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(end.Add(10 * time.Second)); err != nil {
		return nil, err
	}
	var took []time.Duration
	for r := bufio.NewReader(conn); due.Before(end); due = due.Add(pause) {
		time.Sleep(time.Until(due))
		if _, err := conn.Write(text); err != nil {
			return nil, err
		}
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != to.answer {
			return nil, fmt.Errorf("status %d", answer.StatusCode)
		}
		took = append(took, time.Since(due))
	}
	return took, nil
}
