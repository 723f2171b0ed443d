package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// as answers with another content type.
func as(kind string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h(rec, r)
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}
}

// The answers of TestHostileIntrospection.
func with(more set) func(*fake) http.HandlerFunc {
	return func(f *fake) http.HandlerFunc { return say(200, f.active(more)) }
}

func status(n int) func(*fake) http.HandlerFunc {
	return func(f *fake) http.HandlerFunc { return say(n, f.active(nil)) }
}

func slashMore(f *fake) http.HandlerFunc { return say(200, f.active(set{"iss": f.URL + "/"})) }

func always(h http.HandlerFunc) func(*fake) http.HandlerFunc {
	return func(*fake) http.HandlerFunc { return h }
}

// TestHostileIntrospection: nothing but status 200 with active exactly true, about this token, is a yes, and what is no
// answer at all decides nothing.
func TestHostileIntrospection(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(f *fake) http.HandlerFunc
		want   error
	}{
		"active_as_string":          {with(set{"active": "true"}), ErrUnavailable},
		"active_as_number":          {with(set{"active": 1}), ErrUnavailable},
		"active_null":               {always(say(200, `{"active":null,"sub":"alice"}`)), ErrUnavailable},
		"active_in_capitals":        {always(say(200, `{"Active":true,"sub":"alice"}`)), ErrUnavailable},
		"active_missing":            {with(set{"active": nil}), ErrUnavailable},
		"active_false":              {with(set{"active": false}), ErrInactive},
		"active_twice":              {always(say(200, `{"active":false,"active":true,"sub":"alice"}`)), ErrUnavailable},
		"sub_twice":                 {always(say(200, `{"active":true,"sub":"alice","sub":"bob"}`)), ErrUnavailable},
		"sub_twice_further_down":    {always(say(200, `{"active":true,"x":{"y":1,"y":2}}`)), ErrUnavailable},
		"sub_in_other_case":         {with(set{"Sub": "bob"}), ErrUnavailable},
		"sub_as_number":             {with(set{"sub": 7}), ErrUnavailable},
		"other_sub":                 {with(set{"sub": "bob"}), ErrContradiction},
		"other_iss":                 {with(set{"iss": "https://evil.example"}), ErrContradiction},
		"iss_with_a_slash_more":     {slashMore, ErrContradiction},
		"other_jti":                 {with(set{"jti": "j2"}), ErrContradiction},
		"other_aud":                 {with(set{"aud": "shop"}), ErrContradiction},
		"aud_as_number":             {with(set{"aud": 5}), ErrUnavailable},
		"exp_passed":                {with(set{"exp": start.Unix() - 1}), ErrInactive},
		"exp_now":                   {with(set{"exp": start.Unix()}), ErrInactive},
		"exp_as_string":             {with(set{"exp": "1900000000"}), ErrUnavailable},
		"exp_in_milliseconds":       {with(set{"exp": start.UnixMilli() * 1000}), ErrUnavailable},
		"nbf_ahead":                 {with(set{"nbf": start.Unix() + 61}), ErrInactive},
		"refresh_token":             {with(set{"token_type": "refresh_token"}), ErrKind},
		"refresh_token_of_hydra":    {with(set{"token_use": "refresh_token"}), ErrKind},
		"refresh_token_of_keycloak": {with(set{"typ": "Refresh"}), ErrKind},
		"id_token":                  {with(set{"typ": "ID"}), ErrKind},
		"token_type_as_list":        {with(set{"token_type": []string{"Bearer"}}), ErrKind},
		"not_json":                  {always(as("text/html", say(200, "<html>active</html>"))), ErrUnavailable},
		"empty":                     {always(say(200, "")), ErrUnavailable},
		"a_list":                    {always(say(200, `[{"active":true}]`)), ErrUnavailable},
		"something_follows":         {always(say(200, `{"active":true} {"active":true}`)), ErrUnavailable},
		"not_utf8":                  {always(say(200, "{\"active\":true,\"sub\":\"al\xffice\"}")), ErrUnavailable},
		"too_deep": {func(*fake) http.HandlerFunc {
			return say(200, `{"active":true,"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}`)
		}, ErrUnavailable},
		"too_many_members": {func(*fake) http.HandlerFunc {
			var b strings.Builder
			for i := range 3000 {
				fmt.Fprintf(&b, `,"m%d":1`, i)
			}
			return say(200, `{"active":true`+b.String()+`}`)
		}, ErrUnavailable},
		"larger_than_is_kept": {func(*fake) http.HandlerFunc {
			return say(200, `{"active":true,"sub":"alice","x":"`+strings.Repeat("x", MaxAnswer)+`"}`)
		}, httpc.ErrTooLarge},
		"larger_than_is_read": {func(*fake) http.HandlerFunc {
			return say(200, `{"active":true,"sub":"alice"}`+strings.Repeat(" ", 2<<20))
		}, httpc.ErrTooLarge},
		"jwt": {func(f *fake) http.HandlerFunc {
			return as("application/token-introspection+jwt", say(200, f.active(nil)))
		}, flow.ErrAnswer},
		"jwt_with_parameters": {func(f *fake) http.HandlerFunc {
			return as("Application/JWT; charset=utf-8", say(200, f.active(nil)))
		}, flow.ErrAnswer},
		"compressed": {func(f *fake) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				say(200, f.active(nil))(w, r)
			}
		}, ErrUnavailable},
		"status_201":     {status(201), flow.ErrAnswer},
		"status_206":     {status(206), flow.ErrAnswer},
		"status_400":     {status(400), ErrUnavailable},
		"status_401":     {status(401), ErrClient},
		"status_403":     {status(403), ErrUnavailable},
		"status_404":     {status(404), ErrUnavailable},
		"status_429":     {status(429), ErrUnavailable},
		"status_500":     {status(500), ErrUnavailable},
		"status_503":     {status(503), ErrUnavailable},
		"invalid_client": {always(say(400, set{"error": "invalid_client"})), ErrClient},
		"error_with_200": {with(set{"error": "server_error"}), ErrUnavailable},
		"ends_too_early": {func(*fake) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "4000")
				_, _ = w.Write([]byte(`{"active":true}`))
			}
		}, ErrUnavailable},
		"hangs_up": {func(*fake) http.HandlerFunc {
			return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		}, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t)
			f.answers(c.answer(f))
			said, err := f.source(t).Ask(ask(t), f.URL, []byte("a.signed.token"), f.signed())
			wantErr(t, err, c.want)
			if said.Introspection.Len() != 0 || said.Claims.Subject != "" || !said.Expires.IsZero() {
				t.Errorf("something was said beside the error: %+v", said)
			}
			unavailable := errors.Is(err, ErrUnavailable)
			if refused := c.want == ErrInactive || c.want == ErrContradiction || c.want == ErrKind; refused == unavailable {
				t.Errorf("%v: refused %v and unavailable %v", err, refused, unavailable)
			}
			if err != nil && strings.Contains(err.Error(), "a.signed.token") {
				t.Errorf("the token is in the error: %v", err)
			}
		})
	}
}

