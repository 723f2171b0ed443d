package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// backend notes what it was asked and answers what it is told.
type backend struct {
	calls  []string
	err    error
	backup []byte
	cut    bool
	hold   chan struct{}
	kept   []secret.Text
}

func (b *backend) note(format string, args ...any) error {
	b.calls = append(b.calls, fmt.Sprintf(format, args...))
	return b.err
}

func (b *backend) keep(t secret.Text) string {
	b.kept = append(b.kept, t)
	return t.Expose()
}

func (b *backend) Status(ctx context.Context) (Status, error) {
	if b.hold != nil {
		close(b.hold)
		<-ctx.Done()
	}
	return Status{Version: "1", PID: 7, Keystore: KeystoreLocked, Loaded: []string{"a"}}, b.note("status")
}

func (b *backend) Create(_ context.Context, p secret.Text) error {
	return b.note("create %s", b.keep(p))
}

func (b *backend) Unlock(_ context.Context, u Unlock) error {
	return b.note("%s", strings.TrimSpace(fmt.Sprintf("unlock %s|%s|%v %s", b.keep(u.Passphrase), u.KeyFile, u.Keyring, u.SSHAgent)))
}

func (b *backend) Lock(context.Context) error { return b.note("lock") }

func (b *backend) Logins(context.Context) ([]Login, error) {
	return []Login{{Name: "a", Issuer: "https://op.example.org", Stored: true}}, b.note("logins")
}

func (b *backend) SaveLogin(_ context.Context, c secret.Text) error {
	return b.note("save %s", b.keep(c))
}

func (b *backend) ImportLogin(_ context.Context, c secret.Text, o ImportOptions) (string, error) {
	return ImportSame, b.note("import %s %v %v", b.keep(c), o.Replace, o.DryRun)
}

func (b *backend) Rekey(_ context.Context, r RekeyRequest) error {
	return b.note("rekey %s %s %v", b.keep(r.Passphrases[0]), r.KeyFiles, r.DropOthers)
}

func (b *backend) LoadLogin(_ context.Context, name string, o LoadOptions) (string, error) {
	return "Lifetime set", b.note("load %s %v %d", name, o.Confirm, *o.Lifetime)
}

func (b *backend) ExportLogin(_ context.Context, name string) (secret.Text, error) {
	return secret.FromString(`{"name":"a"}`), b.note("export %s", name)
}

func (b *backend) RemoveLogin(_ context.Context, name string) error { return b.note("remove %s", name) }

func (b *backend) Backup(_ context.Context, w io.Writer) error {
	_, _ = w.Write(b.backup)
	if b.cut {
		return errors.New("disk is gone")
	}
	return b.note("backup")
}

func (b *backend) Slots(context.Context) ([]Slot, error) {
	return []Slot{{ID: "1", Kind: "passphrase"}}, b.note("slots")
}

func (b *backend) AddSlot(_ context.Context, n NewSlot) (Slot, error) {
	s := Slot{ID: "2", Kind: n.Kind, Label: n.Label}
	return s, b.note("add slot %s %s %s", n.Kind, n.KeyFile, b.keep(n.Passphrase))
}

func (b *backend) RemoveSlot(_ context.Context, id string) error { return b.note("remove slot %s", id) }

func (b *backend) Token(_ context.Context, r TokenRequest) (Token, error) {
	return Token{Access: secret.FromString("at"), Issuer: "https://op.example.org", Expires: time.Unix(5, 0)},
		b.note("token %s %s %d", r.Login, r.Scope, r.MinValid)
}

func (b *backend) Grant(_ context.Context, r GrantRequest) (Granted, error) {
	return Granted{
		Token: Token{Access: secret.FromString("at"), Issuer: "https://op.example.org", Scope: "a b"}, Saved: SavedMemory,
	}, b.note("grant %s %s %s %s %v %s", r.Kind, r.Login, r.Scope, r.Audience, r.Resource, b.keep(r.Subject))
}

func (b *backend) Revoke(_ context.Context, r RevokeRequest) (Revoked, error) {
	return Revoked{Login: r.Login, Confirmed: ConfirmedInactive}, b.note("revoke %s %s %v", r.Login, b.keep(r.Token), r.Remove)
}

