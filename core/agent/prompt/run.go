package prompt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	// maxAnswer bounds what a program may say.
	maxAnswer = 16 << 10
	// killWait is how long a child of a killed program may hold its output open.
	killWait = time.Second
	// seen is how long a program has to live for its question to count as shown: one that cannot reach the screen
	// ends at once.
	seen = 300 * time.Millisecond
)

// run starts a program and returns what it printed. The error is that of ended when ctx ends first, and an
// *exec.ExitError for an exit code above 0; the output is there in that case as well. The caller wipes it.
func run(ctx context.Context, env Env, argv []string) (secret.Text, error) {
	alive, kill := context.WithCancel(ctx)
	defer kill()
	out := &bounded{b: make([]byte, 0, maxAnswer), full: kill}
	cmd := exec.CommandContext(alive, argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.WaitDelay = env.environ(), out, killWait
	cmd.Dir = "/"
	asGroup(cmd)
	err := cmd.Run()
	if ctx.Err() != nil {
		clear(out.b)
		return secret.Text{}, ended(ctx)
	}
	text := secret.New(bytes.Clone(out.b))
	clear(out.b)
	var exit *exec.ExitError
	switch {
	case out.over:
		text.Wipe()
		return secret.Text{}, fmt.Errorf("%w: it said more than %d bytes", ErrBroken, maxAnswer)
	case err == nil, errors.As(err, &exit) && exit.Exited():
		return text, err
	}
	text.Wipe()
	return secret.Text{}, fmt.Errorf("%w: %w", ErrBroken, err)
}

// bounded keeps what fits. What does not is the end of whoever writes it.
type bounded struct {
	b    []byte
	over bool
	full func()
}

func (w *bounded) Write(p []byte) (int, error) {
	n := min(len(p), cap(w.b)-len(w.b))
	w.b = append(w.b, p[:n]...) // never grows, so there is one copy
	if n < len(p) {
		w.over = true
		w.full()
	}
	return len(p), nil
}
