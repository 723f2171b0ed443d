//go:build unix

package prompt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// place is a PATH of its own, with programs that a test writes.
type place struct {
	t   *testing.T
	dir string
	env map[string]string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	dir := t.TempDir()
	return &place{t: t, dir: dir, env: map[string]string{
		"PATH": dir, "DISPLAY": ":99", "HOME": dir, "OIDC_ENCRYPTION_PW": "hunter2", "LD_PRELOAD": "/evil.so",
	}}
}

// program writes a script that can see its arguments in "args", its environment in "env" and its input in "in".
func (p *place) program(name, body string) {
	p.t.Helper()
	script := "#!/bin/sh\nexport PATH=/usr/bin:/bin\ncd " + p.dir + "\nfor a in \"$@\"; do printf '<%s>\\n' \"$a\"; done >args\nenv >env\n" + body
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(script), 0o700); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) read(name string) string {
	p.t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

func (p *place) best() Asker {
	return Best(Env{Getenv: func(k string) string { return p.env[k] }})
}

func (p *place) ask(q Question) (string, Answer, error) {
	p.t.Helper()
	a, err := p.best().Ask(p.t.Context(), q)
	return a.Text.Expose(), a, err
}

// conversing is a pinentry that answers OK to everything but what the cases say.
func conversing(cases string) string {
	return "echo 'OK Pleased to meet you'\nwhile read -r line; do\n  echo \"$line\" >>in\n  case \"$line\" in\n" + cases +
		"\n  BYE*) echo OK; exit 0;;\n  *) echo OK;;\n  esac\ndone\n"
}

func TestPinentry(t *testing.T) {
	for name, c := range map[string]struct {
		cases string
		kind  Kind
		text  string
		yes   bool
		err   error
	}{
		"password":              {"GETPIN) echo 'D s%25e%0Acret'; echo OK;;", Password, "s%e\ncret", false, nil},
		"in_two_lines":          {"GETPIN) echo 'D one'; echo 'D  two'; echo OK;;", Password, "one two", false, nil},
		"empty_password":        {"GETPIN) echo OK;;", Password, "", false, nil},
		"extra_lines":           {"GETPIN) echo '# hi'; echo 'S PASSWORD_FROM_CACHE'; echo 'D x'; echo 'OK done';;", Password, "x", false, nil},
		"cancelled":             {"GETPIN) echo 'ERR 83886179 Operation cancelled <Pinentry>';;", Password, "", false, ErrCancelled},
		"window_closed":         {"GETPIN) echo 'ERR 83886278 closed';;", Password, "", false, ErrCancelled},
		"out_of_time":           {"GETPIN) echo 'ERR 83886142 Timeout <Pinentry>';;", Password, "", false, ErrTimeout},
		"yes":                   {"CONFIRM) echo OK;;", Confirm, "", true, nil},
		"no":                    {"CONFIRM) echo 'ERR 83886194 Not confirmed <Pinentry>';;", Confirm, "", false, nil},
		"neither":               {"CONFIRM) echo 'ERR 83886179 cancelled';;", Confirm, "", false, ErrCancelled},
		"option_unknown":        {"OPTION*) echo 'ERR 83886360 unknown';;\n  GETPIN) echo 'D x'; echo OK;;", Password, "x", false, nil},
		"no_screen":             {"GETPIN) echo 'ERR 83918950 Inappropriate ioctl';;", Password, "", false, ErrNobody},
		"dies":                  {"GETPIN) exit 1;;", Password, "", false, ErrNobody},
		"no_protocol":           {"GETPIN) echo 'hello world'; echo OK;;", Password, "", false, ErrNobody},
		"data_without_question": {"SETDESC*) echo 'D x'; echo OK;;", Confirm, "", false, ErrNobody},
		"bad_escape":            {"GETPIN) echo 'D %zz'; echo OK;;", Password, "", false, ErrNobody},
		"asks_back":             {"GETPIN) echo 'INQUIRE QUALITY x'; read -r l; echo \"$l\" >inquired; echo 'D x'; echo OK;;", Password, "x", false, nil},
		"endless_line": {
			"GETPIN) printf 'D '; head -c 100000 /dev/zero | tr '\\0' a; echo; echo OK;;", Password, "", false, ErrNobody,
		},
		"endless_lines": {"GETPIN) yes '# comment';;", Password, "", false, ErrNobody},
		"too_long": {
			"GETPIN) for i in 1 2 3 4 5; do printf 'D '; head -c 900 /dev/zero | tr '\\0' a; echo; done; echo OK;;",
			Password, "", false, ErrNobody,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.program("pinentry", conversing("  "+c.cases))
			text, a, err := p.ask(Question{Kind: c.kind, Text: "what", Label: "Pass\nword", Timeout: 20 * time.Second})
			if text != c.text || a.Yes != c.yes || !errors.Is(err, c.err) {
				t.Errorf("got %q, %v, %v", text, a.Yes, err)
			}
			if c.text != "" && err != nil && strings.Contains(err.Error(), c.text) {
				t.Errorf("the error has the password in it: %v", err)
			}
		})
	}
}

