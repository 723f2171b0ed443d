//go:build unix

package ldapdir_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/ldapdir"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

func later() time.Time { return time.Now().Add(time.Hour) }

// Kinds of messages (RFC 4511 4.2).
const (
	bindRequest, bindResponse         = 0, 1
	searchRequest, searchEntry        = 3, 4
	searchDone, searchReference       = 5, 19
	extendedRequest, extendedResponse = 23, 24
)

// fake is a directory that answers as it likes.
type fake struct {
	url    string
	answer func(w io.Writer, number int64, kind ber.Tag)

	mu   sync.Mutex
	seen bytes.Buffer // every byte that came
}

func newFake(t *testing.T, answer func(w io.Writer, number int64, kind ber.Tag)) *fake {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{url: "ldap://" + ln.Addr().String(), answer: answer}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { c.Close() })
			wg.Go(func() { defer c.Close(); f.serve(c) })
		}
	})
	return f
}

func (f *fake) serve(c net.Conn) {
	in := io.TeeReader(c, writer(func(b []byte) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.seen.Write(b)
	}))
	for {
		p, err := ber.ReadPacket(in)
		if err != nil || len(p.Children) < 2 {
			return
		}
		number, _ := p.Children[0].Value.(int64)
		if kind := p.Children[1].Tag; kind == bindRequest {
			send(c, number, bindResponse, result(0, "")...)
		} else {
			f.answer(c, number, kind)
		}
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

func send(w io.Writer, number int64, kind ber.Tag, children ...*ber.Packet) {
	p := ber.NewSequence("")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, number, ""))
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, kind, nil, "")
	for _, c := range children {
		op.AppendChild(c)
	}
	p.AppendChild(op)
	_, _ = w.Write(p.Bytes())
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func result(code int64, referral string) []*ber.Packet {
	list := []*ber.Packet{
		ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""), octets(""), octets("wo\x1b[31mrds"),
	}
	if referral != "" {
		ref := ber.Encode(ber.ClassContext, ber.TypeConstructed, 3, nil, "")
		ref.AppendChild(octets(referral))
		list = append(list, ref)
	}
	return list
}

func ask(t *testing.T, url string, edit ...func(*ldapdir.Options)) error {
	t.Helper()
	o := options(&services.Directory{URL: url})
	for _, e := range edit {
		e(&o)
	}
	_, err := open(t, o).Find(t.Context(), id(t, "a"))
	return err
}

// TestReferrals: neither kind is followed, and an answer with a part elsewhere is no answer.
func TestReferrals(t *testing.T) {
	trap := newFake(t, func(io.Writer, int64, ber.Tag) {})
	for name, answer := range map[string]func(io.Writer, int64, ber.Tag){
		"as_result": func(w io.Writer, n int64, _ ber.Tag) { send(w, n, searchDone, result(10, trap.url)...) },
		"as_part": func(w io.Writer, n int64, _ ber.Tag) {
			send(w, n, searchReference, octets(trap.url+"/dc=example"))
			send(w, n, searchDone, result(0, "")...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := ask(t, newFake(t, answer).url)
			if !errors.Is(err, ldapdir.ErrReferral) || !errors.Is(err, backend.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
		})
	}
	trap.mu.Lock()
	defer trap.mu.Unlock()
	if trap.seen.Len() > 0 {
		t.Error("the referral was followed")
	}
}

// TestNoEncryption: a server that is to encrypt and does not gets neither name nor password.
func TestNoEncryption(t *testing.T) {
	tls := func(o *ldapdir.Options) { o.StartTLS = true }
	for name, answer := range map[string]func(io.Writer, int64, ber.Tag){
		"refused": func(w io.Writer, n int64, _ ber.Tag) { send(w, n, extendedResponse, result(2, "")...) },
		"junk": func(w io.Writer, n int64, kind ber.Tag) {
			if kind == extendedRequest {
				send(w, n, extendedResponse, result(0, "")...)
				_, _ = io.WriteString(w, strings.Repeat("this is no TLS ", 100))
			}
		},
		"injected": func(w io.Writer, n int64, kind ber.Tag) { // an answer sent ahead of the handshake
			if kind == extendedRequest {
				var b bytes.Buffer
				send(&b, n, extendedResponse, result(0, "")...)
				send(&b, n+1, bindResponse, result(0, "")...)
				_, _ = w.Write(b.Bytes())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, answer)
			if err := ask(t, f.url, tls, brief); !errors.Is(err, ldapdir.ErrPlain) && !errors.Is(err, backend.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if bytes.Contains(f.seen.Bytes(), []byte(services.LDAPWriterPassword)) {
				t.Error("the password was sent")
			}
		})
	}
}

func brief(o *ldapdir.Options) { o.Timeout = 300 * time.Millisecond }

// TestBadServers: whatever a server does, the question ends in time and says "not available", never "no account".
func TestBadServers(t *testing.T) {
	for name, answer := range map[string]func(io.Writer, int64, ber.Tag){
		"silent":       func(io.Writer, int64, ber.Tag) {},
		"busy":         func(w io.Writer, n int64, _ ber.Tag) { send(w, n, searchDone, result(51, "")...) },
		"base_is_gone": func(w io.Writer, n int64, _ ber.Tag) { send(w, n, searchDone, result(32, "")...) },
		"hangs_up":     func(w io.Writer, _ int64, _ ber.Tag) { w.(io.Closer).Close() },
		"junk":         func(w io.Writer, _ int64, _ ber.Tag) { _, _ = io.WriteString(w, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"endless": func(w io.Writer, n int64, _ ber.Tag) {
			for range 100_000 {
				var b bytes.Buffer
				send(&b, n, searchEntry, octets("cn="+strings.Repeat("x", 1000)), ber.NewSequence(""))
				if _, err := w.Write(b.Bytes()); err != nil {
					return
				}
			}
		},
		"huge": func(w io.Writer, _ int64, _ ber.Tag) {
			_, _ = w.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x04, 0x84, 0x7f, 0xff, 0xff, 0xf0})
			chunk := make([]byte, 1<<16)
			for range 10_000 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			err := ask(t, newFake(t, answer).url, func(o *ldapdir.Options) { o.Timeout = time.Second })
			if !errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrNoAccount) {
				t.Errorf("got %v", err)
			}
			if strings.Contains(err.Error(), "\x1b") || time.Since(start) > 30*time.Second {
				t.Errorf("after %s: %q", time.Since(start), err)
			}
		})
	}
}

