package verifier

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

const audience = "https://se.example.org"

// world is a provider, its key and a directory with files.
type world struct {
	dir    string
	issuer string
	now    time.Time
	key    *jose.PrivateKey
	mux    *http.ServeMux
}

func newWorld(t *testing.T, slash string) *world {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256, "k1")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: t.TempDir(), now: time.Unix(1_800_000_000, 0), key: key, mux: http.NewServeMux()}
	srv := httptest.NewServer(w.mux)
	t.Cleanup(srv.Close)
	w.issuer = srv.URL + slash
	set, err := jose.NewKeySet(key.Public()).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "keys.json", set)
	w.mux.HandleFunc("/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":"%s/jwks"}`, w.issuer, srv.URL)
	})
	w.mux.HandleFunc("/jwks", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(set) })
	return w
}

func (w *world) write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) token(t *testing.T, life time.Duration) string {
	t.Helper()
	payload := fmt.Sprintf(`{"iss":%q,"sub":"alice","aud":%q,"iat":%d,"exp":%d,"scope":"openid"}`,
		w.issuer, audience, w.now.Unix()-600, w.now.Add(life).Unix())
	token, err := w.key.Sign("at+jwt", []byte(strings.Replace(payload, "{", `{"client_id":"c","jti":"1",`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return token.Expose()
}

func (w *world) run(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Dir: w.dir, Args: args,
		Getenv: func(string) string { return "" }, Environ: func() []string { return nil },
		Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler),
	}
	code = cli.Run(context.Background(), env, cli.Grammar{Name: "oidcbox verifier"}, New(), args)
	return code, out.String(), errs.String()
}

func TestToken(t *testing.T) {
	w := newWorld(t, "")
	good, expired := w.token(t, time.Hour), w.token(t, -5*time.Minute)
	forged := good[:len(good)-6] + "AAAAAA"
	w.write(t, "good", []byte(good+"\n"))
	w.write(t, "notkeys.json", []byte(`[]`))
	keys, aud := []string{"token", "--jwks", "keys.json", "--audience", audience}, []string{"--audience", audience}
	with := func(base []string, more ...string) []string { return append(append([]string(nil), base...), more...) }
	for _, c := range []struct {
		name   string
		stdin  string
		args   []string
		code   int
		stderr string
	}{
		{"accepted_by_file_of_keys", good, keys, cli.OK, ""},
		{"accepted_by_issuer", good, with(aud, "token", "--issuer", w.issuer), cli.OK, ""},
		{"accepted_with_pinned_issuer", good, with(keys, "--issuer", w.issuer), cli.OK, ""},
		{"accepted_from_file", "", with(keys, "--token-file", "good"), cli.OK, ""},
		{"accepted_with_white_space", " \t" + good + "\r\n", keys, cli.OK, ""},
		{"accepted_for_one_of_two_audiences", good, with(keys, "--audience", "other"), cli.OK, ""},
		{"accepted_in_its_profile", good, with(keys, "--profile", "at+jwt"), cli.OK, ""},
		{"refused_in_another_profile", good, with(keys, "--profile", "wlcg"), cli.No, "token is of profile at+jwt"},
		{"refused_expired", expired, keys, cli.No, "token has expired: 5m0s ago"},
		{"refused_forged", forged, keys, cli.No, "signature does not match"},
		{"refused_opaque", "abc", keys, cli.No, "not a signed JWT"},
		{"refused_empty", "\n", keys, cli.No, "there is none"},
		{"refused_too_long", strings.Repeat("a", 80<<10), keys, cli.No, "too large"},
		{
			"refused_other_issuer", good, with(keys, "--issuer", "https://other.example.org"), cli.No,
			"issuer is not trusted",
		},
		{"refused_other_issuer_says_which", good, with(keys, "--issuer", "https://other.example.org"), cli.No, `it is "` + w.issuer},
		{
			"refused_other_audience_says_which", good,
			[]string{"token", "--jwks", "keys.json", "--audience", "x"},
			cli.No,
			`aud in the token is ["` + audience + `"]`,
		},
		{"refused_with_the_word_bearer", "Bearer " + good, keys, cli.No, "hint: the token is what comes after the word"},
		{"usage_mistyped_command", "", []string{"tokne"}, cli.Usage, "there is no such command"},
		{"usage_issuer_without_scheme", good, with(aud, "token", "--issuer", "127.0.0.1:8080"), cli.Usage, "https://"},
		{
			"refused_other_audience", good,
			[]string{"token", "--jwks", "keys.json", "--audience", "x"},
			cli.No,
			"another audience",
		},
		{"usage_no_audience", good, []string{"token", "--jwks", "keys.json"}, cli.Usage, "hint: use --audience"},
		{
			"usage_empty_audience", good,
			[]string{"token", "--jwks", "keys.json", "--audience="},
			cli.Usage,
			"no audience",
		},
		{"usage_nobody_to_trust", good, with(aud, "token"), cli.Usage, "--issuer URL or --jwks FILE"},
		{"usage_issuer_no_url", good, with(aud, "token", "--issuer", "example.org"), cli.Usage, "https://"},
		{"usage_unknown_profile", good, with(keys, "--profile", "x"), cli.Usage, "profiles are"},
		{"usage_key_file_absent", good, with(aud, "token", "--jwks", "none.json"), cli.Usage, "none.json"},
		{"usage_key_file_is_none", good, with(aud, "token", "--jwks", "notkeys.json"), cli.Usage, "JWK set"},
		{
			"temporary_nobody_answers", good, with(aud, "token", "--issuer", "http://127.0.0.1:1"), cli.Temporary,
			"nothing was decided",
		},
		{
			"temporary_no_metadata", good, with(aud, "token", "--issuer", w.issuer+"/elsewhere"), cli.Temporary,
			"no discovery document",
		},
		{"token_as_argument", "", with(keys, good), cli.Usage, "everybody on the machine can read"},
		{"token_as_first_argument", "", with(aud, good), cli.Usage, "everybody on the machine can read"},
		{"token_as_file_name", "", with(keys, "--token-file", good), cli.Usage, "read token file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := w.run(c.stdin, c.args...)
			if code != c.code || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit %d, want %d; standard error %q, want %q", code, c.code, stderr, c.stderr)
			}
			if (code == cli.OK) != strings.HasPrefix(stdout, "accepted: alice at "+w.issuer) {
				t.Errorf("exit %d with %q", code, stdout)
			}
			for _, part := range strings.Split(good, ".") {
				if strings.Contains(stdout+stderr, part) {
					t.Errorf("a part of the token is in the output: %s%s", stdout, stderr)
				}
			}
		})
	}
}

