package issuer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store"
)

// device is a pending device authorization (RFC 8628). The row outlives the code by ten minutes, so that a late poll
// hears expired_token.
type device struct {
	Client   string   `json:"client"`
	Scope    []string `json:"scope"`
	Audience []string `json:"aud"`
	UserCode string   `json:"user_code"` // its MAC
	Status   string   `json:"status"`    // pending, allowed, refused
	Subject  string   `json:"sub,omitempty"`
	AuthTime int64    `json:"auth_time,omitempty"`
	Interval int64    `json:"interval_ms"`
	LastPoll int64    `json:"last_poll_ms,omitempty"`
	Expires  int64    `json:"exp"`
}

// kept is how long the row stays.
func (d device) kept() time.Time { return time.Unix(d.Expires, 0).Add(10 * time.Minute) }

const (
	devicePending = "pending"
	deviceAllowed = "allowed"
	deviceRefused = "refused"

	// slowDown is added to the interval each time a device polls too fast (RFC 8628 section 3.5).
	slowDown = 5 * time.Second
	// userCodeLetters make no words and are not mistaken for each other (section 6.1): 34 bits in eight.
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
	// codeTriesPerMinute bounds guessing (section 5.1).
	codeTriesPerMinute = 60
)

func newUserCode() string {
	var b strings.Builder
	for range userCodeLength {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(userCodeLetters))))
		if err != nil {
			panic("issuer: crypto/rand failed") // it ends the process before it does
		}
		b.WriteByte(userCodeLetters[n.Int64()])
	}
	return b.String()
}

// plainUserCode takes a code as people type it.
func plainUserCode(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(userCodeLetters, r) {
			return r
		}
		return -1
	}, strings.ToUpper(s[:min(len(s), 64)]))
}

// userCodeKey is a MAC, because 34 bits could be found from a plain hash.
func (i *Issuer) userCodeKey(code string) string { return hex.EncodeToString(i.mac("usercode", code)) }

// deviceAuthorization is the device authorization endpoint (RFC 8628 section 3.1).
func (i *Issuer) deviceAuthorization(w http.ResponseWriter, r *http.Request) error {
	q, c, err := i.clientForm(w, r)
	if err != nil {
		return err
	}
	if !c.may(GrantDevice) {
		return bad("unauthorized_client", "the client is not registered for that grant type")
	}
	d := device{Client: c.ID, Status: devicePending, Interval: i.o.DeviceInterval.Milliseconds()}
	if d.Scope, err = parseScope(q.Get("scope")); err != nil {
		return err
	}
	if len(d.Scope) == 0 {
		d.Scope = c.Scope
	}
	if d.Audience, err = readAudience(q); err != nil {
		return err
	}
	code, user, err := i.saveDevice(r.Context(), d)
	if err != nil {
		return conflict(err)
	}
	shown := user[:4] + "-" + user[4:]
	return httpd.WriteJSON(w, http.StatusOK, map[string]any{
		"device_code": code, "user_code": shown, "verification_uri": i.endpoint("/device"),
		"verification_uri_complete": i.endpoint("/device") + "?user_code=" + shown,
		"expires_in":                int64(i.o.DeviceTTL / time.Second),
		"interval":                  int64((i.o.DeviceInterval + time.Second - 1) / time.Second),
	})
}

func (i *Issuer) saveDevice(ctx context.Context, d device) (code, user string, err error) {
	if err := i.devices.take(ctx, i); err != nil {
		return "", "", err
	}
	code, user = random(32), newUserCode()
	d.Expires, d.UserCode = i.in(i.o.DeviceTTL), i.userCodeKey(user)
	keep := d.kept()
	err = i.o.Engine.Update(ctx, func(tx store.WTx) error {
		if err := save(tx, slot{userTable(), d.UserCode, keep}, digest(code)); err != nil {
			return err
		}
		return save(tx, slot{deviceTable(), digest(code), keep}, d)
	})
	return code, user, err
}

// pollDevice answers one poll, in one Update: the code gives tokens once.
func (i *Issuer) pollDevice(ctx context.Context, c party, q url.Values) (answer, error) {
	key := digest(q.Get("device_code"))
	if err := i.grants.take(ctx, i); err != nil {
		return answer{}, err
	}
	var fam family
	var told error
	err := i.o.Engine.Update(ctx, func(tx store.WTx) error {
		told = nil
		d, ok, err := loadForUpdate[device](tx, deviceTable(), key)
		if err != nil {
			return err
		}
		if !ok || d.Client != c.ID {
			return badGrant("the device code is not known or was used")
		}
		if told = i.poll(&d); told != nil {
			return save(tx, slot{deviceTable(), key, d.kept()}, d)
		}
		if err := tx.Delete(deviceTable(), store.Key{key}); err != nil {
			return err
		}
		if err := tx.Delete(userTable(), store.Key{d.UserCode}); err != nil {
			return err
		}
		fam = i.newFamily(newGrantID(), c, grant{
			Subject: d.Subject, Scope: d.Scope, Audience: d.Audience, AuthTime: d.AuthTime,
		})
		return i.saveGrant(tx, fam.ID, fam.Row)
	})
	if err == nil {
		err = told
	}
	if err != nil {
		i.grants.give()
		return answer{}, err
	}
	return i.answer(i.wantedOf(fam.ID, fam.Row), "", fam.Refresh)
}