func TestHostileUserinfo(t *testing.T) {
	person := set{"sub": "alice", "email": "alice@example.org"}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"other_sub":         {say(200, set{"sub": "bob"}), ErrContradiction},
		"sub_in_other_case": {say(200, set{"sub": "Alice"}), ErrContradiction},
		"other_iss":         {say(200, set{"sub": "alice", "iss": "https://evil.example"}), ErrContradiction},
		"iss_as_list":       {say(200, set{"sub": "alice", "iss": []string{"x"}}), ErrContradiction},
		"no_sub":            {say(200, set{"email": "alice@example.org"}), ErrUnavailable},
		"sub_empty":         {say(200, set{"sub": ""}), ErrUnavailable},
		"sub_null":          {say(200, set{"sub": nil}), ErrUnavailable},
		"sub_as_number":     {say(200, set{"sub": 4}), ErrUnavailable},
		"sub_twice":         {say(200, `{"sub":"bob","sub":"alice"}`), ErrUnavailable},
		"jwt":               {as("application/jwt", say(200, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.")), flow.ErrAnswer},
		"json_called_jwt":   {as("application/jwt", say(200, person)), flow.ErrAnswer},
		"html":              {as("text/html", say(200, "<title>log in</title>")), ErrUnavailable},
		"too_large":         {say(200, set{"sub": "alice", "x": strings.Repeat("x", MaxAnswer)}), httpc.ErrTooLarge},
		"status_204":        {say(204, nil), ErrUnavailable},
		"status_400":        {say(400, set{"error": "invalid_request"}), ErrUnavailable},
		"invalid_token_400": {say(400, set{"error": "invalid_token"}), ErrInactive},
		"status_401":        {say(401, nil), ErrInactive},
		"status_401_yet_ok": {say(401, person), ErrInactive},
		"status_403":        {say(403, set{"error": "insufficient_scope"}), ErrInactive},
		"status_500":        {say(500, person), ErrUnavailable},
		"status_503":        {say(503, person), ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t)
			f.person(c.answer)
			said, err := f.source(t, onlyUserinfo).Ask(ask(t), f.URL, []byte("a.signed.token"), f.signed())
			wantErr(t, err, c.want)
			if said.Userinfo.Len() != 0 || said.Claims.Subject != "" {
				t.Errorf("something was said beside the error: %+v", said)
			}
		})
	}
	t.Run("about_another_person_than_introspection", func(t *testing.T) {
		f := startFake(t)
		f.answers(say(200, f.active(nil)))
		f.person(say(200, set{"sub": "bob"}))
		_, _, err := f.source(t, both).Opaque(ask(t), []byte(opaque), "")
		wantErr(t, err, ErrContradiction)
	})
	t.Run("not_asked_about_what_is_not_active", func(t *testing.T) {
		f := startFake(t)
		f.answers(say(200, set{"active": false}))
		f.person(say(200, person))
		_, _, err := f.source(t, both).Opaque(ask(t), []byte(opaque), "")
		wantErr(t, err, ErrInactive)
		if n := f.count("/userinfo"); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestRedirect: neither the token nor our secret goes where an issuer's answer points.
func TestRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var visits atomic.Int32
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				visits.Add(1)
				say(200, set{"active": true, "sub": "alice"})(w, r)
			}))
			defer other.Close()
			f := startFake(t)
			away := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/here", status) }
			f.answers(away)
			f.person(away)
			_, _, err := f.source(t).Opaque(ask(t), []byte(opaque), "")
			wantErr(t, err, ErrUnavailable)
			_, _, err = f.source(t, onlyUserinfo).Opaque(ask(t), []byte(opaque), "")
			wantErr(t, err, ErrUnavailable)
			if visits.Load() != 0 {
				t.Errorf("%d visits", visits.Load())
			}
		})
	}
}