// TestTransports reaches a real server in each way.
func TestTransports(t *testing.T) {
	d := services.Slapd(t)
	other := services.Slapd(t) // another authority
	ca := func(o *ldapdir.Options) { o.CAFile = d.CA }
	wrongCA := func(o *ldapdir.Options) { o.CAFile = other.CA }
	upgrade := func(o *ldapdir.Options) { o.StartTLS, o.CAFile = true, d.CA }
	for name, c := range map[string]struct {
		url  string
		edit func(*ldapdir.Options)
		want error
	}{
		"loopback":           {d.URL, func(*ldapdir.Options) {}, backend.ErrNoAccount},
		"start_tls":          {d.URL, upgrade, backend.ErrNoAccount},
		"ldaps":              {d.LDAPS, ca, backend.ErrNoAccount},
		"ldaps_wrong_ca":     {d.LDAPS, wrongCA, ldapdir.ErrPlain},
		"start_tls_wrong_ca": {d.URL, func(o *ldapdir.Options) { o.StartTLS, o.CAFile = true, other.CA }, ldapdir.ErrPlain},
		"socket":             {d.LDAPI, func(o *ldapdir.Options) { o.BindDN, o.Password = "", secret.Text{} }, backend.ErrNoAccount},
		"wrong_password":     {d.URL, func(o *ldapdir.Options) { o.Password = secret.FromString("hunter2") }, backend.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			err := ask(t, c.url, c.edit)
			if !errors.Is(err, c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestServers: questions go to another server when the first is down or hangs, changes do not.
func TestServers(t *testing.T) {
	first, second2 := services.Slapd(t), services.Slapd(t)
	second2.Add(services.PersonLDIF("alice", 30001, 20000, "gecos: "+id(t, "a")))
	o := options(first)
	o.Servers, o.Timeout = append(o.Servers, second2.URL), 2*time.Second
	dir := open(t, o)
	if _, err := dir.Find(t.Context(), id(t, "a")); !errors.Is(err, backend.ErrNoAccount) {
		t.Errorf("the first is asked first: %v", err)
	}
	first.Pause()
	if a, err := dir.Find(t.Context(), id(t, "a")); err != nil || a.Name != "alice" {
		t.Errorf("the first hangs: %+v, %v", a, err)
	}
	first.Continue()
	first.Kill()
	if a, err := dir.Find(t.Context(), id(t, "a")); err != nil || a.Name != "alice" {
		t.Errorf("the first is down: %+v, %v", a, err)
	}
	if err := second(dir.Deploy(t.Context(), wanted(t, "b", "bob"))); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("change while the first is down: %v", err)
	}
	if second2.Search(services.LDAPPeople, "(uid=bob)") != "" {
		t.Error("the second was changed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dir.Find(ctx, id(t, "a")); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("caller gave up: %v", err)
	}
}