// poll notes a poll in d and says what the device is told, nil when it gets its tokens.
func (i *Issuer) poll(d *device) error {
	now := i.o.Now()
	switch {
	case now.Unix() >= d.Expires:
		return bad("expired_token", "the device code has expired")
	case d.Status == deviceAllowed:
		return nil
	case d.Status == deviceRefused:
		return bad(codeAccessDenied, "the person refused")
	}
	// A tenth of leeway for networks that deliver one request late and the next in time.
	fast := d.LastPoll != 0 && now.UnixMilli()-d.LastPoll < d.Interval-d.Interval/10
	d.LastPoll = now.UnixMilli()
	if fast {
		d.Interval += slowDown.Milliseconds()
		return bad("slow_down", "polled too fast: wait five seconds longer each time")
	}
	return bad("authorization_pending", "the person has not decided yet")
}

// devicePage is where a person enters the code, signs in and decides.
func (i *Issuer) devicePage(w http.ResponseWriter, r *http.Request) error {
	if len(r.URL.RawQuery) > maxQuery {
		return i.pageError(w, badRequest("the request is too long"))
	}
	q, err := readParams(r.URL.RawQuery)
	if err != nil {
		return i.pageError(w, err)
	}
	code := plainUserCode(q.Get("user_code"))
	if code == "" {
		v := view{Kind: "code", Title: "Connect a device", Action: i.endpoint("/device")}
		return i.show(w, http.StatusOK, v, "")
	}
	key, d, err := i.pendingDevice(r.Context(), code)
	if err != nil {
		return i.pageError(w, err)
	}
	c, ok, err := i.party(r.Context(), d.Client)
	if err != nil || !ok {
		return i.pageError(w, orError(err, badRequest("the application is not registered here any more")))
	}
	a, err := i.ask(w, r, question{
		path: "/device", client: c, scope: d.Scope, audience: d.Audience, hint: q.Get("login_hint"), age: -1,
		userCode: code[:4] + "-" + code[4:],
	})
	if err != nil {
		return i.pageError(w, err)
	}
	if !a.done {
		return nil
	}
	if err := i.decideDevice(r.Context(), key, c, a); err != nil {
		return i.pageError(w, err)
	}
	v := view{Kind: "message", Title: "Device connected", Notice: "Success. You can continue on your device."}
	if a.refused {
		v.Title, v.Notice = "Access refused", "The device gets no access. You can close this page."
	}
	return i.show(w, http.StatusOK, v, "")
}

func orError(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// pendingDevice finds the device that waits for a user code and returns the key of its row.
func (i *Issuer) pendingDevice(ctx context.Context, code string) (key string, d device, err error) {
	unknown := badRequest("This code is not known, was used or has expired.")
	if len(code) != userCodeLength {
		return "", d, unknown
	}
	if !i.tries.allowed(i.o.Now()) {
		e := httpd.Refuse(http.StatusTooManyRequests, "slow_down", "Too many wrong codes: please wait a minute.")
		e.Header = http.Header{"Retry-After": {"60"}}
		return "", d, e
	}
	key, ok, err := find[string](ctx, i, userTable(), i.userCodeKey(code))
	if err == nil && ok {
		d, ok, err = find[device](ctx, i, deviceTable(), key)
	}
	if err != nil {
		return "", d, err
	}
	if !ok || d.Status != devicePending || i.o.Now().Unix() >= d.Expires {
		i.tries.wrong(i.o.Now())
		return "", d, unknown
	}
	return key, d, nil
}

func (i *Issuer) decideDevice(ctx context.Context, key string, c party, a reply) error {
	return i.o.Engine.Update(ctx, func(tx store.WTx) error {
		d, ok, err := loadForUpdate[device](tx, deviceTable(), key)
		if err != nil {
			return fmt.Errorf("decide about a device: %w", err)
		}
		if !ok || d.Status != devicePending || i.o.Now().Unix() >= d.Expires {
			return badRequest("This code is not known, was used or has expired.")
		}
		d.Status, d.Subject, d.AuthTime = deviceAllowed, a.user.Subject, a.since.Unix()
		d.Scope = i.allowed(c, &a.user, d.Scope)
		if a.refused {
			d.Status = deviceRefused
		}
		return save(tx, slot{deviceTable(), key, d.kept()}, d)
	})
}

// codeTries counts wrong user codes in the present minute.
type codeTries struct {
	mu     sync.Mutex
	minute int64
	n      int
}

func (t *codeTries) allowed(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.minute != now.Unix()/60 || t.n < codeTriesPerMinute
}

func (t *codeTries) wrong(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m := now.Unix() / 60; t.minute != m {
		t.minute, t.n = m, 0
	}
	t.n++
}
