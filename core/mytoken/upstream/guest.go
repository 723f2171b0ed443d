package upstream

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// GuestPath is where the guest provider is, below the issuer of the server.
const GuestPath = "/api/v0/guests"

const (
	guestClient  = "mytoken"
	guestCode    = "oidcbox guest 1 code"
	guestRefresh = "oidcbox guest 1 refresh"
	guestCodeTTL = time.Minute
	guestATTTL   = time.Hour
	maxGuestText = 4 << 10
)

// Guest is a provider without people, inside the server: whoever comes is logged in at once, as the guest of the
// address they come back from. So all behind one address are one person. It is for trying a server out, and not there
// unless it is switched on.
//
// Its codes and refresh tokens are sealed statements under Key, so that any process of a server takes them and nothing
// is kept; its access tokens are random and open nothing. It is an http.Handler for the one address that a browser
// visits, Issuer + "/auth".
type Guest struct {
	Issuer      string      // issuer of the server + GuestPath
	RedirectURI string      // that of the server; the browser is sent nowhere else
	Key         secret.Text // 32 bytes, the same for all processes of the server
	Now         func() time.Time
}

func (g *Guest) now() time.Time {
	if g.Now == nil {
		return time.Now()
	}
	return g.Now()
}

// provider is the Provider of the guests.
func (g *Guest) provider(o Options) *Provider {
	p := &Provider{
		conf: Config{Issuer: g.Issuer, Name: "guest", ClientID: guestClient, Scopes: []string{scopeOpenID}},
		o:    o, op: g, tried: make(chan struct{}),
		quirks: Quirks{Audience: Audience, Habit: custody.HabitRotates},
	}
	p.habit.told = custody.HabitRotates
	p.state = state{settled: true, since: o.Now()}
	close(p.tried)
	return p
}

// GuestSubject is who comes from an address.
func GuestSubject(a netip.Addr) string {
	sum := sha3.Sum256([]byte(a.Unmap().WithZone("").String()))
	return "guest-" + base64.StdEncoding.EncodeToString(sum[:])
}

// guestTicket is what a code or a refresh token says.
type guestTicket struct {
	Subject   string `json:"sub,omitempty"`
	Challenge string `json:"c,omitempty"`
	Expires   int64  `json:"exp,omitempty"`
	ID        string `json:"id"`
}

func (g *Guest) seal(t guestTicket, purpose string) (string, error) {
	t.ID = rand.Text()
	b, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	text := secret.New(b)
	defer text.Wipe()
	box, err := vault.SealWith(g.Key, text, []byte(purpose))
	return base64.RawURLEncoding.EncodeToString(box), err
}

func (g *Guest) open(s, purpose string) (t guestTicket, ok bool) {
	if len(s) > maxGuestText {
		return t, false
	}
	box, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return t, false
	}
	text, err := vault.OpenWith(g.Key, box, []byte(purpose))
	if err != nil {
		return t, false
	}
	defer text.Wipe()
	err = text.Use(func(b []byte) error { return json.Unmarshal(b, &t) })
	return t, err == nil && (t.Expires == 0 || g.now().Unix() < t.Expires)
}

// ServeHTTP is the authorization endpoint: it sends the browser back at once, to the server's own redirect URI and
// nowhere else.
func (g *Guest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case !strings.HasSuffix(r.URL.Path, "/auth"):
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet, q.Get("redirect_uri") != g.RedirectURI, q.Get("client_id") != guestClient,
		q.Get("response_type") != "code", len(q.Get("code_challenge")) != 43, q.Get("code_challenge_method") != "S256":
		http.Error(w, "this is no login of this server", http.StatusBadRequest)
		return
	}
	code, err := g.seal(guestTicket{
		Challenge: q.Get("code_challenge"), Expires: g.now().Add(guestCodeTTL).Unix(),
	}, guestCode)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	back := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {g.Issuer}}
	w.Header().Set("Location", g.RedirectURI+"?"+back.Encode())
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

