package userinfo

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
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// world is an issuer whose endpoints say what a test wants.
type world struct {
	dir, issuer             string
	now                     time.Time
	key                     *jose.PrivateKey
	env                     map[string]string
	userinfo, introspection string // "" is a refusal
	asked                   atomic.Int32
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256, "k1")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		dir: t.TempDir(), now: time.Unix(1_800_000_000, 0), key: key, userinfo: `{"sub":"alice","name":"Alicé"}`,
		introspection: `{"active":true,"sub":"alice","exp":1800000090.5}`, env: map[string]string{},
	}
	w.env["HOME"] = w.dir
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	w.issuer = srv.URL
	mux.HandleFunc("/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":"%s/jwks","introspection_endpoint":"%s/in","userinfo_endpoint":"%s/ui"}`,
			w.issuer, w.issuer, w.issuer, w.issuer)
	})
	mux.HandleFunc("/jwks", func(rw http.ResponseWriter, _ *http.Request) {
		b, _ := jose.NewKeySet(key.Public()).MarshalJSON()
		_, _ = rw.Write(b)
	})
	mux.HandleFunc("POST /in", func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		if id, pw, _ := r.BasicAuth(); id != "rs" || pw != "s3cret" || w.introspection == "" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = rw.Write([]byte(w.introspection))
	})
	mux.HandleFunc("GET /ui", func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") || w.userinfo == "" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = rw.Write([]byte(w.userinfo))
	})
	return w
}

func (w *world) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) token(t *testing.T, life time.Duration) string {
	t.Helper()
	payload := fmt.Sprintf(`{"iss":%q,"sub":"alice","aud":"api","iat":%d,"exp":%d,"client_id":"c","jti":"1"}`,
		w.issuer, w.now.Unix()-600, w.now.Add(life).Unix())
	token, err := w.key.Sign("at+jwt", []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return token.Expose()
}

// run is one call under the original's name, or under ours.
func (w *world) run(name, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Dir: w.dir, Args: args, Command: name,
		Getenv: func(n string) string { return w.env[n] }, Environ: func() []string { return nil },
		Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler),
	}
	g := cli.Grammar{Name: name, Argp: true}
	code = cli.Run(context.Background(), env, g, New(), args)
	return code, out.String(), errs.String()
}

// inner is a part as it stands in the one object of -m: a level deeper, and no blank behind a name.
func inner(part string) string {
	deeper := strings.ReplaceAll(strings.TrimSuffix(part, "\n"), "\n", "\n    ")
	return strings.ReplaceAll(deeper, `": `, `":`)
}

// TestOutput: what the original prints, byte for byte, on standard output.
func TestOutput(t *testing.T) {
	w := newWorld(t)
	token := w.token(t, time.Hour)
	signature := token[strings.LastIndex(token, ".")+1:]
	jwt := `{
    "body": {
        "aud": "api",
        "client_id": "c",
        "exp": 1800003600,
        "iat": 1799999400,
        "iss": "` + w.issuer + `",
        "jti": "1",
        "sub": "alice"
    },
    "header": {
        "alg": "ES256",
        "kid": "k1",
        "typ": "at+jwt"
    },
    "signature": "` + signature + `",
    "verification": {
        "algorithm": "ES256"
    }
}
`
	user := `{
    "iss": "` + w.issuer + `",
    "name": "Alic\u00e9",
    "sub": "alice"
}
`
	said := `{
    "active": true,
    "exp": 1800000090.5,
    "sub": "alice"
}
`
	client := []string{"--client_id", "rs", "--client_secret", "s3cret"}
	for name, c := range map[string]struct {
		args           []string
		stdout, stderr string
	}{
		"default":        {nil, jwt + "\n" + user + "\n\n", "Your token is valid for 1 hour.\n"},
		"all":            {[]string{"-a"}, jwt + "\n" + user + "\n\n", "Information stored inside the access token:\n"},
		"with_client":    {client, jwt + "\n" + user + "\n" + said + "\n", "Your token is valid for 1 minute and 30.5 seconds.\n"},
		"token_alone":    {[]string{"-at"}, jwt + "\n", "Information stored inside the access token:\n"},
		"userinfo_alone": {[]string{"-ui"}, user + "\n", "Information retrieved from userinfo endpoint:\n"},
		"two":            {[]string{"--userinfo", "-in", client[0], client[1], client[2], client[3]}, user + "\n" + said + "\n", ""},
		"quiet":          {[]string{"-q", "-ui"}, user + "\n", ""},
		"prefix":         {[]string{"--access", "--qui"}, jwt + "\n", ""},
		"machine": {
			append([]string{"-m", "-ui"}, client...), `{
    "access_token_info":` + inner(jwt) + `,
    "introspection_info":` + inner(said) + `,
    "user_info":` + inner(user) + `
}
`, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := w.run(upstream, token+"\n", append(c.args, "-")...)
			if code != 0 || stdout != c.stdout || !strings.Contains(stderr, c.stderr) {
				t.Errorf("%d\n%s\n%s; want\n%s\n%s", code, stdout, stderr, c.stdout, c.stderr)
			}
			if strings.Contains(name, "qui") && stderr != "" {
				t.Errorf("not quiet: %q", stderr)
			}
			if strings.Contains(stdout+stderr, token) || strings.Contains(stdout+stderr, "s3cret") {
				t.Error("a secret is shown")
			}
		})
	}
}

func TestOpaque(t *testing.T) {
	w := newWorld(t)
	t.Run("shown_to_the_issuer_that_was_named", func(t *testing.T) {
		code, stdout, stderr := w.run(upstream, "opaque-1", "-i", w.issuer, "-")
		want := "\n{\n    \"iss\": \"" + w.issuer + "\",\n    \"name\": \"Alic\\u00e9\",\n    \"sub\": \"alice\"\n}\n\n\n"
		if code != 0 || stdout != want || !strings.Contains(stderr, "Your access token is not a JWT\n") {
			t.Errorf("%d, %q, %q", code, stdout, stderr)
		}
	})
	t.Run("machine", func(t *testing.T) {
		code, stdout, _ := w.run(upstream, "opaque-1", "-mi", w.issuer, "-")
		var v map[string]any
		if err := json.Unmarshal([]byte(stdout), &v); err != nil || code != 0 || v["access_token_info"] != nil || v["introspection_info"] != nil {
			t.Errorf("%d, %q, %v", code, stdout, err)
		}
	})
	t.Run("shown_to_nobody_else", func(t *testing.T) {
		before := w.asked.Load()
		code, stdout, stderr := w.run(upstream, "opaque-1", "-")
		if code != codeNoInfos || stdout != "" || !strings.Contains(stderr, "--issuer") || w.asked.Load() != before {
			t.Errorf("%d, %q, %q", code, stdout, stderr)
		}
	})
}

// TestExitCodes of the original, and ours for the same.
func TestExitCodes(t *testing.T) {
	w := newWorld(t)
	good, expired := w.token(t, time.Hour), w.token(t, -time.Hour)
	forged := good[:len(good)-8] + "AAAAAAAA"
	other := newWorld(t)
	w.write(t, "good", good+"\n")
	for _, c := range []struct {
		name, stdin    string
		userinfo       string
		args           []string
		theirs, ours   int
		stdout, alsoIn string // of the original's name
	}{
		{"good", good, `{"sub":"alice"}`, []string{"-q", "-ui", "-"}, 0, 0, "{\n", ""},
		{"from_a_file", "", `{"sub":"alice"}`, []string{"-q", "-ui", "--token-file", "good"}, 0, 0, "{\n", ""},
		{"no_token", "", `{"sub":"alice"}`, nil, 1, cli.NotFound, "", "No access token found\n"},
		{"refused", good, "", []string{"-"}, 2, cli.No, "", "Error: No user infos found\n"},
		{"refused_machine", good, "", []string{"-m", "-"}, 2, cli.No, "{\"error\": \"No user infos found\"}\n", ""},
		{"not_json", good, "<html>", []string{"-"}, 2, cli.No, "", "Error: No user infos found\n"},
		{"of_somebody_else", good, `{"sub":"bob"}`, []string{"-"}, 2, cli.No, "", "another subject"},
		{"expired", expired, `{"sub":"alice"}`, []string{"-"}, 3, cli.No, "", "Error: Could not verify JWT: token has expired"},
		{"forged", forged, `{"sub":"alice"}`, []string{"-"}, 3, cli.No, "", "Error: Could not verify JWT: signature does not match"},
		{"of_another_issuer", good, `{"sub":"alice"}`, []string{"-i", other.issuer, "-"}, 3, cli.No, "", "Error: The token is of the issuer"},
		{"issuer_not_there", "opaque-1", `{"sub":"alice"}`, []string{"-i", "http://127.0.0.1:1", "-"}, 3, cli.Temporary, "", "Error: Look up the issuer"},
		{"issuer_in_clear", "opaque-1", `{"sub":"alice"}`, []string{"-i", "http://op.example", "-"}, 3, cli.No, "", "Error: "},
		{"two_lines", "a\nb", `{"sub":"alice"}`, []string{"-"}, 3, cli.No, "", "Error: Token of the standard input: not a bearer token"},
		{"empty_input", "\n", `{"sub":"alice"}`, []string{"-"}, 3, cli.No, "", "Error: "},
		{"unknown_option", "", "", []string{"--bogus"}, 2, cli.Usage, "", "--bogus"},
		{"value_missing", "", "", []string{"-o"}, 2, cli.Usage, "", "requires an argument"},
		{"ambiguous", "", "", []string{"--a"}, 2, cli.Usage, "", "ambiguous"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.userinfo = c.userinfo
			code, stdout, stderr := w.run(upstream, c.stdin, c.args...)
			if code != c.theirs || !strings.HasPrefix(stdout, c.stdout) || code != 0 && stdout != c.stdout ||
				!strings.Contains(stderr, c.alsoIn) {
				t.Errorf("%d, %q, %q; want %d, %q, %q", code, stdout, stderr, c.theirs, c.stdout, c.alsoIn)
			}
			if code, stdout, stderr = w.run("oidcbox userinfo", c.stdin, c.args...); code != c.ours || code != 0 && stdout != "" {
				t.Errorf("under our name: %d, %q, %q; want %d", code, stdout, stderr, c.ours)
			}
		})
	}
}

// TestNothingIsSentUnverified: a JWT goes to no endpoint before its signature was found right, unless that is waived.
func TestNothingIsSentUnverified(t *testing.T) {
	w := newWorld(t)
	expired := w.token(t, -time.Hour)
	if code, _, _ := w.run(upstream, expired, "-"); code != codeOther || w.asked.Load() != 0 {
		t.Errorf("exit %d, %d questions", code, w.asked.Load())
	}
	code, stdout, stderr := w.run(upstream, expired, "--skip_jwt_verify", "-at", "-")
	if code != 0 || !strings.Contains(stdout, `"verification": null`) || !strings.Contains(stderr, "NOT VERIFIED") ||
		!strings.Contains(stderr, "Your token has EXPIRED for 1 hour!") {
		t.Errorf("%d, %q, %q", code, stdout, stderr)
	}
}

// TestSources: where the token comes from, in the original's order.
func TestSources(t *testing.T) {
	w := newWorld(t)
	good := w.token(t, time.Hour)
	from := func(t *testing.T, want string, args ...string) {
		t.Helper()
		code, _, stderr := w.run(upstream, good, args...)
		if code != 0 || !strings.Contains(stderr, "Using access token from "+want+"\n") {
			t.Errorf("%d, %q; want %q", code, stderr, want)
		}
	}
	for _, name := range []string{"WATTSON_TOKEN", "WATTS_TOKEN", "OIDC_ACCESS_TOKEN", "OS_ACCESS_TOKEN", "OIDC", "ACCESS_TOKEN"} {
		w.env[name] = good // each wins over those before
		from(t, "environment variable '"+name+"'")
	}
	from(t, "standard input", "-")
	from(t, "commandline", good, "not-this-one")
	w.env[envAccount], w.env["OIDC_SOCK"] = "absent", filepath.Join(w.dir, "nobody")
	from(t, "environment variable 'ACCESS_TOKEN'") // an agent that cannot be used is said, and the next place counts
	if code, _, stderr := w.run(upstream, "", "-o", "absent"); code != codeOther ||
		!strings.Contains(stderr, "Error: Could not use oidc-agent account 'absent': ") {
		t.Errorf("with -o it does not: %d, %q", code, stderr)
	}
	t.Run("a_token_on_the_command_line_is_warned_about", func(t *testing.T) {
		_, _, stderr := w.run(upstream, "", "-q", good)
		if !strings.Contains(stderr, "everybody on the machine") || strings.Contains(stderr, good) {
			t.Errorf("%q", stderr)
		}
	})
}

func TestConfiguration(t *testing.T) {
	w := newWorld(t)
	w.write(t, "token", w.token(t, time.Hour))
	w.write(t, ".config/flaat-userinfo.conf", "# mine\n[ops]\n---\nclient_id = rs\nquiet\ntoken-file: token ; where it is\n")
	w.write(t, "more", `client_secret "s3cret"`+"\nintrospection = True\nunknown_key = 5\nclient_id: 'rs'\n")
	code, stdout, stderr := w.run(upstream, "", "-c", "more")
	if code != 0 || !strings.HasPrefix(stdout, "{\n    \"active\": true,") || stderr != "" {
		t.Errorf("%d, %q, %q", code, stdout, stderr)
	}
	t.Run("command_line_wins", func(t *testing.T) {
		code, _, stderr := w.run(upstream, "", "-c", "more", "--client_id", "other")
		if code != 0 || !strings.Contains(stderr, "Error retrieving token introspection info") {
			t.Errorf("%d, %q", code, stderr)
		}
	})
	t.Run("secret_from_a_file", func(t *testing.T) {
		w.write(t, "secret", "s3cret\n")
		code, stdout, _ := w.run(upstream, "", "-in", "--client-secret-file", "secret")
		if code != 0 || !strings.Contains(stdout, `"active": true`) {
			t.Errorf("%d, %q", code, stdout)
		}
	})
	for name, text := range map[string]string{
		"quote_open": `issuer = "https://x`, "no_name": "= 5", "neither_true_nor_false": "quiet = perhaps",
	} {
		t.Run(name, func(t *testing.T) {
			w.write(t, "bad", text)
			if code, _, stderr := w.run(upstream, "", "-c", "bad"); code != cli.Usage {
				t.Errorf("%d, %q", code, stderr)
			}
		})
	}
	t.Run("not_there", func(t *testing.T) {
		if code, _, _ := w.run(upstream, "", "-c", "absent"); code != cli.Usage {
			t.Errorf("%d", code)
		}
	})
}

func TestTimespan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                 "0 seconds",
		400 * time.Millisecond:            "0.4 seconds",
		time.Second:                       "1 second",
		59994 * time.Millisecond:          "59.99 seconds",
		time.Minute:                       "1 minute",
		61500 * time.Millisecond:          "1 minute and 1.5 seconds",
		3599200 * time.Millisecond:        "59 minutes and 59.2 seconds",
		time.Hour:                         "1 hour",
		3661250 * time.Millisecond:        "1 hour, 1 minute and 1.25 seconds",
		90061789 * time.Millisecond:       "1 day, 1 hour and 1 minute",
		694861 * time.Second:              "1 week, 1 day and 1 hour",
		31536000 * time.Second:            "1 year and 1 day",
		40_000_000_123 * time.Millisecond: "1 year, 14 weeks and 23 hours",
	} {
		if got := timespan(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
