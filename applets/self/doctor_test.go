package self

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken/mytokentest"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
)

func patient(now func() time.Time) *doctor {
	if now == nil {
		now = time.Now
	}
	return &doctor{env: &cli.Env{
		Stdout: io.Discard, Stderr: io.Discard, Now: now, Getenv: func(string) string { return "" },
	}}
}

// ask has the doctor look at one provider, for no longer than a test can wait.
func (d *doctor) ask(t *testing.T, tg target, wait time.Duration) []finding {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	f := findings{area: "provider"}
	d.provider(ctx, &f, tg, "demo")
	return f.list
}

func has(list []finding, sev severity, id, text string) bool {
	return slices.ContainsFunc(list, func(f finding) bool {
		return f.Severity == sev && f.ID == id && strings.Contains(f.Text, text) &&
			(sev == sevOK || sev == sevNote || f.Next != "")
	})
}

func quietServer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	return s
}

func TestDoctorProvider(t *testing.T) {
	op := issuertest.Start(t)
	list := patient(nil).ask(t, target{issuer: op.URL}, 10*time.Second)
	if len(list) != 2 || !has(list, sevOK, "provider.reachable", "signing key") || !has(list, sevOK, "provider.clock", "agree") {
		t.Errorf("%+v", list)
	}
	t.Run("mytoken_server", func(t *testing.T) {
		srv := mytokentest.Start(t)
		list := patient(nil).ask(t, target{mytoken: true, issuer: srv.URL}, 10*time.Second)
		if !has(list, sevOK, "provider.reachable", "1 signing key") {
			t.Errorf("%+v", list)
		}
	})
	t.Run("not_a_mytoken_server", func(t *testing.T) {
		list := patient(nil).ask(t, target{mytoken: true, issuer: op.URL}, 10*time.Second)
		if !has(list, sevFault, "provider.unreachable", "no mytoken server") {
			t.Errorf("%+v", list)
		}
	})
}

func TestDoctorClock(t *testing.T) {
	op := issuertest.Start(t)
	for _, tt := range []struct {
		ahead time.Duration
		sev   severity
		text  string
	}{
		{10 * time.Second, sevNote, "10s ahead of"},
		{-time.Minute, sevWarning, "1m0s behind"},
		{time.Hour, sevFault, "tokens count as expired"},
	} {
		d := patient(func() time.Time { return time.Now().Add(tt.ahead) })
		list := d.ask(t, target{issuer: op.URL}, 10*time.Second)
		text := tt.text
		if tt.sev != sevFault {
			text = strings.Fields(text)[1] // a second more or less may have passed
		}
		if !has(list, tt.sev, "provider.clock", text) {
			t.Errorf("%v: %+v", tt.ahead, list)
		}
	}
}

func TestDoctorUnreachable(t *testing.T) {
	block := make(chan struct{})
	silent := quietServer(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-block:
		case <-r.Context().Done():
		}
	})
	silent.Start()
	defer close(block)
	unknownCA := quietServer(t, func(http.ResponseWriter, *http.Request) {})
	unknownCA.StartTLS()
	broken := quietServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	broken.Start()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	elsewhere := quietServer(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"issuer":"https://other.example.org"}`)
	})
	elsewhere.Start()
	for _, tt := range []struct {
		name   string
		target target
		id     string
		text   string
	}{
		{"says_nothing", target{issuer: silent.URL}, "unreachable", "no answer in time"},
		{"unknown_authority", target{issuer: unknownCA.URL}, "unreachable", "signed by an authority that this machine does not know"},
		{"no_tls_there", target{issuer: strings.Replace(broken.URL, "http:", "https:", 1)}, "unreachable", "TLS"},
		{"in_trouble", target{issuer: broken.URL}, "unreachable", "503"},
		{"refused", target{issuer: gone.URL}, "unreachable", "refused"},
		{"another_issuer", target{issuer: elsewhere.URL}, "unreachable", "other.example.org"},
		{"plain_http_elsewhere", target{issuer: "http://op.example.org"}, "unreachable", "https"},
		{"ca_that_is_not_there", target{issuer: broken.URL, cert: "/nonexistent/ca.pem"}, "ca", "ca.pem"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list := patient(nil).ask(t, tt.target, 2*time.Second)
			if !has(list, sevFault, "provider."+tt.id, tt.text) {
				t.Errorf("%+v", list)
			}
		})
	}
}

// TestDoctorNames: what goes wrong with a certificate is said in words.
func TestDoctorNames(t *testing.T) {
	s := quietServer(t, func(http.ResponseWriter, *http.Request) {})
	s.StartTLS()
	ca := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for name, tt := range map[string]struct {
		cfg  *tls.Config
		text string
	}{
		"other_name": {&tls.Config{RootCAs: ca, ServerName: "wrong.example.net"}, "for another name"},
		"too_old": {&tls.Config{
			RootCAs: ca, ServerName: "example.com", Time: func() time.Time { return time.Now().AddDate(200, 0, 0) },
		}, "has expired"},
	} {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		err = tls.Client(c, tt.cfg).HandshakeContext(t.Context())
		_ = c.Close()
		if text, next := explainReach(err); !strings.Contains(text, tt.text) || next == "" {
			t.Errorf("%s: %q (%v)", name, text, err)
		}
	}
	if text, _ := explainReach(&net.DNSError{Err: "no such host", Name: "x"}); !strings.Contains(text, "cannot be resolved") {
		t.Error(text)
	}
}

// TestDoctorHangs: an area that never comes back, as on a file server that is away, does not keep the report back.
func TestDoctorHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		began := time.Now()
		s := bounded(t.Context(), "files", func(context.Context) seen { <-block; return seen{} })
		if !has(s.list, sevFault, "files.hangs", "file system") || time.Since(began) > areaWait+2*time.Second {
			t.Errorf("%+v after %v", s.list, time.Since(began))
		}
		close(block)
		synctest.Wait()
	})
}

// TestDoctorPrints: what others chose cannot write on the terminal.
func TestDoctorPrints(t *testing.T) {
	var out bytes.Buffer
	r := report{Findings: []finding{{
		Area: "login", ID: "login.ended", Severity: sevFault, About: "a\x1b[2Jb", Text: "said \x1b]0;x\x07\nmore", Next: "do\x07",
	}}, Faults: 1}
	if err := r.print(&out); err != nil || strings.ContainsAny(out.String(), "\x1b\x07") {
		t.Errorf("%q %v", out.String(), err)
	}
	for _, tt := range []struct {
		faults, warnings int
		want             string
	}{{0, 0, "nothing is wrong"}, {0, 1, "nothing is broken; 1 warning"}, {2, 1, "2 faults, 1 warning"}} {
		if got := (report{Faults: tt.faults, Warnings: tt.warnings}).summary(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
