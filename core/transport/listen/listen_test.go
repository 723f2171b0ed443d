package listen_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/transport/listen"
)

func read(t *testing.T, text string) ([]listen.Place, error) {
	t.Helper()
	r := config.NewReader("/etc/x/c.yaml")
	f := r.Fields(r.Document([]byte(text)), "listen")
	return listen.Read(r, f["listen"], nil), r.Err()
}

func TestRead(t *testing.T) {
	for text, want := range map[string]listen.Place{
		"127.0.0.1:80":                           {TCP: "127.0.0.1:80", Mode: 0o600},
		"unix:/run/x.sock":                       {Unix: "/run/x.sock", Mode: 0o600},
		"unix:x.sock":                            {Unix: "/etc/x/x.sock", Mode: 0o600},
		"systemd":                                {Systemd: true, Mode: 0o600},
		"{unix: x.sock, mode: 0660, group: web}": {Unix: "/etc/x/x.sock", Mode: 0o660, Group: "web"},
		"{systemd: web.socket}":                  {Systemd: true, Name: "web.socket", Mode: 0o600},
		"{systemd: true}":                        {Systemd: true, Mode: 0o600},
		"[{tcp: '[::1]:0'}]":                     {TCP: "[::1]:0", Mode: 0o600},
	} {
		got, err := read(t, "listen: "+text+"\n")
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
}

func TestRead_faults(t *testing.T) {
	for text, want := range map[string]string{
		"example.org:80":                   "numeric address",
		"127.0.0.1":                        "numeric address",
		"127.0.0.1:http":                   "numeric address",
		"'unix:'":                          "numeric address",
		"[]":                               "the list is empty",
		"{}":                               "has to have one of",
		"{tcp: '127.0.0.1:1', unix: x}":    "has to have one of",
		"{tcp: '127.0.0.1:1', mode: 0600}": "mode and group are for unix",
		"{unix: x, tls: {}}":               "tls is for tcp",
		"{tcp: '127.0.0.1:1', tls: {}}":    "cert_file",
		"{tcp: '127.0.0.1:1', port: 1}":    "port",
		"{tcp: '127.0.0.1:1', tls: {cert_file: a, key_file: b}}": "read certificate",
	} {
		if _, err := read(t, "listen: "+text+"\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestReachable(t *testing.T) {
	for tcp, want := range map[string]bool{
		"127.0.0.1:1": false, "[::1]:1": false, "localhost:1": false, "[::ffff:127.0.0.1]:1": false, "[::]:1": true,
		"0.0.0.0:1": true, ":1": true, "192.0.2.1:1": true, "": false,
	} {
		if got := (listen.Place{TCP: tcp}).Reachable(); got != want {
			t.Errorf("%q: %v", tcp, got)
		}
	}
}

func TestOpen(t *testing.T) {
	o := listen.Options{Getenv: func(string) string { return "" }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	path := filepath.Join(t.TempDir(), "x.sock")
	set, err := listen.Open([]listen.Place{{TCP: "127.0.0.1:0"}, {Unix: path, Mode: 0o600}}, o)
	if err != nil || len(set.List) != 2 || set.List[0].Unix || !set.List[1].Unix || set.List[1].Name != "unix:"+path {
		t.Fatalf("%+v %v", set, err)
	}
	defer set.Close()
	taken := set.List[0].Addr().String()
	if _, err := listen.Open([]listen.Place{{TCP: "127.0.0.1:0"}, {TCP: taken}}, o); err == nil || listen.Hint(err) == "" {
		t.Errorf("a port that is taken: %v, hint %q", err, listen.Hint(err))
	}
	if _, err := listen.Open([]listen.Place{{Unix: path, Mode: 0o600}}, o); err == nil || listen.Hint(err) == "" {
		t.Errorf("a socket that is taken: %v, hint %q", err, listen.Hint(err))
	}
	if _, err := listen.Open([]listen.Place{{Systemd: true}}, o); !errors.Is(err, listen.ErrNotActivated) {
		t.Errorf("without systemd: %v", err)
	}
	gone := filepath.Join(t.TempDir(), "none", "x.sock")
	if _, err := listen.Open([]listen.Place{{Unix: gone}}, o); err == nil || !strings.Contains(listen.Hint(err), "directory") {
		t.Errorf("no directory: %v, hint %q", err, listen.Hint(err))
	}
	if _, err := net.Dial("tcp", taken); err != nil {
		t.Errorf("it is not listened: %v", err)
	}
}
