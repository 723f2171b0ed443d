//go:build !unix

package mytokenserver

import (
	"context"
	"os"
)

// onHangup returns where nothing ever arrives: the system has no such signal.
func onHangup(context.Context) <-chan os.Signal { return nil }

func reloading() string { return "RELOADING=1" }
