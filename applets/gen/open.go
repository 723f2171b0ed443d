package gen

import (
	"fmt"
	"html"
	"net/url"
	"os"
	"os/exec"
	"runtime"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// hasScreen reports whether a browser could be opened here.
func (s *session) hasScreen() bool {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return s.env.Getenv("SSH_CONNECTION") == ""
	}
	return s.env.Getenv("DISPLAY") != "" || s.env.Getenv("WAYLAND_DISPLAY") != ""
}

// openBrowser shows the link in the person's browser, if there is a screen, and returns what takes away its traces. No
// shell sees the link, and only a link to a web page is opened: it comes from the provider.
func (s *session) openBrowser(link string) (done func()) {
	nothing := func() {}
	if s.cmd.NoURLCall || !s.hasScreen() {
		return nothing
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nothing
	}
	argv := opener()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nothing
	}
	page, err := s.redirectPage(u.String())
	if err != nil {
		s.env.Warn("no browser is opened: %v", err)
		return nothing
	}
	cmd := exec.Command(path, append(argv[1:], page)...)
	cmd.Env = s.childEnviron()
	if cmd.Start() == nil {
		_ = cmd.Process.Release() // it outlives us
	}
	return func() { _ = os.Remove(page) }
}

// pageSuffix is that of pages that lead a browser to a login.
const pageSuffix = ".html"

// openForLater is openBrowser for a program that ends at once: the page is left to the next run, see sweepNotes.
func (s *session) openForLater(link string) { _ = s.openBrowser(link) }

// redirectPage writes a page that leads to link, for this user only, and returns where it is. In the arguments of the
// browser every user of the machine could read the link, and log the victim in as himself: state, nonce and challenge
// are all in it.
func (s *session) redirectPage(link string) (string, error) {
	dir, err := sock.RuntimeDir(s.env.Getenv)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "login-*"+pageSuffix) // 0600
	if err != nil {
		return "", fmt.Errorf("make a page for the browser: %w", err)
	}
	to := html.EscapeString(link)
	_, err = fmt.Fprintf(f, `<!DOCTYPE html><html><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<title>Log in</title><meta http-equiv="refresh" content="0; url=%s"></head>
<body><p><a href="%s">Go on to the login</a></p></body></html>
`, to, to)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("write a page for the browser: %w", err)
	}
	return f.Name(), nil
}

// childEnviron is what programs that are started here get to see.
func (s *session) childEnviron() []string { return s.env.ChildEnviron(s.cmd.PwEnv, s.cmd.RTEnv) }

func opener() []string {
	switch runtime.GOOS {
	case "darwin":
		return []string{"open"}
	case "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	return []string{"xdg-open"}
}