// TestHostileDiscovery: an issuer's document cannot make us ask in another's name, or in clear.
func TestHostileDiscovery(t *testing.T) {
	for name, document := range map[string]func(f *fake) any{
		"another_issuer": func(f *fake) any {
			return set{"issuer": "https://evil.example", "introspection_endpoint": f.URL + "/introspect"}
		},
		"no_endpoint":     func(f *fake) any { return set{"issuer": f.URL} },
		"endpoint_no_url": func(f *fake) any { return set{"issuer": f.URL, "introspection_endpoint": "introspect"} },
		"endpoint_ftp":    func(f *fake) any { return set{"issuer": f.URL, "introspection_endpoint": "ftp://x.example/i"} },
		"endpoint_in_clear": func(f *fake) any {
			return set{"issuer": f.URL, "introspection_endpoint": "http://192.0.2.1/i"}
		},
		"endpoint_twice": func(f *fake) any {
			return strings.ReplaceAll(
				`{"issuer":"URL","introspection_endpoint":"URL/a","introspection_endpoint":"URL/b"}`, "URL", f.URL)
		},
		"not_json": func(*fake) any { return "<html>" },
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t)
			f.discovers(say(200, document(f)))
			f.answers(say(200, f.active(nil)))
			s := f.source(t)
			for range 3 {
				_, _, err := s.Opaque(ask(t), []byte(opaque), "")
				wantErr(t, err, ErrUnavailable)
			}
			if n := f.count("/introspect"); n != 0 {
				t.Errorf("%d questions", n)
			}
		})
	}
}

