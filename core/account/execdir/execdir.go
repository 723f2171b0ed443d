package execdir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/command"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/state"
)

const (
	// DefaultTimeout bounds one run of the program.
	DefaultTimeout = 30 * time.Second

	maxAnswer   = 64 << 10
	maxAccounts = 32 << 20 // of the answer to "list"
	maxMessage  = 500
)

// ErrOptions: Options cannot work.
var ErrOptions = errors.New("bad settings for the program of accounts")

// ErrAnswer: the program answered with something that is not in the form.
var ErrAnswer = errors.New("program does not answer in the form")

// Options are what New needs.
type Options struct {
	Command []string // absolute path and first arguments
	Timeout time.Duration
	Limits  names.Limits
	// Look finds number, home and shell of an account that the program does not tell them of (NSS). The error is
	// backend.ErrNoAccount when nobody knows the name. It may be nil.
	Look func(ctx context.Context, name string) (backend.Account, error)
	// Taken asks further sources (NSS) whether a name is taken. It may be nil.
	Taken func(ctx context.Context, name string) (bool, error)
	// NotEditable is the administrator's word that users cannot change whose account is whose.
	NotEditable bool
}

// System is the program as an account system. It is safe for concurrent use as far as the program is.
type System struct{ opt Options }

var _ backend.System = (*System)(nil)

// New returns the system. The error is ErrOptions.
func New(o Options) (*System, error) {
	if len(o.Command) == 0 || !filepath.IsAbs(o.Command[0]) {
		return nil, fmt.Errorf("%w: the program needs an absolute path", ErrOptions)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	return &System{opt: o}, nil
}

// run asks the program. What it means by a state is the caller's.
func (s *System) run(ctx context.Context, f Form, limit int) (Result, error) {
	if f.Answers == nil {
		f.Answers = map[string]any{}
	}
	in, err := json.Marshal(f)
	if err != nil {
		return Result{}, fmt.Errorf("write form for the program: %w", err)
	}
	cmd := command.Command{Path: s.opt.Command[0], Args: s.opt.Command[1:], Timeout: s.opt.Timeout}
	out, err := command.Talk(ctx, cmd, append(in, '\n'), limit)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %s: %w", backend.ErrUnavailable, f.Target, err)
	}
	var r Result
	if err := json.Unmarshal(out, &r); err != nil {
		return Result{}, fmt.Errorf("%w: %s: %w: %d bytes", backend.ErrUnavailable, f.Target, ErrAnswer, len(out))
	}
	r.Message = printable(r.Message)
	return r, nil
}

// printable makes one bounded line of what a program says.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "")
	}
	return strings.TrimSpace(s)
}

