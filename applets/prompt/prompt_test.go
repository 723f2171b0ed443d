//go:build linux

package prompt

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

const playEnv = "OIDCBOX_TEST_PROMPT"

// TestMain lets the test binary be oidc-prompt at a terminal of its own.
func TestMain(m *testing.M) {
	if os.Getenv(playEnv) == "" {
		os.Exit(m.Run())
	}
	env := cli.OS()
	env.Args, env.Upstream = os.Args[1:], true
	os.Exit(cli.Main(env, cli.Grammar{Name: "oidc-prompt", Argp: true}, New(), env.Args))
}

// asker notes the question and answers as told.
type asker struct {
	q prompt.Question
	a prompt.Answer
	e error
}

func (a *asker) Ask(_ context.Context, q prompt.Question) (prompt.Answer, error) {
	a.q = q
	return a.a, a.e
}

type outcome struct {
	code        int
	out, errOut string
}

func run(t *testing.T, a *asker, args ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut, Upstream: true,
		Getenv: func(string) string { return "" }, Now: time.Now,
	}
	code := cli.Run(t.Context(), env, cli.Grammar{Name: "oidc-prompt", Argp: true}, &Cmd{asker: a}, args)
	return outcome{code, out.String(), errOut.String()}
}

// TestAnswers: what a calling program reads.
func TestAnswers(t *testing.T) {
	page := base64.StdEncoding.EncodeToString([]byte("<style>p{}</style><p>Give a <b>mytoken</b>\n to x &amp; y?</p><script>evil()</script><ul><li>AT</li></ul>"))
	text := func(s string) prompt.Answer { return prompt.Answer{Text: secret.FromString(s)} }
	for name, c := range map[string]struct {
		args []string
		a    prompt.Answer
		e    error
		want outcome
		ask  prompt.Question
	}{
		"password": {
			[]string{"password", "T", "why", "Password", "30", ""},
			text("geheim"), nil,
			outcome{0, "geheim\n", ""},
			prompt.Question{Kind: prompt.Password, Title: "T", Text: "why", Label: "Password", Timeout: 30 * time.Second},
		},
		"cancelled": {[]string{"password", "T", "why"}, prompt.Answer{}, prompt.ErrCancelled, outcome{1, "", ""}, prompt.Question{
			Kind: prompt.Password, Title: "T", Text: "why",
		}},
		"out_of_time": {[]string{"input", "T", "why"}, prompt.Answer{}, prompt.ErrTimeout, outcome{1, "", ""}, prompt.Question{
			Kind: prompt.Input, Title: "T", Text: "why",
		}},
		"confirm": {[]string{"confirm", "T", "sure?"}, prompt.Answer{Yes: true}, nil, outcome{0, "yes\n", ""}, prompt.Question{
			Kind: prompt.Confirm, Title: "T", Text: "sure?", Default: prompt.Yes,
		}},
		"confirm_no": {[]string{"confirm-default-no", "T", "sure?"}, prompt.Answer{}, nil, outcome{0, "no\n", ""}, prompt.Question{
			Kind: prompt.Confirm, Title: "T", Text: "sure?", Default: prompt.No,
		}},
		"select": {
			[]string{"select", "T", "which", "L", "0", "b", "a", "c"},
			text("a"), nil,
			outcome{0, "a\n", ""},
			prompt.Question{
				Kind: prompt.Select, Title: "T", Text: "which", Label: "L", Default: "b", Choices: []string{"b", "a", "c"},
			},
		},
		"multiple": {
			[]string{"multiple", "T", "which", "L", "0", "x"},
			prompt.Answer{Chosen: []string{"x", "y z"}},
			nil,
			outcome{0, "x\ny z\n", ""},
			prompt.Question{Kind: prompt.Multiple, Title: "T", Text: "which", Label: "L", Default: "x", Choices: []string{"x"}},
		},
		"mytoken": {
			[]string{"mytoken-confirm", "T", page},
			prompt.Answer{Yes: true},
			nil,
			outcome{0, "yes\n", ""},
			prompt.Question{Kind: prompt.Confirm, Title: "T", Text: "Give a mytoken\nto x & y?\nAT"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &asker{a: c.a, e: c.e}
			if got := run(t, a, c.args...); got != c.want {
				t.Errorf("got %+v", got)
			}
			if got, want := a.q, c.ask; got.Kind != want.Kind || got.Text != want.Text || got.Label != want.Label ||
				got.Default != want.Default || got.Timeout != want.Timeout || strings.Join(got.Choices, "|") != strings.Join(want.Choices, "|") {
				t.Errorf("asked %+v", got)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, line := range []string{"", "password", "password T", "magic T text", "input T text L -1", "input T text L soon", "mytoken-confirm T %"} {
		a := &asker{e: errors.New("asked all the same")}
		if got := run(t, a, strings.Fields(line)...); got.code != 64 || got.out != "" || a.q.Title != "" {
			t.Errorf("%q: %+v", line, got)
		}
	}
	if got := run(t, &asker{e: prompt.ErrNobody}, "password", "T", "x"); got.code != 1 || got.out != "" || got.errOut == "" {
		t.Errorf("nobody: %+v", got)
	}
}

// typed runs it at a terminal, with standard output elsewhere.
func typed(t *testing.T, keys string, args ...string) (screen string, got outcome) {
	t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	defer ptmx.Close()
	var out bytes.Buffer
	cmd := exec.Command(os.Args[0], args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, &out, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Env = []string{playEnv + "=1"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = tty.Close()
	_ = ptmx.SetReadDeadline(time.Now().Add(30 * time.Second))
	b := make([]byte, 4096)
	for {
		n, err := ptmx.Read(b)
		screen += string(b[:n])
		if keys != "" && strings.Contains(screen, ": ") {
			_, _ = ptmx.WriteString(keys)
			keys = ""
		}
		if err != nil {
			break
		}
	}
	_ = cmd.Wait()
	return strings.ReplaceAll(screen, "\r\n", "\n"), outcome{cmd.ProcessState.ExitCode(), out.String(), ""}
}

func TestAtATerminal(t *testing.T) {
	for name, c := range map[string]struct {
		keys  string
		args  []string
		want  outcome
		shows string
	}{
		"password":        {"geheim\r", []string{"password", "T", "why", "Pass"}, outcome{0, "geheim\n", ""}, "why\nPass: "},
		"input_default":   {"\r", []string{"input", "T", "why", "Name", "0", "me"}, outcome{0, "me\n", ""}, "Name [me]: "},
		"input":           {"yöu\x7f\x7fou\r", []string{"input", "T", "why", "Name", "0", "me"}, outcome{0, "you\n", ""}, "Name [me]: y"},
		"select_a_number": {"2\r", []string{"select", "T", "which", "L", "0", "one", "two"}, outcome{0, "two\n", ""}, "[2] two"},
		"select_a_word":   {"one\r", []string{"select", "T", "which", "L", "0", "one", "two"}, outcome{0, "one\n", ""}, "[1] one"},
		"select_other":    {"three\r", []string{"select-other", "T", "which", "L", "0", "one"}, outcome{0, "three\n", ""}, "[1] one"},
		"multiple":        {"a b\r", []string{"multiple", "T", "which", "L", "0", "x"}, outcome{0, "a\nb\n", ""}, "separated by blanks"},
		"confirm_enter":   {"\r", []string{"confirm-default-no", "T", "sure?"}, outcome{0, "no\n", ""}, "[no]"},
		"confirm_yes":     {"yes\r", []string{"confirm-default-no", "T", "sure?"}, outcome{0, "yes\n", ""}, "[no]"},
		"cancelled":       {"\x03", []string{"password", "T", "why", "Pass"}, outcome{1, "", ""}, "Pass: "},
		"out_of_time":     {"", []string{"password", "T", "why", "Pass", "1"}, outcome{1, "", ""}, "Pass: "},
		"link":            {"", []string{"link", "T", "Log in here", "https://op.example.org"}, outcome{0, "", ""}, "https://op.example.org"},
		"hostile_text":    {"x\r", []string{"input", "T", "a\x1b]0;pwned\x07b", "L"}, outcome{0, "x\n", ""}, `\u001b]0;pwned\u0007`},
	} {
		t.Run(name, func(t *testing.T) {
			screen, got := typed(t, c.keys, c.args...)
			if got != c.want || !strings.Contains(screen, c.shows) || strings.Contains(screen, "geheim") ||
				strings.Contains(screen, "\x1b") {
				t.Errorf("got %+v, shows %q", got, screen)
			}
		})
	}
}
