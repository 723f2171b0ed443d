//go:build unix

package applets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// A person gives an address, confirms it, has mails and an invitation sent, and a calendar, with the client and the server
// as they are installed, and a real mail server with STARTTLS.
func TestMytokenNotices(t *testing.T) {
	exim := services.SMTP(t)
	password := filepath.Join(t.TempDir(), "mail-password")
	if err := os.WriteFile(password, []byte(exim.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newMytokenSite(t, fmt.Sprintf("mail: {host: localhost, port: %d, user: %s, password_file: %s, "+
		"from: mytoken@example.org, from_name: Mytokens of the Institute, ca_file: %s}\n",
		exim.Port, exim.User, password, exim.CAFile))
	mt := s.login("--capability", "tokeninfo", "--capability", "manage_mytokens", "--capability", "settings",
		"--capability", "AT", "--restrictions", fmt.Sprintf(`[{"exp":%d}]`, 4102444800))
	ok := func(args ...string) string {
		t.Helper()
		out := s.client(mt, args...)
		if out.code != 0 {
			t.Fatalf("%q: %d\n%s%s", args, out.code, out.out, out.errOut)
		}
		return out.out
	}
	if out := ok("settings", "email", "get", "--json"); !strings.Contains(out, `"email_verified": true`) ||
		strings.Contains(out, "alice@example.net") {
		t.Errorf("the address that the provider vouches for: %s", out)
	}
	ok("settings", "email", "update", "--email", "alice@example.net", "--html")
	confirmed(t, exim, s.url)
	if out := ok("settings", "email", "get", "--json"); !strings.Contains(out, `"email_verified": true`) ||
		!strings.Contains(out, "alice@example.net") {
		t.Errorf("after the confirmation: %s", out)
	}
	code := strings.TrimSpace(ok("notifications", "create", "--classes", "expiration,security", "--comment", "the farm"))
	if out := ok("notifications", "list"); !strings.Contains(out, code) {
		t.Errorf("%s", out)
	}
	ok("notifications", "create", "--type", "ics_invite")
	ok("calendars", "create", "my farm")
	ok("calendars", "subscribe", "my farm", "--comment", "runs 7 to 9")
	feed := calendarFeed(t, ok("calendars", "list", "--json"))
	if !strings.Contains(feed, "COMMENT:runs 7 to 9\r\n") || !strings.Contains(feed, "BEGIN:VEVENT\r\n") {
		t.Errorf("%s", feed)
	}
	if out := ok("info", "notifications", "--json"); !strings.Contains(out, code) || !strings.Contains(out, "my farm") {
		t.Errorf("%s", out)
	}
	if all := exim.WaitMails(3); !bytes.Contains(bytes.Join(all, nil), []byte("method=REQUEST")) {
		t.Errorf("no invitation in\n%s", bytes.Join(all, nil))
	}
	s.must("mytoken", "notifications", "delete", code, "--url", s.url)
	ok("calendars", "delete", "my farm")
	if out := ok("calendars", "list", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("%s", out)
	}
	log, err := os.ReadFile(s.path("server.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{mt, code, exim.Password, "alice@example.net"} {
		if bytes.Contains(log, []byte(secret)) {
			t.Errorf("the log has %q", secret)
		}
	}
}

// confirmed opens the link of the mail, which changes nothing, and presses the button.
func confirmed(t *testing.T, exim *services.SMTPServer, url string) {
	t.Helper()
	var link []byte
	for _, raw := range exim.WaitMails(2) { // the address before is told as well
		m, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get("Envelope-To") == "alice@example.net" {
			link = regexp.MustCompile(regexp.QuoteMeta(url) + `/actions\?action=verify_email&code=[A-Z2-7]{32}`).Find(body)
		}
	}
	if link == nil {
		t.Fatalf("no link in\n%s", bytes.Join(exim.Mails(), nil))
	}
	for _, press := range []func() (*http.Response, error){
		func() (*http.Response, error) { return http.Get(string(link)) },
		func() (*http.Response, error) { return http.Post(string(link), "", nil) },
	} {
		resp, err := press()
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s", resp.Status)
		}
	}
}

func calendarFeed(t *testing.T, list string) string {
	t.Helper()
	var all []struct {
		URL string `json:"ics_path"`
	}
	if err := json.Unmarshal([]byte(list), &all); err != nil || len(all) != 1 {
		t.Fatalf("%s: %v", list, err)
	}
	resp, err := http.Get(all[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/calendar; charset=utf-8" {
		t.Fatalf("%s %v %v", resp.Status, resp.Header, err)
	}
	return string(b)
}