func TestTypedIssuerIsCompleted(t *testing.T) {
	w := newWorld(t, "/")
	code, stdout, stderr := w.run(w.token(t, time.Hour), "token", "--issuer", strings.TrimSuffix(w.issuer, "/"),
		"--audience", audience)
	if code != cli.OK || !strings.Contains(stderr, "the issuer is "+w.issuer+", with a slash") ||
		!strings.Contains(stdout, w.issuer) {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

func TestJSON(t *testing.T) {
	w := newWorld(t, "")
	for _, c := range []struct {
		name     string
		life     time.Duration
		accepted bool
	}{{"accepted", time.Hour, true}, {"refused", -time.Hour, false}} {
		t.Run(c.name, func(t *testing.T) {
			_, stdout, _ := w.run(w.token(t, c.life), "token", "--jwks", "keys.json", "--audience", audience, "--json")
			var r struct {
				Accepted                bool
				Reason, Issuer, Subject string
				Claims                  map[string]any
			}
			if err := json.Unmarshal([]byte(stdout), &r); err != nil {
				t.Fatalf("%v: %q", err, stdout)
			}
			if r.Accepted != c.accepted || (r.Reason == "") != c.accepted {
				t.Errorf("%+v", r)
			}
			if c.accepted && (r.Subject != "alice" || r.Claims["scope"] != "openid") {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestBrokenKeyIsNamedAndOthersUsed(t *testing.T) {
	w := newWorld(t, "")
	good, err := w.key.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "keys.json", []byte(`{"keys":[{"kty":"AKP","alg":"ML-DSA-44"},`+string(good)+`]}`))
	code, _, stderr := w.run(w.token(t, time.Hour), "token", "--jwks", "keys.json", "--audience", audience)
	if code != cli.OK || !strings.Contains(stderr, "left out: key 1 of the set") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