// TestPinentryIsTold: texts cannot become commands, however a stranger has written them, and the program sees nothing
// of our environment but what it needs.
func TestPinentryIsTold(t *testing.T) {
	p := newPlace(t)
	p.env["LC_ALL"] = "C.UTF-8"
	p.program("pinentry", conversing("  GETPIN) echo 'D x'; echo OK;;"))
	long := strings.Repeat("ü", 5000)
	_, _, err := p.ask(Question{
		Kind: Password, Title: "t\nGETPIN", Text: "100%\r\nSETPROMPT evil\n\x1b[31m\u202e" + long, Label: "a\nBYE", Retry: "wrong",
	})
	if err != nil {
		t.Fatal(err)
	}
	in := p.read("in")
	for _, line := range strings.Split(strings.TrimSpace(in), "\n") {
		word, _, _ := strings.Cut(line, " ")
		if !strings.Contains(" OPTION SETTITLE SETDESC SETTIMEOUT SETPROMPT GETPIN BYE ", " "+word+" ") || len(line) > 1000 {
			t.Errorf("sent %q (%d bytes)", line, len(line))
		}
	}
	for _, want := range []string{"SETDESC wrong%0A100%25", "SETPROMPT a BYE\n", "SETTITLE t GETPIN\n", "OPTION lc-ctype=C.UTF-8\n"} {
		if !strings.Contains(in, want) {
			t.Errorf("%q was not sent: %q", want, in)
		}
	}
	if strings.Count(in, "SETPROMPT") != 2 || strings.Contains(in, "\x1b") || strings.Contains(in, "\u202e") {
		t.Errorf("sent %q", in)
	}
	env := p.read("env")
	if strings.Contains(env, "hunter2") || strings.Contains(env, "LD_PRELOAD") || !strings.Contains(env, "DISPLAY=:99") {
		t.Errorf("environment:\n%s", env)
	}
}

// TestKilled: a program that does not answer is gone when the time is over, or when nobody wants to know any more.
func TestKilled(t *testing.T) {
	for name, program := range map[string]string{"pinentry": "", "oidc-prompt": ""} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.program(name, "echo $$ >pid\necho 'OK hello'\nsleep 600 & echo $! >child\nwait\n"+program)
			begin := time.Now()
			_, _, err := p.ask(Question{Kind: Password, Timeout: 500 * time.Millisecond})
			if !errors.Is(err, ErrTimeout) || time.Since(begin) > 30*time.Second {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
			p.dead()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(200*time.Millisecond, cancel)
			if _, err := p.best().Ask(ctx, Question{Kind: Password}); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			p.dead()
		})
	}
}

func (p *place) dead() {
	p.t.Helper()
	for _, file := range []string{"pid", "child"} {
		pid, err := strconv.Atoi(strings.TrimSpace(p.read(file)))
		if err != nil {
			p.t.Fatal(err)
		}
		// A child of the program belongs to init now, which may take a moment to hear of its end.
		for end := time.Now().Add(20 * time.Second); running(pid); time.Sleep(5 * time.Millisecond) {
			if file == "pid" || time.Now().After(end) {
				p.t.Errorf("%s: process %d still runs", file, pid)
				break
			}
		}
	}
}

