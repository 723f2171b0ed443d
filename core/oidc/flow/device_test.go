package flow_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

func TestDeviceAnswers(t *testing.T) {
	f := newFake(t)
	const head = `"device_code":"dc","user_code":"AB-CD",`
	const uri = `"verification_uri":"https://op.example/device"`
	tests := []struct {
		name, body string
		ok         bool
		complete   string
		life       time.Duration
		interval   time.Duration
	}{
		{"minimal", head + uri, true, "", 10 * time.Minute, 5 * time.Second},
		{
			"all", head + uri + `,"verification_uri_complete":"https://op.example/d?c=AB","expires_in":300,"interval":7`, true,
			"https://op.example/d?c=AB", 5 * time.Minute, 7 * time.Second,
		},
		{
			"names_of_Google", head + `"verification_url":"https://op.example/device","expires_in":"1800"`, true, "",
			30 * time.Minute, 5 * time.Second,
		},
		{"interval_zero", head + uri + `,"interval":0`, true, "", 10 * time.Minute, time.Second},
		{"interval_negative", head + uri + `,"interval":-1`, true, "", 10 * time.Minute, time.Second},
		{"interval_of_a_year", head + uri + `,"interval":31536000`, true, "", 10 * time.Minute, 5 * time.Minute},
		{"lifetime_without_end", head + uri + `,"expires_in":1e300`, true, "", 24 * time.Hour, 5 * time.Second},
		{"lifetime_negative", head + uri + `,"expires_in":-1`, true, "", 0, 5 * time.Second},
		{
			"complete_is_no_web_address", head + uri + `,"verification_uri_complete":"javascript:x"`, true, "",
			10 * time.Minute, 5 * time.Second,
		},
		{"no_device_code", `"user_code":"AB",` + uri, false, "", 0, 0},
		{"no_user_code", `"device_code":"dc",` + uri, false, "", 0, 0},
		{"no_address", `"device_code":"dc","user_code":"AB"`, false, "", 0, 0},
		{"address_is_a_file", head + `"verification_uri":"file:///etc/passwd"`, false, "", 0, 0},
		{"address_with_escapes", head + `"verification_uri":"https://op.example/\u001b[2J"`, false, "", 0, 0},
		{"address_with_direction_marks", head + `"verification_uri":"https://op.example/\u202egpj"`, false, "", 0, 0},
		{"user_code_with_escapes", `"device_code":"dc","user_code":"A\u001b[2J",` + uri, false, "", 0, 0},
		{"user_code_without_end", `"device_code":"dc","user_code":"` + strings.Repeat("A", 65) + `",` + uri, false, "", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.answersJSON(200, "{"+tt.body+"}")
			d, err := f.client(t).StartDevice(t.Context(), flow.Request{Scope: []string{"openid"}})
			if !tt.ok {
				if !errors.Is(err, flow.ErrAnswer) {
					t.Fatalf("accepted: %+v, %v", d, err)
				}
				return
			}
			if err != nil || d.Code.Expose() != "dc" || d.UserCode != "AB-CD" || d.URI != "https://op.example/device" {
				t.Fatalf("%+v, %v", d, err)
			}
			if d.URIComplete != tt.complete || !d.Expires.Equal(f.now.Add(tt.life)) || d.Interval != tt.interval {
				t.Fatalf("complete %q, %v left, every %v", d.URIComplete, d.Expires.Sub(f.now), d.Interval)
			}
			if form := f.requests()[0].form; form.Get("client_id") != "box" || form.Has("grant_type") {
				t.Fatalf("request %v", form)
			}
		})
	}
}

