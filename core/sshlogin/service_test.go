package sshlogin_test

import (
	"context"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sshlogin"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// answering is a service whose answers are given: by method and path.
func answering(t *testing.T, answers map[string]string) sshlogin.Service {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := answers[r.Method+" "+r.URL.RequestURI()]
		switch {
		case !ok && r.Method == http.MethodGet && answers["POST "+r.URL.RequestURI()] != "":
			w.WriteHeader(http.StatusMethodNotAllowed)
		case !ok:
			w.WriteHeader(http.StatusNotFound)
		case strings.HasPrefix(a, "403 "):
			w.WriteHeader(http.StatusForbidden)
			a = a[4:]
		}
		_, _ = w.Write([]byte(a))
	}))
	t.Cleanup(srv.Close)
	hc, err := httpc.New(httpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdle)
	return sshlogin.Service{Base: srv.URL, HTTP: hc}
}

func TestAccountUser(t *testing.T) {
	for _, f := range []struct {
		name, answer, user string
		err                error
	}{
		{"deployed", `{"state":"deployed","message":"User already existed.","credentials":{"ssh_user":"ada"}}`, "ada", nil},
		{"by_message", `{"state":"suspended","message":"username ada","credentials":{}}`, "ada", nil},
		{"pending_names_nobody", `{"state":"pending","message":"User deployment is pending approval.","credentials":{}}`, "", nil},
		{"option_of_ssh", `{"state":"deployed","credentials":{"ssh_user":"-oProxyCommand=sh"}}`, "", sshlogin.ErrUser},
		{"shell", `{"state":"deployed","credentials":{"ssh_user":"$(sh)"}}`, "", sshlogin.ErrUser},
		{"host_in_it", `{"state":"deployed","credentials":{"ssh_user":"ada@evil.example.org"}}`, "", sshlogin.ErrUser},
		{"line_break", `{"state":"deployed","credentials":{"ssh_user":"ada\nbob"}}`, "", sshlogin.ErrUser},
		{"by_message_hostile", `{"state":"deployed","message":"username -lroot","credentials":{}}`, "", sshlogin.ErrUser},
		{"credentials_of_other_types", `{"state":"deployed","message":"username ada","credentials":{"ssh_user":5,"x":{}}}`, "ada", nil},
		{"no_object", `[]`, "", sshlogin.ErrAnswer},
	} {
		t.Run(f.name, func(t *testing.T) {
			s := answering(t, map[string]string{"POST /user/deploy": f.answer})
			a, err := s.Deploy(context.Background(), secret.FromString("token"))
			user := ""
			if err == nil {
				user, err = a.User()
			}
			if user != f.user || !errors.Is(err, f.err) {
				t.Errorf("%q, %v", user, err)
			}
		})
	}
}