func (b *backend) Share(_ context.Context, r ShareRequest) (Shared, error) {
	return Shared{Socket: r.Socket, Logins: r.Logins, Confirm: r.Confirm}, b.note("share %s %v %d %v", r.Socket, r.Logins, r.Seconds, r.Confirm)
}

func (b *backend) Unshare(_ context.Context, socket string) error {
	return b.note("unshare %s", socket)
}

func (b *backend) Shares(context.Context) ([]Shared, error) {
	return []Shared{{Socket: "/s", Since: time.Unix(1, 0)}}, b.note("shares")
}

func (b *backend) Shutdown(context.Context) error { return b.note("shutdown") }

func start(t *testing.T, b Backend) Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, SockName)
	ln, err := sock.Listen(path, sock.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, b, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		_ = os.RemoveAll(dir)
	})
	return Client{Path: path}
}

func TestEveryCall(t *testing.T) {
	ctx := t.Context()
	b := &backend{backup: []byte("bolt")}
	c := start(t, b)
	hour := int64(3600)
	pw := secret.FromString("pass \"word\"")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	st, err := c.Status(ctx)
	check(err)
	if st.PID != 7 || st.Keystore != KeystoreLocked || !reflect.DeepEqual(st.Loaded, []string{"a"}) {
		t.Errorf("status is %+v", st)
	}
	check(c.Create(ctx, pw))
	check(c.Unlock(ctx, Unlock{Passphrase: pw}))
	check(c.Unlock(ctx, Unlock{KeyFile: "/k"}))
	check(c.Unlock(ctx, Unlock{Keyring: true}))
	check(c.Unlock(ctx, Unlock{SSHAgent: "/ssh"}))
	check(c.Lock(ctx))
	l, err := c.Logins(ctx)
	check(err)
	if len(l) != 1 || l[0].Name != "a" || !l[0].Stored || !l[0].Expires.IsZero() {
		t.Errorf("logins are %+v", l)
	}
	check(c.SaveLogin(ctx, secret.FromString(`{"name":"a"}`)))
	outcome, err := c.ImportLogin(ctx, secret.FromString(`{"name":"i"}`), ImportOptions{DryRun: true})
	check(err)
	if outcome != ImportSame {
		t.Errorf("outcome is %q", outcome)
	}
	info, err := c.LoadLogin(ctx, "a b/c", LoadOptions{Lifetime: &hour, Confirm: true})
	check(err)
	if info != "Lifetime set" {
		t.Errorf("info is %q", info)
	}
	config, err := c.ExportLogin(ctx, "a")
	check(err)
	if config.Expose() != `{"name":"a"}` {
		t.Errorf("config is %q", config.Expose())
	}
	check(c.RemoveLogin(ctx, "a?b"))
	var out bytes.Buffer
	check(c.Backup(ctx, &out))
	if out.String() != "bolt" {
		t.Errorf("backup is %q", out.String())
	}
	s, err := c.Slots(ctx)
	check(err)
	if len(s) != 1 || s[0].ID != "1" {
		t.Errorf("slots are %+v", s)
	}
	slot, err := c.AddSlot(ctx, NewSlot{Kind: "passphrase", Label: "spare", Passphrase: pw})
	check(err)
	if slot.ID != "2" || slot.Label != "spare" {
		t.Errorf("new slot is %+v", slot)
	}
	check(c.RemoveSlot(ctx, "1"))
	q, err := c.Question(ctx, "q/1")
	check(err)
	if q.ID != "q/1" || q.Kind != "select" || !reflect.DeepEqual(q.Choices, []string{"a", "b"}) || q.Seconds != 120 {
		t.Errorf("question is %+v", q)
	}
	check(c.Attend(ctx, "q/1"))
	check(c.Answer(ctx, AnswerRequest{ID: "q/1", Text: pw, Yes: true, Chosen: []string{"b"}}))
	check(c.Answer(ctx, AnswerRequest{ID: "q/1", Cancelled: true}))
	check(c.Rekey(ctx, RekeyRequest{Passphrases: []secret.Text{pw}, KeyFiles: []string{"/k"}, DropOthers: true}))
	tok, err := c.Token(ctx, TokenRequest{Login: "a", Scope: "s", MinValid: -1})
	check(err)
	if tok.Access.Expose() != "at" || tok.Expires.Unix() != 5 || tok.Issuer != "https://op.example.org" {
		t.Errorf("token is %+v", tok)
	}
	g, err := c.Grant(ctx, GrantRequest{
		Login: "a", Kind: GrantExchange, Scope: "s", Audience: "x y", Resource: []string{"https://r"}, Subject: pw,
	})
	check(err)
	if g.Access.Expose() != "at" || g.Scope != "a b" || g.Saved != SavedMemory || !g.Expires.IsZero() {
		t.Errorf("granted %+v", g)
	}
	ended, err := c.Revoke(ctx, RevokeRequest{Login: "a", Remove: true})
	check(err)
	if ended.Login != "a" || ended.Confirmed != ConfirmedInactive {
		t.Errorf("revoked %+v", ended)
	}
	for _, bad := range []GrantRequest{
		{Login: "a", Kind: "magic"},
		{Login: "a", Kind: GrantExchange},
		{Login: "a", Kind: GrantCredentials, SaveAs: "b"},
	} {
		if _, err := c.Grant(ctx, bad); !errors.As(err, new(*cli.Error)) {
			t.Errorf("grant %+v: %v", bad, err)
		}
	}
	if _, err := c.Revoke(ctx, RevokeRequest{Login: "a", Token: pw, Remove: true}); !errors.As(err, new(*cli.Error)) {
		t.Errorf("a token and a login: %v", err)
	}
	shared, err := c.Share(ctx, ShareRequest{Logins: []string{"a"}, Socket: "/s", Seconds: 60, Confirm: true})
	check(err)
	if shared.Socket != "/s" || !shared.Confirm || len(shared.Logins) != 1 {
		t.Errorf("shared %+v", shared)
	}
	check(c.Unshare(ctx, "/s"))
	list, err := c.Shares(ctx)
	check(err)
	if len(list) != 1 || list[0].Socket != "/s" || !list[0].Until.IsZero() {
		t.Errorf("shares are %+v", list)
	}
	check(c.Shutdown(ctx))
	want := []string{
		"status", `create pass "word"`, `unlock pass "word"||false`, "unlock |/k|false", "unlock ||true", "unlock ||false /ssh", "lock", "logins",
		`save {"name":"a"}`, `import {"name":"i"} false true`, "load a b/c true 3600", "export a", "remove a?b", "backup", "slots",
		`add slot passphrase  pass "word"`, "remove slot 1", "question q/1", "attend q/1",
		`answer q/1 pass "word" true [b] false`, "answer q/1  false [] true", `rekey pass "word" [/k] true`, "token a s -1",
		`grant exchange a s x y [https://r] pass "word"`, "revoke a  true", "share /s [a] 60 true",
		"unshare /s", "shares", "shutdown",
	}
	if !reflect.DeepEqual(b.calls, want) {
		t.Errorf("calls are\n%s\nwant\n%s", strings.Join(b.calls, "\n"), strings.Join(want, "\n"))
	}
	for i, k := range b.kept {
		if !k.Empty() {
			t.Errorf("secret %d was not wiped", i)
		}
	}
}

