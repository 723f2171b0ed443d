package gen

import (
	"context"
	"net/url"
	"os/exec"
	"runtime"
)

// hasScreen reports whether a browser could be opened here.
func (s *session) hasScreen() bool {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return s.env.Getenv("SSH_CONNECTION") == ""
	}
	return s.env.Getenv("DISPLAY") != "" || s.env.Getenv("WAYLAND_DISPLAY") != ""
}

// openBrowser shows the link in the person's browser, if there is a screen. No shell sees the link, and only a link to
// a web page is opened: it comes from the provider.
func (s *session) openBrowser(_ context.Context, link string) {
	if s.cmd.NoURLCall || !s.hasScreen() {
		return
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return
	}
	argv := opener()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return
	}
	cmd := exec.Command(path, append(argv[1:], u.String())...)
	cmd.Env = s.env.Environ()
	if cmd.Start() == nil {
		_ = cmd.Process.Release() // it outlives us
	}
}

func opener() []string {
	switch runtime.GOOS {
	case "darwin":
		return []string{"open"}
	case "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	return []string{"xdg-open"}
}
