//go:build unix && !linux

package agent

import "context"

func waitForExit(ctx context.Context, pid int) error { return pollForExit(ctx, pid) }
