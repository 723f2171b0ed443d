package mytoken

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// vectors are testdata/mytoken/exchange.json: hand-made, see the comment in it.
type vectors struct {
	Mytoken    string     `json:"mytoken"`
	ReplacedBy string     `json:"replaced_by"`
	Exchanges  []exchange `json:"exchanges"`
}

type exchange struct {
	Name    string `json:"name"`
	Request struct {
		Method, Path string
		JSON         json.RawMessage
		Form         url.Values
	} `json:"request"`
	Response struct {
		Status int
		JSON   json.RawMessage
		Text   string
	} `json:"response"`
}

// replay is a server that answers the named exchange and nothing else.
type replay struct {
	vectors
	*testing.T
	*httptest.Server
	now string
}

const vectorServer = "https://mytoken.example.org"

func startReplay(t *testing.T) *replay {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "mytoken", "exchange.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &replay{T: t}
	if err := json.Unmarshal(b, &r.vectors); err != nil {
		t.Fatal(err)
	}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *replay) serve(w http.ResponseWriter, req *http.Request) {
	i := slices.IndexFunc(r.Exchanges, func(e exchange) bool { return e.Name == r.now })
	if i < 0 {
		r.Errorf("no exchange %q", r.now)
		return
	}
	e := r.Exchanges[i]
	body, err := io.ReadAll(req.Body)
	if err != nil || req.Method != e.Request.Method || req.URL.Path != e.Request.Path || req.URL.RawQuery != "" {
		r.Errorf("%s: got %s %s %v", e.Name, req.Method, req.URL, err)
	}
	switch {
	case e.Request.JSON != nil:
		if req.Header.Get("Content-Type") != "application/json" || !sameJSON(body, e.Request.JSON) {
			r.Errorf("%s: got %s\nwant %s", e.Name, body, e.Request.JSON)
		}
	case e.Request.Form != nil:
		if form, err := url.ParseQuery(string(body)); err != nil || !reflect.DeepEqual(form, e.Request.Form) {
			r.Errorf("%s: got %s\nwant %v", e.Name, body, e.Request.Form)
		}
	default:
		if len(body) > 0 {
			r.Errorf("%s: a body: %s", e.Name, body)
		}
	}
	text := e.Response.Text
	if e.Response.JSON != nil {
		text = strings.ReplaceAll(string(e.Response.JSON), vectorServer, r.URL)
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(e.Response.Status)
	if e.Response.Status != http.StatusNoContent {
		_, _ = io.WriteString(w, text)
	}
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func httpClient(t *testing.T) *httpc.Client {
	t.Helper()
	hc, err := httpc.New(httpc.Options{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdle)
	return hc
}

func (r *replay) client() *Client {
	r.Helper()
	r.now = "configuration"
	srv, err := Discover(r.Context(), httpClient(r.T), r.URL)
	if err != nil {
		r.Fatal(err)
	}
	now := func() time.Time { return time.Unix(1790000000, 0) }
	return New(httpClient(r.T), srv, Options{Now: now, Application: "vectors"})
}

func (r *replay) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", r.now, err)
	}
}

func TestVectorsConfiguration(t *testing.T) {
	srv := startReplay(t).client().Server()
	if len(srv.Providers) != 2 || srv.Providers[0].Name != "Example" || srv.Version != "0.10.0" || srv.SigningAlg != "ES512" ||
		!slices.Contains(srv.MytokenGrants, "polling_code") || !strings.HasSuffix(srv.ProfilesEndpoint, "/api/v0/pt") {
		t.Fatalf("%+v", srv)
	}
	if p, ok := srv.Provider("https://two.example.org/"); !ok || p.Issuer != "https://two.example.org" {
		t.Fatalf("a slash too many: %v %v", p, ok)
	}
}

func TestVectorsLogin(t *testing.T) {
	r := startReplay(t)
	c := r.client()
	r.now = "login_begins"
	w, err := c.Start(t.Context(), Request{
		Issuer: "https://op.example.org/", Name: "demo", Capabilities: Capabilities{"AT", "create_mytoken", "tokeninfo"},
		Restrictions: Restrictions{{Expires: TimeText("+1d"), Hosts: []string{"this"}}}, Rotation: &Rotation{OnAT: true},
	})
	r.must(err)
	if w.URI != r.URL+"/c/s3cr3tc0de" || w.Interval != 5*time.Second || w.Expires.Unix() != 1790000300 {
		t.Fatalf("%+v", w)
	}
	r.now = "poll_pending"
	if _, err := c.Poll(t.Context(), w); !errors.Is(err, ErrPending) {
		t.Fatal(err)
	}
	r.now = "poll_done"
	got, err := c.Poll(t.Context(), w)
	r.must(err)
	if got.Token.Expose() != r.Mytoken || got.Kind != KindToken || got.Expires.Unix() != 1790086400 || got.MOMID == "" ||
		!got.Rotation.OnAT || len(got.Capabilities) != 3 || got.Update != nil {
		t.Fatalf("%+v", got)
	}
	if b, _ := json.Marshal(got.Restrictions); string(b) !=
		`[{"exp":1790086400,"hosts":["192.0.2.7"],"future_key":[1]}]` {
		t.Fatalf("restrictions %s", b)
	}
	r.now = "poll_used"
	if _, err := c.Poll(t.Context(), w); err == nil || errors.Is(err, ErrPending) || Temporary(err) {
		t.Fatal(err)
	}
}

func TestVectorsAccess(t *testing.T) {
	r := startReplay(t)
	c := r.client()
	mt, next := secret.FromString(r.Mytoken), secret.FromString(r.ReplacedBy)
	r.now = "access_token"
	at, err := c.AccessToken(t.Context(), mt, AccessRequest{
		Issuer: "https://op.example.org/", Scope: []string{"openid", "profile"}, Audience: []string{"a", "b"}, Comment: "nightly",
	})
	r.must(err)
	if at.Token.Expose() != "eyAT" || at.Scope != "openid" || !slices.Equal(at.Audience, []string{"a"}) ||
		at.Expires.Unix() != 1790003600 || !at.Update.Token.Equal(next) {
		t.Fatalf("%+v", at)
	}
	r.now = "access_token_of_a_replaced_one"
	if _, err = c.AccessToken(t.Context(), mt, AccessRequest{}); !NeedsLogin(err) || Temporary(err) {
		t.Fatal(err)
	}
	r.now = "refresh_as_a_form"
	toks, err := c.Refresh(t.Context(), next, flow.Request{Scope: []string{"openid"}, Audience: []string{"a", "b"}})
	r.must(err)
	if toks.Access.Expose() != "eyAT2" || !toks.Refresh.Empty() {
		t.Fatalf("%+v", toks)
	}
	for name, check := range map[string]func(*flow.Error) bool{
		"provider_refuses": func(e *flow.Error) bool {
			return e.Code == "invalid_grant" && e.Description == "refresh token expired" && flow.NeedsLogin(e)
		},
		"rate_limit":  func(e *flow.Error) bool { return e.Status == 429 && flow.Temporary(e) },
		"not_allowed": func(e *flow.Error) bool { return e.Code == "usage_restricted" && !flow.NeedsLogin(e) },
	} {
		r.now = name
		_, err := c.AccessToken(t.Context(), next, AccessRequest{})
		var fe *flow.Error
		if !errors.As(err, &fe) || !check(fe) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVectorsSubtoken(t *testing.T) {
	r := startReplay(t)
	c := r.client()
	r.now = "subtoken"
	got, err := c.Subtoken(t.Context(), secret.FromString(r.ReplacedBy), Request{
		Issuer: "https://op.example.org/", Name: "child", ResponseType: KindTransferCode, Include: []string{"web-default"},
	})
	r.must(err)
	if got.Kind != KindTransferCode || got.TransferCode.Expose() != "abcdEFGH" || !got.Token.Empty() {
		t.Fatalf("%+v", got)
	}
	r.now = "redeem"
	got, err = c.Redeem(t.Context(), got.TransferCode)
	r.must(err)
	if got.Kind != KindShortToken || got.Token.Len() != 64 || !got.Expires.IsZero() {
		t.Fatalf("%+v", got)
	}
	r.now = "transfer"
	code, err := c.Transfer(t.Context(), secret.FromString(r.ReplacedBy))
	r.must(err)
	if code.Code.Expose() != "QRSTuvwx" || code.Expires.Unix() != 1790000300 {
		t.Fatalf("%+v", code)
	}
}

func TestVectorsInfo(t *testing.T) {
	r := startReplay(t)
	c := r.client()
	mt := secret.FromString(r.ReplacedBy)
	r.now = "introspect"
	info, err := c.Introspect(t.Context(), mt)
	r.must(err)
	if !info.Valid || info.Claims.SeqNo != 2 || *info.Claims.Restrictions[0].UsedAT != 2 || info.Claims.OIDCSubject != "alice" {
		t.Fatalf("%+v", info)
	}
	r.now = "history"
	events, _, err := c.History(t.Context(), mt, "this", "children")
	r.must(err)
	if len(events) != 2 || events[0].Event != "AT_created" || events[1].Time.Unix() != 1790000000 {
		t.Fatalf("%+v", events)
	}
	r.now = "subtokens"
	tree, _, err := c.Subtokens(t.Context(), mt)
	r.must(err)
	if tree.Name != "demo" || len(tree.Children) != 1 || tree.Children[0].Expires.Unix() != 1790086400 {
		t.Fatalf("%+v", tree)
	}
	r.now = "list"
	trees, _, err := c.List(t.Context(), mt)
	r.must(err)
	if len(trees) != 1 {
		t.Fatalf("%+v", trees)
	}
	r.now = "revoke_other"
	update, err := c.Revoke(t.Context(), Revocation{Token: mt, MOMID: "Y2hpbGQ=", Recursive: true})
	r.must(err)
	if update == nil || !update.Token.Equal(mt) {
		t.Fatalf("%+v", update)
	}
	r.now = "revoke"
	_, err = c.Revoke(t.Context(), Revocation{Token: mt, Issuer: "https://op.example.org/"})
	r.must(err)
}

func TestVectorsTemplates(t *testing.T) {
	r := startReplay(t)
	c := r.client()
	r.now = "groups"
	groups, err := c.TemplateGroups(t.Context())
	r.must(err)
	if !slices.Equal(groups, []string{"_", "grp"}) {
		t.Fatal(groups)
	}
	r.now = "no_such_group"
	none, err := c.Templates(t.Context(), "nobody", Profiles)
	r.must(err)
	if none != nil {
		t.Fatal(none)
	}
	r.now = "profiles"
	p, ok, err := c.Profile(t.Context(), "@web-default")
	r.must(err)
	if !ok || p.Rotation.Lifetime != 7*24*time.Hour || len(p.Capabilities) != 2 {
		t.Fatalf("%v %+v", ok, p)
	}
}

func TestVectorsClaims(t *testing.T) {
	r := startReplay(t)
	c, err := ReadClaims(secret.FromString(r.Mytoken))
	r.must(err)
	if c.Issuer != vectorServer || c.OIDCIssuer != "https://op.example.org/" || c.SeqNo != 1 || c.MOMID() == "" ||
		!c.Expires.IsZero() || c.IssuedAt.Unix() != 1790000000 {
		t.Fatalf("%+v", c)
	}
}
