package prompt

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// pinentry asks for secrets and for yes or no by a program of that family, which grabs the keyboard where it can.
type pinentry struct{ env Env }

// The low half of a libgpg-error code, as pinentry answers.
const (
	codeTimeout      = 62
	codeCancelled    = 99
	codeNotConfirmed = 114
	codeClosed       = 198 // the window was closed
)

// Can implements the question that Chain asks beforehand.
func (p pinentry) Can(k Kind) bool {
	_, ok := p.env.find("pinentry")
	return ok && p.reaches() && (k == Password || k == Confirm || k == Link)
}

// reaches reports whether the program has somewhere to ask: a screen, or the terminal that the person named.
func (p pinentry) reaches() bool { return p.env.screen() || ownTerminal(p.env.Getenv("GPG_TTY")) }

// Ask implements Asker.
func (p pinentry) Ask(ctx context.Context, q Question) (Answer, error) {
	path, ok := p.env.find("pinentry")
	if !ok || !p.reaches() || q.Kind != Password && q.Kind != Confirm && q.Kind != Link {
		return Answer{}, ErrNobody
	}
	ctx, cancel := q.limit(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Dir, cmd.WaitDelay = p.env.environ(), "/", killWait
	if !ownTerminal(p.env.Getenv("GPG_TTY")) {
		asGroup(cmd)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if err := cmd.Start(); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	// A child of the program may hold the pipes open when it is killed: they end here.
	unblock := context.AfterFunc(ctx, func() { _, _ = in.Close(), out.Close() })
	defer unblock()
	a := &assuan{in: in, out: out}
	answer, err := p.talk(ctx, a, q.printable())
	a.wipe()
	if err == nil || errors.Is(err, ErrCancelled) {
		_ = a.send("BYE", "")
	}
	_ = in.Close()
	cancelled := ctx.Err() != nil
	cancel() // whatever it still wants to say
	_ = cmd.Wait()
	if err != nil && cancelled {
		answer.Text.Wipe()
		return Answer{}, ended(ctx)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("pinentry: %w", err)
	}
	return answer, nil
}

// talk is the conversation. Options that a program does not know are no fault.
func (p pinentry) talk(ctx context.Context, a *assuan, q Question) (Answer, error) {
	if err := a.reply(nil); err != nil {
		return Answer{}, err
	}
	for _, o := range p.options() {
		if err := a.call("OPTION", o); err != nil && !errors.As(err, new(*assuanError)) {
			return Answer{}, err
		}
	}
	for _, line := range p.texts(ctx, q) {
		if err := a.call(line[0], line[1]); err != nil && !errors.As(err, new(*assuanError)) {
			return Answer{}, err
		}
	}
	switch q.Kind {
	case Password:
		text, err := a.pin()
		return Answer{Text: text}, noAsCancel(verdict(err))
	case Link:
		// It stays until the login is done, which ends the context.
		return Answer{Yes: true}, noAsCancel(verdict(a.call("CONFIRM", "")))
	}
	err := verdict(a.call("CONFIRM", ""))
	if errors.Is(err, errSaidNo) {
		return Answer{}, nil
	}
	return Answer{Yes: err == nil}, err
}

// errSaidNo: the button for no. For other questions than Confirm it is the one to cancel.
var errSaidNo = errors.New("said no")

func noAsCancel(err error) error {
	if errors.Is(err, errSaidNo) {
		return ErrCancelled
	}
	return err
}

func verdict(err error) error {
	var said *assuanError
	if !errors.As(err, &said) {
		return err
	}
	switch said.code & 0xffff {
	case codeTimeout:
		return ErrTimeout
	case codeNotConfirmed:
		return errSaidNo
	case codeCancelled, codeClosed:
		return ErrCancelled
	}
	return fmt.Errorf("%w: error %d", ErrBroken, said.code)
}

func (p pinentry) options() []string {
	var list []string
	for _, o := range [][2]string{
		{"display", p.env.Getenv("DISPLAY")}, {"lc-ctype", locale(p.env.Getenv)},
	} {
		if o[1] != "" {
			list = append(list, o[0]+"="+o[1])
		}
	}
	if tty := p.env.Getenv("GPG_TTY"); ownTerminal(tty) {
		list = append(list, "ttyname="+tty)
		if term := p.env.Getenv("TERM"); term != "" {
			list = append(list, "ttytype="+term)
		}
	}
	return list
}

func locale(getenv func(string) string) string {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := getenv(name); v != "" {
			return v
		}
	}
	return ""
}

// texts are what the window shows.
func (p pinentry) texts(ctx context.Context, q Question) [][2]string {
	text := q.Text
	if q.Kind == Link {
		text += "\n" + q.Label
	}
	lines := [][2]string{{"SETTITLE", oneLine(q.Title)}, {"SETDESC", text}}
	if until, ok := ctx.Deadline(); ok {
		// Ours ends it a moment later anyway.
		lines = append(lines, [2]string{"SETTIMEOUT", strconv.Itoa(max(1, int(time.Until(until)/time.Second)))})
	}
	switch q.Kind {
	case Password:
		lines = append(lines, [2]string{"SETPROMPT", oneLine(q.Label)})
	case Confirm:
		lines = append(lines, [2]string{"SETOK", "_Yes"}, [2]string{"SETNOTOK", "_No"}, [2]string{"SETCANCEL", "_Cancel"})
	}
	return lines
}