func TestErrorsKeepCodeAndHint(t *testing.T) {
	b := &backend{}
	c := start(t, b)
	for _, code := range []int{cli.No, cli.Usage, cli.NotFound, cli.Denied, cli.Temporary, cli.Human} {
		b.err = fmt.Errorf("unlock: %w", cli.Fail(code, errors.New("why"), "do this"))
		err := c.Unlock(t.Context(), Unlock{Keyring: true})
		var e *cli.Error
		if !errors.As(err, &e) || e.Code != code || e.Hint != "do this" || err.Error() != "unlock: why" {
			t.Errorf("code %d: %#v", code, err)
		}
	}
	b.err = errors.New("bare")
	var e *cli.Error
	if err := c.Lock(t.Context()); !errors.As(err, &e) || e.Code != cli.No || e.Hint != "" {
		t.Errorf("bare error: %#v", err)
	}
}

func TestBackupCutShort(t *testing.T) {
	b := &backend{backup: bytes.Repeat([]byte("x"), 1<<20), cut: true}
	c := start(t, b)
	if err := c.Backup(t.Context(), io.Discard); !errors.Is(err, ErrCut) {
		t.Errorf("error is %v", err)
	}
	b.backup = nil // nothing written yet: the error itself arrives
	if err := c.Backup(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "disk is gone") {
		t.Errorf("error is %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	c := start(t, &backend{})
	for name, in := range map[string]struct {
		method, path, body, want string
		status                   int
	}{
		"unknown path":    {"GET", "/v1/nothing", "", "there is no GET /v1/nothing", 400},
		"wrong method":    {"DELETE", "/v1/status", "", "there is no DELETE /v1/status", 400},
		"other version":   {"GET", "/v2/status", "", "there is no GET /v2/status", 400},
		"unknown member":  {"POST", "/v1/unlock", `{"pass":"eA=="}`, "unknown field", 400},
		"no JSON":         {"POST", "/v1/unlock", `{"passphrase":"hunter2`, "read body", 400},
		"two values":      {"POST", "/v1/unlock", `{} {}`, "something follows", 400},
		"text for bytes":  {"POST", "/v1/unlock", `{"passphrase":7}`, "member passphrase has the wrong type", 400},
		"no base64":       {"POST", "/v1/unlock", `{"passphrase":"hunter2!"}`, "read body", 400},
		"no credential":   {"POST", "/v1/unlock", `{}`, "give one of", 400},
		"two credentials": {"POST", "/v1/unlock", `{"keyring":true,"key_file":"/k"}`, "give one of", 400},
		"too large":       {"POST", "/v1/logins", strings.Repeat("x", maxBody+1), "too large", 400},
		"a secret in it?": {"POST", "/v1/unlock", `{"passphrase":["hunter2"]}`, "wrong type", 400},
	} {
		resp := raw(t, c, in.method, in.path, in.body)
		if resp.StatusCode != in.status {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(b), in.want) || strings.Contains(string(b), "hunter2") {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
}

func raw(t *testing.T, c Client, method, path, body string) *http.Response {
	t.Helper()
	conn, err := c.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	req, err := http.NewRequestWithContext(t.Context(), method, "http://agent"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := exchange(conn, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestNoAgent(t *testing.T) {
	c := Client{Path: filepath.Join(t.TempDir(), "none")}
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNoAgent) {
		t.Errorf("error is %v", err)
	}
}

func TestClientGoneEndsTheCall(t *testing.T) {
	b := &backend{hold: make(chan struct{})}
	c := start(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.Status(ctx)
		done <- err
	}()
	<-b.hold
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	// The cleanup would hang if the backend still waited.
}

// TCP has no credentials: nobody can be told apart there.
func TestServeRefusesWithoutCredentials(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, &backend{}, nil) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write([]byte("GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n"))
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if b, _ := io.ReadAll(conn); len(b) > 0 {
		t.Errorf("answered %q", b)
	}
	_ = conn.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func (b *backend) Question(_ context.Context, id string) (Question, error) {
	return Question{ID: id, Kind: "select", Text: "which?", Choices: []string{"a", "b"}, Seconds: 120}, b.note("question %s", id)
}

func (b *backend) Attend(_ context.Context, id string) error { return b.note("attend %s", id) }

func (b *backend) Answer(_ context.Context, a AnswerRequest) error {
	return b.note("answer %s %s %v %v %v", a.ID, b.keep(a.Text), a.Yes, a.Chosen, a.Cancelled)
}

func (b *backend) Lend(ctx context.Context, name string, use func(context.Context, secret.Text) Returned) error {
	got := use(ctx, secret.FromString("mytoken of "+name))
	defer got.Next.Wipe()
	return b.note("lend %s: %s %s", name, got.Outcome, got.Next.Expose())
}
