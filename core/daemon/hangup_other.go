//go:build !unix

package daemon

import (
	"context"
	"os"
)

// Hangup returns where nothing ever arrives: the system has no such signal.
func Hangup(context.Context) <-chan os.Signal { return nil }

func reloading() string { return "RELOADING=1" }
