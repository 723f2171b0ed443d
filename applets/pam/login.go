package pam

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
	"github.com/oidcbox/oidcbox/core/cli"
)

// maxTime bounds a question of PAM, from the start of the process to its end.
const maxTime = 3 * time.Second

// errDenied: the provisioner, or what stands in its place, said no.
var errDenied = errors.New("the provisioner says no")

// loginCmd is what PAM calls. Its grammar is for help and man page; see Cmd.Choose.
type loginCmd struct {
	options
}

// Run is for "pam login".
func (c *loginCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.answer(ctx, env, c.check())
}

// answer answers PAM by the exit code alone, and says why to the log.
func (c *loginCmd) answer(ctx context.Context, env *cli.Env, wrong error) error {
	phase := env.Getenv("PAM_TYPE")
	if phase == "" {
		if wrong != nil {
			return cli.Fail(cli.Usage, wrong, "see 'oidcbox pam --help'")
		}
		return cli.Fail(cli.Usage, errors.New("PAM calls this, with the user in its environment"),
			"'oidcbox pam check' examines how this host is set up")
	}
	h := helper{
		options: c.options, log: newSyslog("", env.Now),
		q: login.Question{User: env.Getenv("PAM_USER"), Remote: env.Getenv("PAM_RHOST"), Via: env.Getenv("PAM_SERVICE")},
	}
	if wrong != nil {
		h.write(phase, sevErr, "refused", wrong.Error())
		return cli.Exit(cli.Usage)
	}
	if c.Config != "" && h.readIni(c.Config) != nil || h.within(ctx, maxTime, env, phase) != nil {
		return cli.Exit(cli.No)
	}
	return nil
}

// lastWord is how long after the time is up a phase may take to notice. Then nobody waits for it any more.
const lastWord = 300 * time.Millisecond

// within serves a phase and is back in time, whatever hangs: the process ends then, and the phase with it.
func (h *helper) within(ctx context.Context, limit time.Duration, env *cli.Env, phase string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- h.serve(ctx, env, phase) }()
	late := time.NewTimer(limit + lastWord)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		h.write(phase, sevErr, "refused", login.ErrLate.Error())
		return login.ErrLate
	}
}

// helper is one question of PAM.
type helper struct {
	options
	users sysuser.DB
	log   syslog
	q     login.Question
}

// serve answers one phase and logs the outcome.
func (h *helper) serve(ctx context.Context, env *cli.Env, phase string) error {
	var said string
	var err error
	switch phase {
	case "auth":
		said, err = h.auth(ctx, env)
	case "account":
		said, err = h.account(ctx)
	default:
		err = fmt.Errorf("there is no answer for PAM's phase %q", phase)
	}
	if err != nil {
		h.write(phase, severity(err), "refused", err.Error())
		return err
	}
	level := sevInfo
	if said == "" {
		level, said = sevDebug, "not a federated account: no opinion"
	}
	h.write(phase, level, "accepted", said)
	return nil
}

func (h *helper) write(phase string, severity int, outcome, text string) {
	const longest = 64 // of a name: what is longer is none
	h.log.write(severity, fmt.Sprintf("%s %s from %s (%s, %s): %s", outcome, strconv.Quote(cut(h.q.User, longest)),
		orNone(cut(h.q.Remote, longest)), orNone(cut(h.q.Via, longest)), cut(phase, longest), text))
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// severity of a refusal: a local user's password is no news, a provisioner that is down is.
func severity(err error) int {
	switch {
	case errors.Is(err, errNotOurs), errors.Is(err, errJunk), errors.Is(err, errUnmanaged):
		return sevInfo
	case errors.Is(err, errDenied), errors.Is(err, errCut), errors.Is(err, errLong), errors.Is(err, errNoSecret):
		return sevNotice
	}
	return sevErr
}

// auth answers the phase that comes with a secret. The account is looked at before the secret leaves this process.
func (h *helper) auth(ctx context.Context, env *cli.Env) (said string, err error) {
	b, err := readSecret(ctx, env.Stdin)
	if err != nil {
		return "", err
	}
	token, kind, err := h.judge(b)
	if err != nil {
		return "", err
	}
	defer token.Wipe()
	h.q.Phase, h.q.Secret = login.Auth, token
	if h.Local != "" {
		return h.authLocal(ctx, kind)
	}
	a, err := h.look(ctx, h.users, h.q.User)
	if err != nil {
		return "", err
	}
	if h.VerifyEndpoint != "" {
		return h.askVerify(ctx, a, kind)
	}
	answer, err := h.ask(ctx)
	if err != nil {
		return "", err
	}
	return agreed(answer, a, word(kind))
}

// account answers the phase without a secret: may a user who came by key, or by password, come in. Of accounts that are
// not ours it has no opinion.
func (h *helper) account(ctx context.Context) (said string, err error) {
	h.q.Phase = login.Account
	if h.Local != "" {
		return "", nil // the map has no states
	}
	a, err := h.look(ctx, h.users, h.q.User)
	doubtful := errors.Is(err, errUnmarked)
	switch {
	case doubtful:
	case errors.Is(err, errUnmanaged):
		return "", nil
	case err != nil:
		return "", err
	case h.VerifyEndpoint != "":
		return "", errors.New("the account phase needs the provisioner's socket: verify_user says nothing without a token")
	}
	if doubtful && h.VerifyEndpoint != "" {
		return "", nil
	}
	answer, err := h.ask(ctx)
	if doubtful && (err != nil || !answer.Allowed && answer.ID == "") {
		return "", nil // nobody claims the account: it is a local user's
	}
	if err != nil {
		return "", err
	}
	if doubtful {
		a.id = answer.ID // the provisioner knows it; whatever it says can only be stricter than no opinion
	}
	return agreed(answer, a, "account")
}

// ask asks the provisioner behind the socket.
func (h *helper) ask(ctx context.Context) (login.Answer, error) {
	uid, err := h.servedBy(ctx)
	if err != nil {
		return login.Answer{}, err
	}
	return login.Ask(ctx, h.Socket, h.q, login.AskOptions{
		Trust: func(u uint32) bool { return u == 0 || u == uid },
	})
}

// servedBy is the uid of the provisioner's user. Without such a user only root is left.
func (h *helper) servedBy(ctx context.Context) (uint32, error) {
	u, err := h.users.User(ctx, h.ServedBy)
	if errors.Is(err, sysuser.ErrNone) {
		if n, err := strconv.ParseUint(h.ServedBy, 10, 32); err == nil {
			return uint32(n), nil
		}
		return 0, nil
	}
	return u.UID, err
}

// agreed is the last word: a yes counts only for the identity that this host knows the account by.
func agreed(answer login.Answer, a account, how string) (said string, err error) {
	switch {
	case !answer.Allowed:
		return "", fmt.Errorf("%w: %s (state %s)", errDenied, orNone(answer.Reason), orNone(answer.State))
	case a.id != "" && answer.ID != a.id:
		return "", fmt.Errorf("%w: the provisioner answers for %s, the account belongs to %s", errMismatch, answer.ID, a.id)
	}
	return fmt.Sprintf("%s, %s", answer.ID, how), nil
}

// word is what the log calls a secret.
func word(k form.Kind) string {
	if k == form.Other {
		return "short mytoken"
	}
	return k.String()
}
