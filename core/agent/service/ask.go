package service

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// way is how the person behind a request can be asked.
type way struct {
	peer  sock.Peer
	hint  string                                          // what the client calls itself
	limit *Limit                                          // of the socket it came by; nil: none
	talk  *talk                                           // the client asks at its terminal; nil: it cannot
	watch func(context.Context) (context.Context, func()) // ends when the client hangs up; nil: nobody knows
}

type wayKey struct{}

func withWay(ctx context.Context, w way) context.Context { return context.WithValue(ctx, wayKey{}, w) }

func wayOf(ctx context.Context) way {
	w, _ := ctx.Value(wayKey{}).(way)
	return w
}

// canAsk reports whether a question of this kind would reach somebody.
func (s *Service) canAsk(ctx context.Context, k prompt.Kind) bool {
	w := wayOf(ctx)
	return w.mayBeAsked(k) && (w.talk != nil || prompt.Can(s.opts.Asker, k))
}

// question asks the person behind a request: at the terminal of the client where that is possible, else on the agent's
// own screen. about is the login, for the log. While it waits it is outside the gate, so that the agent can be locked;
// then the error is ErrLocked. The other errors are those of an Asker, with ErrNobody at once.
func (s *Service) question(ctx context.Context, about string, q prompt.Question) (prompt.Answer, error) {
	s.gate.leave()
	a, err := s.askOutside(ctx, about, q)
	if locked := s.gate.reenter(); locked != nil {
		a.Text.Wipe()
		return prompt.Answer{}, locked
	}
	return a, err
}

// askOutside is question for who is outside the gate.
func (s *Service) askOutside(ctx context.Context, about string, q prompt.Question) (prompt.Answer, error) {
	w := wayOf(ctx)
	a, err := s.deliver(ctx, w, q)
	s.opts.Log.InfoContext(ctx, "asked the person", "login", about, "question", string(q.Kind), "at", w.String(),
		"pid", w.peer.PID, "uid", w.peer.UID, "outcome", outcomeWord(q.Kind, a, err))
	return a, err
}

// because is the end of a sentence that says who caused a question.
func (w way) because() string {
	if w.hint == "" {
		return ""
	}
	return " by a program that calls itself " + quoted(w.hint)
}

func (w way) String() string {
	if w.talk != nil {
		return "the client's terminal"
	}
	return "the agent's screen"
}

// outcomeWord is what is logged of an answer: never a text that was typed.
func outcomeWord(k prompt.Kind, a prompt.Answer, err error) string {
	switch {
	case errors.Is(err, prompt.ErrNobody):
		return "nobody there"
	case errors.Is(err, prompt.ErrTimeout):
		return "no answer in time"
	case errors.Is(err, prompt.ErrCancelled):
		return "cancelled"
	case errors.Is(err, context.Canceled), errors.Is(err, errGivenUp):
		return "client gone"
	case err != nil:
		return "failed"
	case k == prompt.Confirm && a.Yes:
		return prompt.Yes
	case k == prompt.Confirm:
		return prompt.No
	}
	return "answered"
}

func (s *Service) deliver(ctx context.Context, w way, q prompt.Question) (prompt.Answer, error) {
	if w.talk != nil {
		return s.byRelay(ctx, w.talk, q)
	}
	if !w.mayBeAsked(q.Kind) || !prompt.Can(s.opts.Asker, q.Kind) {
		return prompt.Answer{}, prompt.ErrNobody
	}
	free, err := s.desk.window(w.limit != nil)
	if err != nil {
		return prompt.Answer{}, fmt.Errorf("%w: %w", prompt.ErrNobody, err)
	}
	defer free()
	if w.watch != nil {
		watched, stop := w.watch(ctx)
		defer stop()
		ctx = watched
	}
	ctx, done := s.whileRunning(ctx)
	defer done()
	if q.Timeout <= 0 {
		q.Timeout = windowLife
	}
	return s.opts.Asker.Ask(ctx, q)
}

// whileRunning is ctx that ends with the service as well.
func (s *Service) whileRunning(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.running, cancel)
	return ctx, func() { stop(); cancel() }
}

// allowed asks whether a client may have something of a login. No answer is no.
func (s *Service) allowed(ctx context.Context, l loaded, what string, w want) error {
	return s.agreed(ctx, l, confirmText(l, what, w, wayOf(ctx)),
		"For id tokens, load the login with: oidc-add --always-allow-idtoken "+l.name)
}

// agreed asks for a yes. otherwise is what can be done where nobody can be asked.
func (s *Service) agreed(ctx context.Context, l loaded, text, otherwise string) error {
	guest := wayOf(ctx).guest(l.name)
	if s.desk.weary(guest, s.opts.Now()) {
		return fail(proto.TextForbidden, "It was refused several times in a row; nobody is asked for a few minutes.")
	}
	a, err := s.question(ctx, l.name, prompt.Question{
		Kind: prompt.Confirm, Title: "oidc-agent: may a program have a token?", Text: text,
	})
	if err == nil || errors.Is(err, prompt.ErrCancelled) || errors.Is(err, prompt.ErrTimeout) {
		s.desk.said(guest, a.Yes, s.opts.Now())
	}
	switch {
	case err == nil && a.Yes:
		return nil
	case err == nil, errors.Is(err, prompt.ErrCancelled):
		return fail(proto.TextForbidden, "You, or somebody at this machine, said no.")
	case errors.Is(err, ErrLocked):
		return err
	case errors.Is(err, prompt.ErrTimeout):
		return &problem{text: proto.TextForbidden, help: "Nobody answered in time whether this is allowed.", err: err}
	}
	return &problem{
		text: proto.TextForbidden, err: err, help: "The agent has nobody to ask whether this is allowed. " + otherwise,
	}
}

// confirmText says who wants what. What the client says of itself is quoted, cut and on one line: it is no place to
// write the rest of the question anew.
func confirmText(l loaded, what string, w want, from way) string {
	who := "A program"
	if w.hint != "" {
		who = "A program that calls itself " + quoted(w.hint)
	}
	if from.peer.PID > 0 {
		who += fmt.Sprintf(" (process %d)", from.peer.PID)
	}
	if from.limit != nil && from.limit.Via != "" {
		who += ", over the shared socket " + from.limit.Via + ","
	} else if from.limit != nil {
		who += ", perhaps on another host or of another user,"
	}
	text := fmt.Sprintf("%s asks for %s of login %s.\nIssuer: %s", who, what, l.name, l.issuer)
	if w.scope != "" {
		text += "\nScopes: " + quoted(w.scope)
	}
	if w.audience != "" {
		text += "\nAudience: " + quoted(w.audience)
	}
	return text + textAllow
}

// textAllow ends a question for permission.
const textAllow = "\nAllow it?"

// quoted is a stranger's text for a question.
func quoted(s string) string {
	const most = 160
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + " …"
	}
	return fmt.Sprintf("%q", s)
}