// running is false as well for a process whose end nobody has asked for yet, where the system says so.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func TestOIDCPrompt(t *testing.T) {
	for name, c := range map[string]struct {
		q    Question
		body string
		args string
		text string
		yes  bool
		err  error
	}{
		"password": {
			Question{Kind: Password, Title: "T", Text: "why", Label: "Password"},
			"echo geheim", "<password>\n<T>\n<why>\n<Password>\n<300>\n<>\n",
			"geheim", false, nil,
		},
		"hostile_text": {
			Question{Kind: Confirm, Text: `"; touch pwned; $(touch pwned) ` + "`touch pwned`"}, "echo no", "", "", false, nil,
		},
		"confirm_default_no": {
			Question{Kind: Confirm, Default: No, Timeout: time.Minute}, "echo yes", "<confirm-default-no>\n<>\n<>\n<>\n<60>\n<>\n", "", true, nil,
		},
		"confirm":   {Question{Kind: Confirm}, "echo yes", "<confirm>\n<>\n<>\n<>\n<300>\n<>\n", "", true, nil},
		"said_no":   {Question{Kind: Confirm}, "echo no", "", "", false, nil},
		"neither":   {Question{Kind: Confirm}, "echo maybe", "", "", false, ErrNobody},
		"cancelled": {Question{Kind: Password}, "exit 1", "", "", false, ErrCancelled},
		"nothing":   {Question{Kind: Input}, "exit 0", "", "", false, ErrCancelled},
		"select": {
			Question{Kind: Select, Choices: []string{"a", "b", "c"}, Default: "b", Label: "L"},
			"echo c",
			"<select>\n<>\n<>\n<L>\n<300>\n<b>\n<a>\n<c>\n", "c", false, nil,
		},
		"link":     {Question{Kind: Link, Label: "https://op.example.org/device"}, "true", "<link>\n<>\n<>\n<https://op.example.org/device>\n<300>\n<>\n", "", true, nil},
		"too_much": {Question{Kind: Password}, "yes", "", "", false, ErrNobody},
		"lines":    {Question{Kind: Password}, "echo a; echo b", "", "", false, ErrNobody},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.program("oidc-prompt", c.body)
			text, a, err := p.ask(c.q)
			if text != c.text || a.Yes != c.yes || !errors.Is(err, c.err) {
				t.Errorf("got %q, %v, %v", text, a.Yes, err)
			}
			if got := p.read("args"); c.args != "" && got != c.args {
				t.Errorf("arguments %q", got)
			}
			if _, err := os.Stat(filepath.Join(p.dir, "pwned")); err == nil {
				t.Error("a text was run")
			}
		})
	}
	t.Run("multiple", func(t *testing.T) {
		p := newPlace(t)
		p.program("oidc-prompt", "printf 'one\\ntwo words\\n'")
		_, a, err := p.ask(Question{Kind: Multiple, Choices: []string{"x"}})
		if err != nil || strings.Join(a.Chosen, "|") != "one|two words" {
			t.Errorf("got %q, %v", a.Chosen, err)
		}
	})
}

// TestOrder: pinentry goes first for what it knows, and a program that cannot reach the screen is passed over.
func TestOrder(t *testing.T) {
	p := newPlace(t)
	p.program("oidc-prompt", "echo from-prompt")
	p.program("zenity", "echo from-zenity")
	if text, _, _ := p.ask(Question{Kind: Password}); text != "from-prompt" {
		t.Errorf("without pinentry: %q", text)
	}
	p.program("pinentry", conversing("  GETPIN) echo 'D from-pinentry'; echo OK;;"))
	if text, _, _ := p.ask(Question{Kind: Password}); text != "from-pinentry" {
		t.Errorf("with pinentry: %q", text)
	}
	if text, _, _ := p.ask(Question{Kind: Input}); text != "from-prompt" {
		t.Errorf("input: %q", text)
	}
	p.program("pinentry", "exit 2")
	if text, _, _ := p.ask(Question{Kind: Password}); text != "from-prompt" {
		t.Errorf("with a broken pinentry: %q", text)
	}
	if err := os.Remove(filepath.Join(p.dir, "oidc-prompt")); err != nil {
		t.Fatal(err)
	}
	if text, _, _ := p.ask(Question{Kind: Password}); text != "from-zenity" {
		t.Errorf("zenity: %q", text)
	}
	p.program("zenity", "exit 1") // at once: nobody has seen anything
	if _, _, err := p.ask(Question{Kind: Confirm}); !errors.Is(err, ErrNobody) {
		t.Errorf("zenity without a screen: %v", err)
	}
}