// TestWaitDevice: the pauses of RFC 8628 3.5.
func TestWaitDevice(t *testing.T) {
	f := newFake(t)
	const s = time.Second
	pending, slow := `400 {"error":"authorization_pending"}`, `400 {"error":"slow_down"}`
	good := `200 {"access_token":"at","token_type":"Bearer"}`
	tests := []struct {
		name    string
		answers []string
		waits   []time.Duration
		err     error
	}{
		{"approved_at_once", []string{good}, []time.Duration{5 * s}, nil},
		{"pending", []string{pending, pending, good}, []time.Duration{5 * s, 5 * s, 5 * s}, nil},
		{
			"slow_down_stays",
			[]string{slow, pending, slow, pending, good},
			[]time.Duration{5 * s, 10 * s, 10 * s, 15 * s, 15 * s},
			nil,
		},
		{"slow_down_with_another_status", []string{`403 {"error":"slow_down"}`, good}, []time.Duration{5 * s, 10 * s}, nil},
		{
			"faults_back_off_and_recover",
			[]string{"503 ", "502 <html>", "500 ", "503 ", "503 ", pending, good},
			[]time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 60 * s, 60 * s, 5 * s},
			nil,
		},
		{"cut_connection", []string{"cut", pending, good}, []time.Duration{5 * s, 10 * s, 5 * s}, nil},
		{"denied", []string{pending, `400 {"error":"access_denied"}`}, []time.Duration{5 * s, 5 * s}, flow.ErrAccessDenied},
		{"provider_says_expired", []string{`400 {"error":"expired_token"}`}, []time.Duration{5 * s}, flow.ErrExpiredCode},
		{"nonsense_ends_it", []string{`200 <html>`}, []time.Duration{5 * s}, flow.ErrAnswer},
		{
			"clock_says_expired", slices.Repeat([]string{pending}, 100), slices.Repeat([]time.Duration{5 * s}, 20),
			flow.ErrExpiredCode,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.answersJSON(200, `{"device_code":"dc","user_code":"AB","verification_uri":"https://op.example/d","expires_in":`+
				map[bool]string{true: "100}", false: "3600}"}[tt.name == "clock_says_expired"])
			now := f.now
			c := f.client(t, func(_ *flow.ClientConfig, o *flow.Options) { o.Now = func() time.Time { return now } })
			d, err := c.StartDevice(t.Context(), flow.Request{})
			if err != nil {
				t.Fatal(err)
			}
			f.answers(f.oneByOne(tt.answers))
			var waits []time.Duration
			flow.PassTime(c, &waits, &now)
			tok, err := c.WaitDevice(t.Context(), d)
			if !errors.Is(err, tt.err) || tt.err == nil && (err != nil || tok.Access.Empty()) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if !slices.Equal(waits, tt.waits) {
				t.Fatalf("waits %v, want %v", waits, tt.waits)
			}
		})
	}
}

// oneByOne gives "STATUS BODY" answers in turn; "cut" ends the connection.
func (f *fake) oneByOne(list []string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		next := list[min(len(f.requests()), len(list))-1]
		if next == "cut" {
			panic(http.ErrAbortHandler)
		}
		status := map[string]int{"200": 200, "400": 400, "403": 403, "500": 500, "502": 502, "503": 503}[next[:3]]
		w.WriteHeader(status)
		_, _ = w.Write([]byte(next[4:]))
	}
}

func TestWaitDeviceHonoursRetryAfter(t *testing.T) {
	f := newFake(t)
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/device" {
			_, _ = w.Write([]byte(`{"device_code":"dc","user_code":"AB","verification_uri":"https://op.example/d"}`))
			return
		}
		if len(f.requests()) == 2 {
			w.Header().Set("Retry-After", "33")
			w.WriteHeader(503)
			return
		}
		_, _ = w.Write([]byte(`{"access_token":"at"}`))
	})
	c := f.client(t)
	d, err := c.StartDevice(t.Context(), flow.Request{})
	if err != nil {
		t.Fatal(err)
	}
	var waits []time.Duration
	flow.RecordSleep(c, &waits)
	if _, err := c.WaitDevice(t.Context(), d); err != nil || !slices.Equal(waits, []time.Duration{
		5 * time.Second,
		33 * time.Second,
	}) {
		t.Fatalf("%v, waits %v", err, waits)
	}
}

func TestWaitDeviceEndsWithItsContext(t *testing.T) {
	f := newFake(t)
	f.answersJSON(200, `{"device_code":"dc","user_code":"AB","verification_uri":"https://op.example/d"}`)
	c := f.client(t)
	d, err := c.StartDevice(t.Context(), flow.Request{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	if _, err := c.WaitDevice(ctx, d); !errors.Is(err, context.Canceled) || time.Since(start) > 2*time.Second {
		t.Fatalf("%v after %v", err, time.Since(start))
	}
}

// TestWaitDeviceWithoutKeys: the code is used up, so polling on would end in a wrong explanation.
func TestWaitDeviceWithoutKeys(t *testing.T) {
	f := newFake(t)
	f.answersJSON(200, `{"device_code":"dc","user_code":"AB","verification_uri":"https://op.example/d"}`)
	c := f.client(t, func(_ *flow.ClientConfig, o *flow.Options) { o.Keys = unreachable{} })
	d, err := c.StartDevice(t.Context(), flow.Request{})
	if err != nil {
		t.Fatal(err)
	}
	f.answersJSON(200, toJSON(t, map[string]any{"access_token": "at", "id_token": f.sign(t, "JWT", map[string]any{
		"iss": f.md.Issuer, "sub": "a", "aud": "box", "exp": f.now.Unix() + 60, "iat": f.now.Unix(),
	})}))
	var waits []time.Duration
	flow.RecordSleep(c, &waits)
	_, err = c.WaitDevice(t.Context(), d)
	if !errors.Is(err, flow.ErrIDToken) || !flow.Temporary(err) || len(f.requests()) != 1 {
		t.Fatalf("%v, %d requests", err, len(f.requests()))
	}
}

type unreachable struct{}

func (unreachable) Candidates(context.Context, string, jose.Header) ([]*jose.PublicKey, error) {
	return nil, fmt.Errorf("fetch: %w", provider.ErrUnavailable)
}