// TestSlow: an issuer that takes its time costs the configured time, and it ends when the source is closed.
func TestSlow(t *testing.T) {
	wait := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	t.Run("answer_that_does_not_come", func(t *testing.T) {
		f := startFake(t)
		f.answers(wait)
		s, err := New([]Issuer{f.issuer()}, Options{HTTP: testClient(t), Now: f.Now, Timeout: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, _, err = s.Opaque(ask(t), []byte(opaque), "")
		wantErr(t, err, ErrUnavailable, context.DeadlineExceeded)
	})
	t.Run("caller_who_goes_away", func(t *testing.T) {
		f := startFake(t)
		f.answers(wait)
		s := f.source(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, _, err := s.Opaque(ctx, []byte(opaque), "")
		wantErr(t, err, context.Canceled)
		if errors.Is(err, ErrUnavailable) || refused(err) {
			t.Errorf("%v: that was the caller's wish", err)
		}
	})
	t.Run("closed_meanwhile", func(t *testing.T) {
		f := startFake(t)
		arrived := make(chan struct{})
		f.answers(func(_ http.ResponseWriter, r *http.Request) { close(arrived); <-r.Context().Done() })
		s := f.source(t)
		go func() { <-arrived; s.Close() }()
		_, _, err := s.Opaque(ask(t), []byte(opaque), "")
		wantErr(t, err, ErrUnavailable)
		_, _, err = s.Opaque(ask(t), []byte("opaque-token-0002"), "")
		wantErr(t, err, ErrClosed)
	})
}

// TestStrangers: whatever strangers send, an issuer is asked as often as its budget says.
func TestStrangers(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 50_000
	}
	f := startFake(t)
	f.answers(say(200, set{"active": false}))
	s := f.source(t, func(i *Issuer) { i.Rate = 5 })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	limited := 0
	for i := range n {
		f.add(10 * time.Microsecond) // a hundred thousand tokens a second
		_, _, err := s.Opaque(t.Context(), fmt.Appendf(nil, "invented-%d-%s", i, "xxxxxxxxxxxxxxxxxxxxxxxx"), "")
		switch {
		case errors.Is(err, ErrLimited):
			limited++
		case !errors.Is(err, ErrInactive):
			t.Fatal(err)
		}
	}
	seconds := float64(n) * 10e-6
	if got, most := f.count("/introspect"), int(10+5*seconds)+1; got > most || got < 10 {
		t.Errorf("%d requests for %d tokens within %.0f s, want at most %d", got, n, seconds, most)
	}
	if limited < n-200 {
		t.Errorf("%d of %d were turned away", limited, n)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("%d bytes are kept of them", grown)
	}
}

// TestStrangersDoNotStarve: with the budget of strangers used up, and their lane paused, known tokens are looked at.
func TestStrangersDoNotStarve(t *testing.T) {
	f := startFake(t)
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.PostFormValue("token"), "poison") {
			w.Header().Set("Retry-After", "3000")
			say(503, nil)(w, r)
			return
		}
		say(200, f.active(nil))(w, r)
	})
	s := f.source(t, func(i *Issuer) { i.Rate = 2 })
	if _, _, err := s.Opaque(ask(t), []byte(opaque), ""); err != nil {
		t.Fatal(err)
	}
	f.add(2 * DefaultCache)
	for i := range 20 {
		_, _, err := s.Opaque(ask(t), fmt.Appendf(nil, "poison-%d", i), "")
		wantErr(t, err, ErrUnavailable)
	}
	if _, _, err := s.Opaque(ask(t), []byte("another-good-one"), ""); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("strangers are still asked about: %v", err)
	}
	if _, _, err := s.Opaque(ask(t), []byte(opaque), ""); err != nil {
		t.Errorf("a token that was active before: %v", err)
	}
	if _, err := s.Ask(ask(t), f.URL, []byte("a.signed.token"), f.signed()); err != nil {
		t.Errorf("a signed token: %v", err)
	}
	if n := f.count("/introspect"); n != 4 {
		t.Errorf("%d questions, want 4", n)
	}
}

