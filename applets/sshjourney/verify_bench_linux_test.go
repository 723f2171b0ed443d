package sshjourney

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkVerifyUser asks a whole server, which has one core, worker and accounts in passwd, whose token it is. The
// audit is written to a file as always. Budget: 3000 answers a second of the server's own time; what this process takes
// for asking, and what else the machine does, is not in it.
func BenchmarkVerifyUser(b *testing.B) {
	s := newSite(b, siteOptions{provisioner: with("cache: 1s", "cache: 60s")})
	token, name := s.at("alice"), s.deploy("alice")
	pid := strconv.Itoa(s.serve.Process.Pid)
	s.Run("taskset", "--all-tasks", "--cpu-list", "--pid", "0", pid)
	client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	ask := func() bool {
		r, err := http.NewRequest(http.MethodGet, s.url+"/verify_user?username="+name, nil)
		if err != nil {
			b.Error(err)
			return false
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(r)
		if err != nil {
			b.Error(err)
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(body), `"verified":true`) {
			b.Errorf("%d %s, %v", resp.StatusCode, body, err)
			return false
		}
		return true
	}
	ask()
	questions := make(chan struct{})
	var askers sync.WaitGroup
	for range 16 {
		askers.Go(func() {
			for range questions {
				ask()
			}
		})
	}
	before := processorTime(b, pid)
	begin := time.Now()
	n := 0
	for b.Loop() {
		questions <- struct{}{}
		n++
	}
	close(questions)
	askers.Wait()
	took, own := time.Since(begin), processorTime(b, pid)-before
	b.ReportMetric(float64(n)/took.Seconds(), "answers/s")
	b.ReportMetric(float64(n)/own.Seconds(), "answers/core-s")
	b.ReportMetric(0, "ns/op")
}

// processorTime is what a process has used of processors (proc_pid_stat(5), in ticks of 10 ms).
func processorTime(b *testing.B, pid string) time.Duration {
	b.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	var ticks int
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
