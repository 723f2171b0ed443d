package notices

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// bodies are those of a mail that arrived, by their content type.
func bodies(t *testing.T, raw []byte) (netmail.Header, map[string]string) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	must(t, err)
	out := make(map[string]string)
	add := func(kind, encoding string, r io.Reader) {
		switch strings.ToLower(encoding) {
		case "quoted-printable":
			r = quotedprintable.NewReader(r)
		case "base64":
			r = base64.NewDecoder(base64.StdEncoding, r)
		}
		b, err := io.ReadAll(r)
		must(t, err)
		out[kind] = string(b)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	must(t, err)
	if !strings.HasPrefix(kind, "multipart/") {
		add(kind, m.Header.Get("Content-Transfer-Encoding"), m.Body)
		return m.Header, out
	}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF { //nolint:errorlint // as the package says
			return m.Header, out
		}
		must(t, err)
		kind, params, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		must(t, err)
		if m := params["method"]; m != "" {
			kind += ";method=" + m
		}
		add(kind, p.Header.Get("Content-Transfer-Encoding"), p)
	}
}

// Mails as they arrive over STARTTLS at a real mail server, with names of somebody who means harm.
func TestMailServer(t *testing.T) {
	server := services.SMTP(t)
	ca, err := os.ReadFile(server.CAFile)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	mailer, err := mail.New(mail.Config{
		Host: "localhost", Port: server.Port, Roots: roots, User: server.User, Password: secret.FromString(server.Password),
		From: addr(t, "mytoken@example.org"), FromName: "mytoken",
	})
	must(t, err)
	b := newBed(t, func(o *Options) {
		o.Open = func(ctx context.Context) (Session, error) { return mailer.Open(ctx) }
	})
	hostile := "x\r\nBcc: thief@example.net\r\n\r\n<script>alert(1)</script>.\r\n.\r\nQUIT\r\n" + strings.Repeat("ü", 2000)
	html := true
	must(t, b.SetMail(t.Context(), "alice", "alice@example.net", &html))
	b.mt("alice", "m1", 10*day, func(t *ledger.Token) { t.Name = hostile })
	b.sends()
	_, first := bodies(t, server.WaitMails(1)[0])
	link := ""
	for word := range strings.FieldsSeq(first["text/plain"]) {
		if strings.HasPrefix(word, issuer+"/actions?action=verify_email") {
			link = word
		}
	}
	if !strings.Contains(first["text/html"], strings.ReplaceAll(link, "&", "&amp;")) {
		t.Errorf("no link in the HTML:\n%s", first["text/html"])
	}
	must(t, b.act(t.Context(), forConfirming, codeOf(t, link)))
	must(t, b.invite(t.Context(), "alice", "m1", mytoken.NotificationRequest{Comment: "for <b>the farm</b>; 1, 2"}))
	_, err = b.subscribe(t.Context(), "alice", subscription{classes: []string{"security"}, momID: "m1"})
	must(t, err)
	b.tell(desk.Notice{
		User: "alice", MOMID: "m1", Name: hostile, Comment: hostile, Class: desk.ClassRevoked,
		From: desk.Origin{UserAgent: hostile},
	})
	b.sends()
	server.WaitMails(3)
	server.Settled()
	all := server.Mails()
	if len(all) != 3 {
		t.Fatalf("%d mails\n%s", len(all), server.Log())
	}
	for _, raw := range all {
		if subjectOf(t, raw) == "Confirm your mail address" {
			continue
		}
		h, body := bodies(t, raw)
		if h.Get("Envelope-To") != "alice@example.net" || h.Get("Bcc") != "" || h.Get("Auto-Submitted") != "auto-generated" {
			t.Errorf("%v", h)
		}
		if strings.Contains(body["text/html"], "<script") || strings.Contains(body["text/html"], "<b>") || len(raw) > 32<<10 {
			t.Errorf("%d bytes\n%s", len(raw), body["text/html"])
		}
		if ics, ok := body["text/calendar;method=REQUEST"]; ok {
			cal, err := readICS(strings.ReplaceAll(ics, "\n", "\r\n")) // files of Unix have another end of lines
			must(t, err)
			if cal.parts[0].text("ATTENDEE") != "mailto:alice@example.net" ||
				cal.parts[0].text("COMMENT") != "for <b>the farm</b>; 1, 2" {
				t.Errorf("%s", ics)
			}
			continue
		}
		if !strings.HasPrefix(h.Get("List-Unsubscribe"), "<"+issuer+"/actions?action=unsubscribe&code=") ||
			h.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
			t.Errorf("%v", h)
		}
	}
	t.Run("down_for_a_while", func(t *testing.T) {
		server.Stop()
		b.tell(desk.Notice{User: "alice", MOMID: "m1", Name: "job", Class: desk.ClassIPs})
		b.sends()
		server.Start()
		b.clock.move(time.Minute)
		b.sends()
		server.WaitMails(4)
	})
}