// TestCrowd: an issuer that takes its time, and strangers who know that, get hold of a part of our connections only, and of
// none that known tokens need.
func TestCrowd(t *testing.T) {
	f := startFake(t)
	open := make(chan struct{})
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.PostFormValue("token"), "stuck") {
			<-open
		}
		say(200, f.active(nil))(w, r)
	})
	s := f.source(t)
	const n = 2 * maxWaiting
	errs := make(chan error, n)
	for range n { // one token, which costs one question
		go func() { _, _, err := s.Opaque(ask(t), []byte("stuck-token"), ""); errs <- err }()
	}
	for range n - maxWaiting { // comes back at once
		err := <-errs
		wantErr(t, err, ErrUnavailable, ErrCrowd)
	}
	if _, err := s.Ask(ask(t), f.URL, []byte("a.signed.token"), f.signed()); err != nil {
		t.Errorf("a signed token meanwhile: %v", err)
	}
	close(open)
	for range maxWaiting {
		if err := <-errs; err != nil {
			t.Errorf("who has waited: %v", err)
		}
	}
	if got := s.list[0].stranger.waiting + s.list[0].known.waiting; got != 0 {
		t.Errorf("%d still wait", got)
	}
}

// TestJWTStaysHere: what looks like a JWT is shown to nobody to find out whose it is.
func TestJWTStaysHere(t *testing.T) {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	head, body := part(`{"alg":"RS256","kid":"k"}`), part(`{"iss":"https://x.example","sub":"alice"}`)
	f := startFake(t)
	f.answers(say(200, f.active(nil)))
	s := f.source(t, func(i *Issuer) { i.Prefixes = []string{"ey", "a"} })
	for name, token := range map[string]string{
		"signed":              head + "." + body + ".c2lnbmF0dXJl",
		"unsigned":            head + "." + body + ".",
		"without_last_part":   head + "." + body,
		"header_alone":        head,
		"white_space_first":   part("  \n{\"alg\":\"none\"}") + "." + body + ".x~",
		"signature_not_ours":  head + "." + body + ".c2ln+~/",
		"encrypted":           head + ".a.b.c.d",
		"encrypted_any":       "a.b.c.d.e",
		"three_parts":         "abc.def.ghi",
		"middle_part_empty":   "abc..ghi",
		"not_base64":          "abc.d~f.ghi",
		"json":                `{"payload":"x"}`,
		"empty":               "",
		"blank":               "opaque token",
		"line_end":            opaque + "\n",
		"not_ascii":           "opaque-tökén",
		"equals_inside":       "opa=que",
		"longer_than_allowed": strings.Repeat("a", MaxToken+1),
	} {
		t.Run(name, func(t *testing.T) {
			if IsOpaque([]byte(token)) {
				t.Error("it counts as opaque")
			}
			for _, hint := range []string{"", f.URL} {
				_, _, err := s.Opaque(ask(t), []byte(token), hint)
				wantErr(t, err, ErrNotOpaque)
			}
		})
	}
	if n := len(f.calls); n != 0 {
		t.Errorf("the issuer had requests: %v", f.calls)
	}
	for name, token := range map[string]string{
		"of_google":    "ya29.a0AfH6SMBx-_x",
		"of_hydra":     "ory_at_Zm9v.YmFy",
		"uuid":         "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
		"with_padding": "c29tZXRoaW5n==",
		"longest":      strings.Repeat("a", MaxToken),
	} {
		t.Run(name, func(t *testing.T) {
			if !IsOpaque([]byte(token)) {
				t.Error("it does not count as opaque")
			}
		})
	}
}

// TestMemory: however much issuers say, what is kept of it stays within the bound.
func TestMemory(t *testing.T) {
	f := startFake(t)
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		// Nearly all white space: it must not be kept with what stands in it.
		blank, long := strings.Repeat(" ", 500<<10), strings.Repeat("x", 10<<10)
		say(200, `{"active":true,"token_type":"Bearer",`+blank+`"sub":"alice","x":"`+long+`"}`)(w, r)
	})
	const room = 1 << 20
	i := f.issuer(func(i *Issuer) { i.Rate = MaxRate })
	s, err := New([]Issuer{i}, Options{HTTP: testClient(t), Now: f.Now, Memory: room})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 300 {
		if _, _, err := s.Opaque(ask(t), fmt.Appendf(nil, "token-%d", i), ""); err != nil {
			t.Fatal(err)
		}
	}
	if n, used := s.Memory(); used > room || n < 10 {
		t.Errorf("%d answers take %d bytes by our own count", n, used)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4*room {
		t.Errorf("%d bytes are kept", grown)
	}
	runtime.KeepAlive(s)
}