func TestOTP(t *testing.T) {
	sum := sha512.Sum512([]byte("token"))
	for _, f := range []struct {
		name, answer, otp string
		own               bool
		err               error
	}{
		{"compatible", `{"supported":true,"successful":true}`, hex.EncodeToString(sum[:]), false, nil},
		{"own", `{"supported":true,"successful":true,"password":"oxp_x"}`, "oxp_x", true, nil},
		{"own_that_ssh_would_cut", `{"supported":true,"successful":true,"password":"` + strings.Repeat("x", 1024) + `"}`, "", true, sshlogin.ErrAnswer},
		{"own_of_two_lines", `{"supported":true,"successful":true,"password":"a\nb"}`, "", true, sshlogin.ErrAnswer},
		{"none", `{"supported":false,"successful":false}`, "", false, sshlogin.ErrNoOTP},
		{"none_now", `{"supported":true,"successful":false}`, "", false, sshlogin.ErrNoOTP},
		{"nonsense", `x`, "", false, sshlogin.ErrAnswer},
	} {
		t.Run(f.name, func(t *testing.T) {
			path := "GET /user/generate_otp"
			if f.own {
				path = "POST /user/generate_otp?form=oxp"
			}
			otp, err := answering(t, map[string]string{path: f.answer}).OTP(context.Background(), secret.FromString("token"), f.own)
			if otp.Expose() != f.otp || !errors.Is(err, f.err) {
				t.Errorf("%q, %v", otp.Expose(), err)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	s := answering(t, map[string]string{"GET /user/get_status": `403 {"error":"Forbidden","error_description":"User x does not meet requirements","error_details":["y"]}`})
	_, err := s.Status(context.Background(), secret.FromString("secret-token"))
	var refused *sshlogin.CallError
	if !errors.As(err, &refused) || err.Error() != "Failed on get_status: [HTTP 403] Forbidden - User x does not meet requirements" {
		t.Error(err)
	}
	if _, err := s.Deploy(context.Background(), secret.FromString("secret-token")); err == nil || strings.Contains(err.Error(), "secret-token") {
		t.Error(err)
	}
}

// root is a Doer that knows which services there are.
type root map[string]string

func (r root) Do(_ context.Context, req *http.Request) (*httpc.Response, error) {
	switch answer := r[req.URL.String()]; answer {
	case "":
		return nil, &httpc.Error{Method: req.Method, URL: req.URL.String(), Err: context.DeadlineExceeded}
	case "tls":
		return nil, &httpc.Error{Method: req.Method, URL: req.URL.String(), Err: x509.UnknownAuthorityError{}}
	default:
		return &httpc.Response{Status: 200, Body: []byte(`{"description":"` + answer + `"}`)}, nil
	}
}

func TestFind(t *testing.T) {
	const yes, no = sshlogin.Description, "a web shop"
	for _, f := range []struct {
		name  string
		there root
		clear bool
		base  string
		err   error
	}{
		{"at_443", root{"https://h/": yes, "https://h:8443/": yes}, true, "https://h", nil},
		{"at_8443", root{"https://h/": no, "https://h:8443/": yes}, true, "https://h:8443", nil},
		{"at_8080", root{"http://h:8080/": yes}, true, "http://h:8080", nil},
		{"at_8080_when_that_is_of_no_use", root{"http://h:8080/": yes}, false, "", sshlogin.ErrNoService},
		{"untrusted_ends_it", root{"https://h/": "tls", "https://h:8443/": yes, "http://h:8080/": yes}, true, "", errAny},
		{"nowhere", root{"https://h/": no}, true, "", sshlogin.ErrNoService},
	} {
		t.Run(f.name, func(t *testing.T) {
			finder := sshlogin.Finder{HTTP: f.there}
			if f.clear {
				finder.Clear = f.there
			}
			base, err := finder.Find(context.Background(), "h")
			if base != f.base || f.err != errAny && !errors.Is(err, f.err) || f.err != nil && err == nil {
				t.Errorf("%q, %v", base, err)
			}
		})
	}
	f := sshlogin.Finder{HTTP: root{"https://[::1]:8443/": yes}}
	if base, err := f.Find(context.Background(), "::1"); base != "https://[::1]:8443" {
		t.Error(base, err)
	}
	for endpoint, want := range map[string]string{"h:1": "https://h:1", "https://x/y/": "https://x/y", "http://z": ""} {
		f := sshlogin.Finder{HTTP: root{"https://h:1/": yes, "https://x/y/": yes}}
		if base, err := f.Named(context.Background(), endpoint); want != "" && (err != nil || base != want) || want == "" && err == nil {
			t.Errorf("%s: %q, %v", endpoint, base, err)
		}
	}
}

// errAny stands for any error in tables.
var errAny = errors.New("any")

// TestAsk: over the socket go questions, and a secret only as an answer.
func TestAsk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := sock.Listen(path, sock.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- sshlogin.ServeAsked(ctx, ln, func(_ context.Context, a sshlogin.Asked) sshlogin.Reply {
			switch {
			case a.Host == "h":
				return sshlogin.Reply{Keys: []string{edKey}}
			case a.Prompt == "Password: " && a.SSH == 7:
				return sshlogin.Reply{Secret: secret.FromString("hunter2")}
			}
			return sshlogin.Reply{Quiet: a.Kind == "confirm"}
		})
	}()
	r, err := sshlogin.Ask(ctx, path, sshlogin.Asked{Question: sshlogin.Question{Prompt: "Password: "}, SSH: 7})
	if err != nil || r.Secret.Expose() != "hunter2" {
		t.Error(r, err)
	}
	if r, err := sshlogin.Ask(ctx, path, sshlogin.Asked{Host: "H"}); err != nil || len(r.Keys) != 1 {
		t.Error(r, err)
	}
	if r, err := sshlogin.Ask(ctx, path, sshlogin.Asked{Question: sshlogin.Question{Kind: "confirm"}}); err != nil || !r.Quiet || !r.Secret.Empty() {
		t.Error(r, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := sshlogin.Ask(context.Background(), path, sshlogin.Asked{}); !errors.Is(err, sock.ErrNobody) {
		t.Error(err)
	}
}
