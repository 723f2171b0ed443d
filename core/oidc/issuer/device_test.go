package issuer_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
)

type device struct {
	s                    *issuertest.Server
	code, user, complete string
}

func newDevice(t *testing.T, s *issuertest.Server, form ...string) device {
	t.Helper()
	a := s.Post("/device_authorization", "native", "", with(url.Values{"scope": {"openid offline_access"}}, form...))
	if a.Status != http.StatusOK {
		t.Fatalf("device authorization: %d %v", a.Status, a.Body)
	}
	str := func(name string) string { v, _ := a.Body[name].(string); return v }
	d := device{s, str("device_code"), str("user_code"), str("verification_uri_complete")}
	complete := strings.HasPrefix(d.complete, str("verification_uri")) && a.Body["interval"] != nil
	if d.code == "" || len(d.user) != 9 || !complete {
		t.Fatalf("device authorization: %v", a.Body)
	}
	return d
}

func (d device) poll() issuertest.Answer {
	return d.s.Token("native", "", url.Values{"grant_type": {issuer.GrantDevice}, "device_code": {d.code}})
}

func TestDeviceFlow(t *testing.T) {
	for _, auto := range []string{"alice", ""} {
		t.Run("auto login "+auto, func(t *testing.T) {
			c := newClock()
			s := issuertest.Start(t, c.option, func(o *issuer.Options) { o.AutoLogin = auto })
			d := newDevice(t, s, "audience", "https://se.example")
			wantError(t, d.poll(), 400, "authorization_pending")
			s.ApproveDevice(d.complete, "bob")
			a := d.poll()
			at := access(t, s, wantOK(t, a))
			if at["aud"] != "https://se.example" || !strings.HasPrefix(at["sub"].(string), "626f62") {
				t.Errorf("claims: %v", at)
			}
			if text(a, "refresh_token").Empty() || text(a, "id_token").Empty() {
				t.Error("refresh or ID token is missing")
			}
			wantError(t, d.poll(), 400, "invalid_grant")
		})
	}
}

func TestDeviceOnceUnderConcurrency(t *testing.T) {
	s := issuertest.Start(t)
	for range 10 {
		d := newDevice(t, s)
		s.ApproveDevice(d.complete, "alice")
		if n := sideBySide(8, d.poll); n != 1 {
			t.Fatalf("the device code gave tokens %d times", n)
		}
	}
}

func TestDeviceRefusedAndExpired(t *testing.T) {
	c := newClock()
	s := issuertest.Start(t, c.option)
	d := newDevice(t, s)
	s.ApproveDevice(d.complete, "deny")
	wantError(t, d.poll(), 400, "access_denied")

	d = newDevice(t, s)
	c.pass(10 * time.Minute)
	wantError(t, d.poll(), 400, "expired_token")
	resp, page := open(t).get(d.complete)
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(page, "not known") {
		t.Errorf("an expired code: %d %s", resp.StatusCode, page)
	}
}

func TestDeviceSlowDown(t *testing.T) {
	c := newClock()
	s := issuertest.Start(t, c.option, func(o *issuer.Options) { o.DeviceInterval = 5 * time.Second })
	d := newDevice(t, s)
	step := func(after time.Duration, want string) {
		t.Helper()
		c.pass(after)
		wantError(t, d.poll(), 400, want)
	}
	step(0, "authorization_pending")
	step(5*time.Second, "authorization_pending")
	step(time.Second, "slow_down")
	step(5*time.Second, "slow_down")              // ten are asked for by now, and fifteen from here
	step(15*time.Second, "authorization_pending") // waited long enough
	step(4*time.Second, "slow_down")
	s.ApproveDevice(d.complete, "alice")
	wantOK(t, d.poll()) // who was allowed need not wait
}

func TestDeviceCodesOfOthers(t *testing.T) {
	s := issuertest.Start(t)
	d := newDevice(t, s)
	s.ApproveDevice(d.complete, "alice")
	a := s.Token("web", "web-secret", url.Values{"grant_type": {issuer.GrantDevice}, "device_code": {d.code}})
	wantError(t, a, 400, "invalid_grant")
	wantOK(t, d.poll())
	wantError(t, s.Post("/device_authorization", "service", "service-secret", url.Values{}), 400, "unauthorized_client")
	wantError(t, s.Post("/device_authorization", "web", "", url.Values{}), 401, "invalid_client")
	pathless := url.Values{"scope": {"storage.read"}}
	wantError(t, s.Post("/device_authorization", "native", "", pathless), 400, "invalid_scope")
}

func TestUserCodePage(t *testing.T) {
	s := issuertest.Start(t, withPages)
	_, page := open(t).get(s.URL + "/device")
	if !strings.Contains(page, `name="user_code"`) {
		t.Errorf("no place for the code: %s", page)
	}
	d := newDevice(t, s)
	w := open(t)
	typed := s.URL + "/device?user_code=" + strings.ToLower(strings.ReplaceAll(d.user, "-", "%20"))
	_, page = w.get(typed)
	_, page = w.post(typed, fields(t, page, "login", "alice"))
	if !strings.Contains(page, d.user) || !strings.Contains(page, "Native application") {
		t.Errorf("the page does not show the code and the client: %s", page)
	}
	consent := fields(t, page)
	_, page = w.post(typed, with(clone(consent), "refuse", "1"))
	if !strings.Contains(page, "no access") {
		t.Errorf("refused: %s", page)
	}
	wantError(t, d.poll(), 400, "access_denied")
	if resp, _ := w.post(typed, consent); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a decision was taken back: %d", resp.StatusCode)
	}
	wantError(t, d.poll(), 400, "access_denied")
}

func TestUserCodesCannotBeGuessed(t *testing.T) {
	c := newClock()
	s := issuertest.Start(t, c.option)
	d := newDevice(t, s)
	status := 0
	for range 100 {
		resp, _ := open(t).get(s.URL + "/device?user_code=BBBB-BBBB")
		if status = resp.StatusCode; status == http.StatusTooManyRequests {
			break
		}
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("100 guesses ended with %d", status)
	}
	if resp, _ := open(t).get(d.complete); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a right guess in the same minute: %d", resp.StatusCode)
	}
	c.pass(time.Minute)
	if resp, _ := open(t).get(d.complete); resp.StatusCode != http.StatusOK {
		t.Errorf("a minute later: %d", resp.StatusCode)
	}
}