// TestSecrets: neither a token nor our secret is in an error, a log line or what the source holds.
func TestSecrets(t *testing.T) {
	token, pw := "tok-"+rand.Text(), "pw-"+rand.Text()
	var log bytes.Buffer
	f := startFake(t)
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		say(401, set{"error": "invalid_client", "error_description": "no " + pw + " for " + r.PostFormValue("token")})(w, r)
	})
	i := f.issuer(func(i *Issuer) { i.ClientSecret = secret.FromString(pw) })
	s, err := New([]Issuer{i}, Options{HTTP: testClient(t), Now: f.Now, Log: textLog(&log)})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Opaque(ask(t), []byte(token), "")
	wantErr(t, err, ErrClient)
	s.Close()
	if log.Len() == 0 {
		t.Error("nothing was logged about a client that the issuer refuses")
	}
	for where, what := range map[string]string{
		"error": err.Error(), "error in full": fmt.Sprintf("%+v %#v", err, err), "log": log.String(),
		"source": fmt.Sprintf("%+v", s),
	} {
		if strings.Contains(what, token) || strings.Contains(what, pw) {
			t.Errorf("a secret is in the %s: %s", where, what)
		}
	}
}

// TestOneQuestion: all who ask about one token at once cause one request.
func TestOneQuestion(t *testing.T) {
	f := startFake(t)
	release := make(chan struct{})
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		<-release
		say(200, f.active(nil))(w, r)
	})
	s := f.source(t)
	var wg sync.WaitGroup
	var good atomic.Int32
	for range 50 {
		wg.Go(func() {
			if _, _, err := s.Opaque(ask(t), []byte(opaque), ""); err == nil {
				good.Add(1)
			}
		})
	}
	close(release)
	wg.Wait()
	if n := f.count("/introspect"); n != 1 || good.Load() != 50 {
		t.Errorf("%d requests, %d answers", n, good.Load())
	}
}

// TestKind: a token of which introspection says nothing but that it is active may be a refresh token.
func TestKind(t *testing.T) {
	f := startFake(t)
	f.answers(say(200, f.active(set{"token_type": nil})))
	f.person(say(200, set{"sub": "alice"}))
	_, _, err := f.source(t).Opaque(ask(t), []byte(opaque), "")
	wantErr(t, err, ErrKind)
	if _, _, err := f.source(t, both).Opaque(ask(t), []byte(opaque), ""); err != nil {
		t.Errorf("userinfo takes access tokens only: %v", err)
	}
	if _, err := f.source(t).Ask(ask(t), f.URL, []byte("a.signed.token"), f.signed()); err != nil {
		t.Errorf("a signed token says itself what it is: %v", err)
	}
	for member, kinds := range map[string][]string{
		"token_type": {"bearer", "BEARER", "DPoP", "access_token"}, "token_use": {"access_token"}, "typ": {"Bearer"},
	} {
		for _, kind := range kinds {
			f.answers(say(200, f.active(set{"token_type": nil, member: kind})))
			if _, _, err := f.source(t).Opaque(ask(t), []byte(opaque), ""); err != nil {
				t.Errorf("%s %s: %v", member, kind, err)
			}
		}
	}
}

// TestBound: a token that is bound to a key is none to be taken as it is.
func TestBound(t *testing.T) {
	f := startFake(t)
	f.answers(say(200, f.active(set{"cnf": set{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})))
	_, said, err := f.source(t).Opaque(ask(t), []byte(opaque), "")
	wantErr(t, err, claims.ErrSenderConstrained)
	if said.Claims.Subject != "" {
		t.Errorf("said %+v", said)
	}
	s, err := New([]Issuer{f.issuer()}, Options{HTTP: testClient(t), Now: f.Now, Constrained: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, said, err = s.Opaque(ask(t), []byte(opaque), ""); err != nil || said.Claims.SenderConstraint() == nil {
		t.Errorf("for a caller who checks the proof: %+v, %v", said, err)
	}
}