func (g *Guest) start(_ context.Context, s desk.Start) (string, error) {
	if s.RedirectURI != g.RedirectURI || s.Verifier.Empty() || s.State.Empty() {
		return "", fmt.Errorf("log in as a guest: %w", flow.ErrState)
	}
	q := url.Values{
		"response_type": {"code"}, "client_id": {guestClient}, "redirect_uri": {g.RedirectURI},
		"state": {s.State.Expose()}, "code_challenge": {challengeOf(s.Verifier)}, "code_challenge_method": {"S256"},
	}
	return g.Issuer + "/auth?" + q.Encode(), nil
}

func challengeOf(verifier secret.Text) string {
	sum := sha256.Sum256([]byte(verifier.Expose()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (g *Guest) finish(_ context.Context, f desk.Finish) (flow.Tokens, error) {
	if f.State.Empty() || !f.State.Equal(secret.FromString(f.Query.Get("state"))) {
		return flow.Tokens{}, fmt.Errorf("log in as a guest: %w", flow.ErrState)
	}
	t, ok := g.open(f.Query.Get("code"), guestCode)
	if !ok || subtle.ConstantTimeCompare([]byte(t.Challenge), []byte(challengeOf(f.Verifier))) != 1 {
		return flow.Tokens{}, g.refused("log in as a guest")
	}
	if !f.From.Client.IsValid() {
		return flow.Tokens{}, fmt.Errorf("log in as a guest: %w", desk.ErrNoSubject)
	}
	return g.tokens(GuestSubject(f.From.Client), f.Scopes)
}

func (g *Guest) refused(op string) error {
	return &flow.Error{Op: op, Issuer: g.Issuer, Status: http.StatusBadRequest, Code: "invalid_grant"}
}

func (g *Guest) tokens(subject string, scopes []string) (flow.Tokens, error) {
	rt, err := g.seal(guestTicket{Subject: subject}, guestRefresh)
	if err != nil {
		return flow.Tokens{}, fmt.Errorf("make tokens of a guest: %w", err)
	}
	return flow.Tokens{
		Access: secret.FromString(rand.Text() + rand.Text()), Refresh: secret.FromString(rt), Type: "Bearer",
		Expires: g.now().Add(guestATTTL), Scope: strings.Join(scopes, " "), Subject: subject,
	}, nil
}

// Refresh gives an access token that opens nothing, and the next refresh token.
func (g *Guest) Refresh(_ context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error) {
	t, ok := g.open(rt.Expose(), guestRefresh)
	if !ok {
		return flow.Tokens{}, g.refused("refresh")
	}
	return g.tokens(t.Subject, r.Scope)
}

func (g *Guest) startDevice(context.Context, desk.Start) (desk.Device, error) {
	return desk.Device{}, fmt.Errorf("log in as a guest: %w", flow.ErrNoEndpoint)
}

func (g *Guest) pollDevice(context.Context, desk.Device) (flow.Tokens, error) {
	return flow.Tokens{}, fmt.Errorf("log in as a guest: %w", flow.ErrNoEndpoint)
}

// Revoke cannot be: nothing is kept of a guest that could be ended.
func (g *Guest) Revoke(context.Context, secret.Text, string) error {
	return fmt.Errorf("revoke at the guest provider: %w", flow.ErrNoEndpoint)
}

// Userinfo has nothing to say beyond the subject, which the login knows.
func (g *Guest) Userinfo(context.Context, secret.Text) (jose.Object, error) {
	return jose.Object{}, fmt.Errorf("userinfo of a guest: %w", flow.ErrNoEndpoint)
}

// Check returns the faults of the settings.
func (g *Guest) Check() error {
	switch {
	case g.Issuer == "" || g.RedirectURI == "":
		return fmt.Errorf("%w of guests: issuer or redirect URI is missing", ErrConfig)
	case g.Key.Len() != sha256.Size:
		return fmt.Errorf("%w of guests: the key has to have 32 bytes", ErrConfig)
	}
	return nil
}
