//go:build unix

package daemon

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Hangup returns where SIGHUP arrives until ctx has ended.
func Hangup(ctx context.Context) <-chan os.Signal {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	context.AfterFunc(ctx, func() { signal.Stop(hup) })
	return hup
}

// reloading is what systemd wants to hear before a reload (sd_notify(3), Type=notify-reload).
func reloading() string { return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonicMicros()) }
