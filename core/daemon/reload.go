package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// Manager tells systemd, or whoever started the daemon and listens, how it is.
type Manager struct {
	Getenv func(string) string
	Log    *slog.Logger
}

// Notify tells of a state ("READY=1\nSTATUS=answering"). Where that fails the daemon goes on.
func (m Manager) Notify(state string) {
	if err := sock.Notify(m.Getenv, state); err != nil {
		m.Log.Warn("the service manager was not told", "err", err)
	}
}

// Reloads calls reload for every signal of hup until ctx ends, and tells the manager before. That it is ready again is
// for reload to say.
func (m Manager) Reloads(ctx context.Context, hup <-chan os.Signal, reload func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			m.Notify(reloading())
			reload()
		}
	}
}

// Lines are the faults of a configuration one by one, or err as one line. No line can act on a terminal.
func Lines(err error) []string {
	var faults config.Faults
	if !errors.As(err, &faults) {
		return []string{OneLine(err.Error())}
	}
	list := make([]string, len(faults))
	for i, f := range faults {
		list[i] = f.String()
	}
	return list
}

// OneLine makes a text one line that a terminal shows as it is.
func OneLine(s string) string {
	return cli.Printable(strings.ReplaceAll(strings.TrimSpace(s), "\n", "; "))
}

// Restart collects which changes of a new configuration wait for a restart.
type Restart struct {
	File  string
	Notes []config.Fault
}

// Note remembers key unless it is the same as before.
func (r *Restart) Note(key string, same bool) {
	if !same {
		r.Notes = append(r.Notes, config.Fault{File: r.File, Key: key, Text: "has changed, which takes a restart"})
	}
}

// TuneMemory sets how much garbage there may be (percent of what lives) and from how many bytes on it is collected more
// often. What lives in a daemon is small and each request leaves some garbage: with Go's own setting an eighth of the
// time would go into collecting it; the limit keeps the looser setting from multiplying a burst. What the operator has
// set (GOGC, GOMEMLIMIT) is left alone.
func TuneMemory(getenv func(string) string, percent int, limit int64) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}