// TestNobody: without a screen and a terminal there is nothing to wait for.
func TestNobody(t *testing.T) {
	p := newPlace(t)
	for _, name := range []string{"pinentry", "oidc-prompt", "zenity", "kdialog"} {
		p.program(name, "touch started; sleep 60")
	}
	delete(p.env, "DISPLAY")
	for _, tty := range []string{"", "relative", "/dev/null", "/nowhere", p.dir} {
		p.env["GPG_TTY"] = tty
		if _, _, err := p.ask(Question{Kind: Password}); !errors.Is(err, ErrNobody) || Can(p.best(), Password) {
			t.Errorf("GPG_TTY=%s: %v", tty, err)
		}
	}
	if _, err := os.Stat(filepath.Join(p.dir, "started")); err == nil {
		t.Error("a program was started")
	}
	p.env["WAYLAND_DISPLAY"] = "wayland-0"
	if !Can(p.best(), Password) || Can(nil, Password) {
		t.Error("a screen does not count")
	}
	p.env["PATH"] = "."
	if _, _, err := p.ask(Question{Kind: Password}); !errors.Is(err, ErrNobody) {
		t.Errorf("a program of the working directory: %v", err)
	}
}

// TestSelf: an oidc-prompt that is this very program would ask itself.
func TestSelf(t *testing.T) {
	p := newPlace(t)
	p.program("box", "echo from-box")
	if err := os.Symlink("box", filepath.Join(p.dir, "oidc-prompt")); err != nil {
		t.Fatal(err)
	}
	self := Best(Env{Getenv: func(k string) string { return p.env[k] }, Self: filepath.Join(p.dir, "box")})
	if _, err := self.Ask(t.Context(), Question{Kind: Password}); !errors.Is(err, ErrNobody) {
		t.Errorf("got %v", err)
	}
}

// TestDialogArguments: what strangers write is never an option, and never markup.
func TestDialogArguments(t *testing.T) {
	q := Question{Title: "t", Text: "<b>--extra-button=x</b>", Label: "--password", Default: "d"}
	for _, k := range []Kind{Password, Input, Confirm, Link} {
		q.Kind = k
		for _, a := range speakKDialog(q) {
			if strings.Contains(a, "<") {
				t.Errorf("kdialog %s: %q", k, a)
			}
		}
		args := speakZenity(q)
		for _, a := range args {
			if strings.HasPrefix(a, "--extra") || a == "--password" {
				t.Errorf("zenity %s: %q", k, a)
			}
		}
		if (k == Confirm || k == Link) && !strings.Contains(strings.Join(args, " "), "--no-markup") {
			t.Errorf("zenity %s reads markup", k)
		}
	}
}

func FuzzAssuan(f *testing.F) {
	f.Add("OK\nOK\nD abc\nOK\n")
	f.Add("# x\nS y\nERR 1 z\n")
	f.Add("D %41%\nINQUIRE x\n")
	f.Fuzz(func(t *testing.T, said string) {
		var sent strings.Builder
		a := &assuan{in: &sent, out: strings.NewReader(said)}
		pin, err := a.pin()
		if err != nil && !pin.Empty() || pin.Len() > maxPin {
			t.Errorf("%v and %d bytes", err, pin.Len())
		}
		if sent.Len() > 16+maxLines*8 {
			t.Errorf("sent %d bytes", sent.Len())
		}
		for _, line := range strings.Split(sent.String(), "\n") {
			if line != "" && line != "GETPIN" && line != "CAN" {
				t.Errorf("sent %q", line)
			}
		}
	})
}
