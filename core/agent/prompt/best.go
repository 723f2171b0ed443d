package prompt

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Env is what the ways of asking need to know of the process.
type Env struct {
	Getenv func(string) string
	// Self is the path of this program: a link to it under the name oidc-prompt is no other program. May be "".
	Self string
	// Terminal asks at the terminal of this process; nil for a process that has none.
	Terminal Asker
	// NoPrograms leaves oidc-prompt out, for the program that is it.
	NoPrograms bool
}

// Best is the terminal where there is one, then pinentry, then a program named oidc-prompt, then the helpers of
// desktops. What exists is looked for at each question: a screen may come and go. It is never nil.
func Best(env Env) Asker {
	var c Chain
	if env.Terminal != nil {
		c = append(c, env.Terminal)
	}
	c = append(c, pinentry{env})
	if !env.NoPrograms {
		c = append(c, helper{env: env, name: "oidc-prompt", speak: speakOIDCPrompt})
	}
	return append(c,
		helper{env: env, name: "zenity", speak: speakZenity}, helper{env: env, name: "kdialog", speak: speakKDialog})
}

// screen reports whether windows can be shown.
func (e Env) screen() bool { return e.Getenv("DISPLAY") != "" || e.Getenv("WAYLAND_DISPLAY") != "" }

// find looks for a program in the absolute directories of PATH, never in the working directory, and leaves this very
// program out.
func (e Env) find(name string) (path string, ok bool) {
	self, selfErr := os.Stat(e.Self)
	for _, dir := range filepath.SplitList(e.Getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		path, err := exec.LookPath(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		if fi, err := os.Stat(path); err == nil && selfErr == nil && os.SameFile(fi, self) {
			continue
		}
		return path, true
	}
	return "", false
}

// environ is what a program that asks gets to see: where the screen, the terminal and the person's settings are.
func (e Env) environ() []string {
	names := strings.Fields("PATH HOME USER LOGNAME LANG LANGUAGE LC_ALL LC_CTYPE LC_MESSAGES TERM DISPLAY WAYLAND_DISPLAY " +
		"XAUTHORITY DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR XDG_SESSION_TYPE XDG_CURRENT_DESKTOP XDG_CONFIG_HOME " +
		"XDG_DATA_HOME XDG_DATA_DIRS GPG_TTY GTK_MODULES GTK_THEME GDK_BACKEND QT_QPA_PLATFORM QT_QPA_PLATFORMTHEME " +
		"SystemRoot USERPROFILE APPDATA LOCALAPPDATA")
	var out []string
	for _, n := range names {
		if v := e.Getenv(n); v != "" {
			out = append(out, n+"="+v)
		}
	}
	return out
}