// form is a request about an identity.
func form(target state.Request, id string) (Form, error) {
	sub, iss, err := names.Decode(id)
	if err != nil {
		return Form{}, fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	return Form{Target: target, User: User{Info: Info{Sub: sub, Iss: iss}}, Account: &Account{ID: id}}, nil
}

// Find asks with get_status.
func (s *System) Find(ctx context.Context, id string) (backend.Account, error) {
	f, err := form(state.Status, id)
	if err != nil {
		return backend.Account{}, fmt.Errorf("find account: %w", err)
	}
	r, err := s.run(ctx, f, maxAnswer)
	if err != nil {
		return backend.Account{}, fmt.Errorf("find account: %w", err)
	}
	switch r.State {
	case state.NotDeployed, state.Pending, state.Rejected:
		return backend.Account{}, backend.ErrNoAccount
	case state.Deployed, state.Suspended, state.Limited:
		a, err := s.account(ctx, id, r)
		if err != nil {
			return backend.Account{}, fmt.Errorf("find account: %w", err)
		}
		return a, nil
	case state.Unknown, state.Failed:
	}
	return backend.Account{}, fmt.Errorf("find account: %w", refusal(r))
}

// refusal is what an answer means that is no success.
func refusal(r Result) error {
	switch r.State {
	case state.Rejected, "questionnaire":
		return fmt.Errorf("%w: program answers %s: %s", backend.ErrRefused, r.State, r.Message)
	case state.Pending:
		return fmt.Errorf("%w: program has not decided: %s", backend.ErrUnavailable, r.Message)
	case state.Failed, state.Unknown, state.NotDeployed:
		return fmt.Errorf("%w: program answers %s: %s", backend.ErrUnavailable, r.State, r.Message)
	}
	return fmt.Errorf("%w: %w: state %q", backend.ErrUnavailable, ErrAnswer, printable(string(r.State)))
}

// account reads the account from an answer: from our member, else from credentials or the message, and numbers from Look.
func (s *System) account(ctx context.Context, id string, r Result) (backend.Account, error) {
	var a backend.Account
	if r.Account != nil {
		a = *r.Account
	}
	if a.Name == "" {
		a.Name = r.Credentials["ssh_user"]
	}
	if a.Name == "" {
		a.Name, _ = state.LocalName(r.State, r.Message)
	}
	if a.ID != "" && a.ID != id {
		return a, fmt.Errorf("%w: program answers with another identity", backend.ErrMismatch)
	}
	a.ID = id
	if err := s.opt.Limits.CheckName(a.Name); err != nil {
		return a, fmt.Errorf("%w: name from the program: %w", backend.ErrRefused, err)
	}
	if a.UID == 0 && s.opt.Look != nil {
		seen, err := s.opt.Look(ctx, a.Name)
		if err != nil && !errors.Is(err, backend.ErrNoAccount) {
			return a, fmt.Errorf("look up %s: %w", a.Name, err)
		}
		a.UID, a.GID, a.Home, a.Shell = seen.UID, seen.GID, seen.Home, seen.Shell
	}
	if a.UID != 0 {
		if err := s.opt.Limits.CheckUID(a.UID); err != nil {
			return a, fmt.Errorf("%w: %s: %w", backend.ErrRefused, a.Name, err)
		}
	}
	slices.Sort(a.Groups)
	a.Suspended = a.Suspended || r.State == state.Suspended
	a.NoLogin = a.NoLogin || r.State == state.Limited
	return a, nil
}

// Holder asks Options.Taken, and the program where it knows the word.
func (s *System) Holder(ctx context.Context, name string) (backend.Holder, error) {
	if err := names.Check(name); err != nil {
		return backend.Holder{}, fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	r, err := s.run(ctx, Form{Target: holder, Account: &Account{Name: name}}, maxAnswer)
	if err != nil && !saidNo(err) {
		return backend.Holder{}, fmt.Errorf("ask who has %s: %w", name, err)
	}
	if err == nil && r.Holder != nil && (r.Holder.Taken || r.Holder.ID != "") {
		return backend.Holder{Taken: true, ID: r.Holder.ID}, nil
	}
	if s.opt.Taken == nil {
		return backend.Holder{}, nil
	}
	taken, err := s.opt.Taken(ctx, name)
	if err != nil {
		return backend.Holder{}, fmt.Errorf("ask who has %s: %w", name, err)
	}
	return backend.Holder{Taken: taken}, nil
}

// saidNo reports whether the program ran and did not like the question, as one does that has never heard of it.
func saidNo(err error) bool {
	_, exited := errors.AsType[*command.ExitError](err)
	return exited || errors.Is(err, ErrAnswer)
}

// Deploy asks with deployed. The error is ErrTaken where the program says, in credentials, another name than was wanted.
func (s *System) Deploy(ctx context.Context, w backend.Wanted) (backend.Done, error) {
	f, err := s.deployForm(w)
	if err != nil {
		return backend.Done{}, fmt.Errorf("deploy %q: %w", w.Name, err)
	}
	r, err := s.run(ctx, f, maxAnswer)
	if err != nil {
		return backend.Done{}, fmt.Errorf("deploy %q: %w", w.Name, err)
	}
	switch r.State {
	case state.Deployed, state.Limited, state.Suspended:
	default:
		return backend.Done{}, fmt.Errorf("deploy %q: %w", w.Name, refusal(r))
	}
	a, err := s.account(ctx, w.ID, r)
	if err != nil {
		return backend.Done{}, fmt.Errorf("deploy %q: %w", w.Name, err)
	}
	if a.Groups == nil {
		a.Groups = slices.Clone(w.Groups)
	}
	done := backend.Done{Account: a, Added: r.Added, Removed: r.Removed, Keys: w.Keys}
	done.Created = r.Created != nil && *r.Created || r.Created == nil && strings.HasPrefix(r.Message, "User was created")
	return done, nil
}

func (s *System) deployForm(w backend.Wanted) (Form, error) {
	f, err := form(state.Deploy, w.ID)
	if err != nil {
		return f, err
	}
	errs := []error{s.opt.Limits.CheckName(w.Name), names.Check(w.Primary)}
	for _, g := range w.Groups {
		errs = append(errs, names.Check(g))
	}
	if err := errors.Join(errs...); err != nil {
		return f, fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	f.User.Info = Info{
		Sub: f.User.Info.Sub, Iss: f.User.Info.Iss, PreferredUsername: w.Name,
		GivenName: printable(w.Person.Given), FamilyName: printable(w.Person.Family), Name: printable(w.Person.Full),
		Email: printable(w.Person.Email), Groups: w.Groups,
	}
	for _, k := range w.Keys {
		if line, err := k.Line(); err == nil {
			f.User.Credentials.Keys = append(f.User.Credentials.Keys, backend.Key{
				Name: printable(k.Name), ID: printable(k.ID), Value: line,
			})
		}
	}
	f.Account = &Account{
		ID: w.ID, Name: w.Name, Primary: w.Primary, Groups: w.Groups, Tier: w.Tier, UID: w.UID, GID: w.GID,
		KeepKeys: w.Keys == nil,
	}
	return f, nil
}

// change asks for a step of an account that is there, and wants the answer to be one of the states.
func (s *System) change(ctx context.Context, f Form, r backend.Ref, want ...state.State) (Result, error) {
	a, err := s.Find(ctx, r.ID)
	if err != nil {
		return Result{}, err
	}
	if a.Name != r.Name {
		return Result{}, fmt.Errorf("it is called %s: %w", a.Name, backend.ErrMismatch)
	}
	sub, iss, err := names.Decode(r.ID)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	f.User.Info = Info{Sub: sub, Iss: iss}
	if f.Account == nil {
		f.Account = &Account{}
	}
	f.Account.ID, f.Account.Name = r.ID, r.Name
	res, err := s.run(ctx, f, maxAnswer)
	if err == nil && !slices.Contains(want, res.State) {
		err = refusal(res)
	}
	return res, err
}

// SetTier asks with limited, or with unlimited for the full shell; the tier stands in our member.
func (s *System) SetTier(ctx context.Context, r backend.Ref, t backend.Tier) error {
	f := Form{Target: state.Limit, Account: &Account{Tier: t}}
	if t == backend.Full {
		f.Target = state.Unlimit
	}
	_, err := s.change(ctx, f, r, state.Deployed, state.Limited, state.Suspended)
	return wrap("set shell of", r, err)
}

// Suspend asks with suspended. The error is ErrUnsupported when sessions were to be ended and the program does not say
// that they were: it may know nothing of the word. The account is suspended all the same.
func (s *System) Suspend(ctx context.Context, r backend.Ref, kill bool) error {
	res, err := s.change(ctx, Form{Target: state.Suspend, EndSessions: kill}, r, state.Suspended)
	if err == nil && kill && !res.SessionsEnded {
		err = fmt.Errorf("%w: the program does not say that sessions were ended", backend.ErrUnsupported)
	}
	return wrap("suspend", r, err)
}

// Resume asks with resumed.
func (s *System) Resume(ctx context.Context, r backend.Ref) error {
	_, err := s.change(ctx, Form{Target: state.Resume}, r, state.Deployed, state.Limited)
	return wrap("resume", r, err)
}

// Undeploy asks with not_deployed.
func (s *System) Undeploy(ctx context.Context, r backend.Ref) error {
	_, err := s.change(ctx, Form{Target: state.Undeploy, EndSessions: true}, r, state.NotDeployed)
	return wrap("undeploy", r, err)
}

func wrap(what string, r backend.Ref, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", what, r.Name, err)
}

// All asks with our own word list. The error is ErrUnsupported when the program does not know it.
func (s *System) All(ctx context.Context, each func(backend.Account) error) error {
	r, err := s.run(ctx, Form{Target: list}, maxAccounts)
	if err != nil && !saidNo(err) {
		return fmt.Errorf("list accounts: %w", err)
	}
	if err != nil || r.Accounts == nil {
		return fmt.Errorf("list accounts: %w: the program does not know the word", backend.ErrUnsupported)
	}
	for _, a := range r.Accounts {
		if _, _, err := names.Decode(a.ID); err != nil || s.opt.Limits.CheckName(a.Name) != nil {
			continue
		}
		if a.UID != 0 && s.opt.Limits.CheckUID(a.UID) != nil {
			continue
		}
		if err := each(a); err != nil {
			return err
		}
	}
	return nil
}

// Trust is the administrator's word: nobody else knows where the program keeps whose account is whose.
func (s *System) Trust(context.Context) error {
	if s.opt.NotEditable {
		return nil
	}
	return fmt.Errorf("%w, or not: nobody vouches for the program", backend.ErrEditable)
}
