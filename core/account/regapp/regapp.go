package regapp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

const (
	// DefaultTimeout bounds one request.
	DefaultTimeout = 10 * time.Second
	// DefaultWait is how long a new account is waited for.
	DefaultWait = 30 * time.Second
	// DefaultPoll is how often the reg-app is asked meanwhile.
	DefaultPoll = time.Second
)

// Options are what New needs.
type Options struct {
	URL      string // of the REST interface
	User     string
	Password secret.Text
	OrgID    string // "": fdl. Local names are OrgID, "_" and the name within the organisation
	Service  string // short name of the service at the reg-app
	CAFile   string
	Getenv   func(string) string // for proxies and certificates; may be nil
	Timeout  time.Duration
	Wait     time.Duration
	Poll     time.Duration
	Limits   names.Limits
	// Look finds number, home and shell of an account (NSS), which a reg-app does not tell. The error is
	// backend.ErrNoAccount when nobody knows the name. It may be nil.
	Look func(ctx context.Context, name string) (backend.Account, error)
	// End ends what runs for an account, on the hosts that whoever hands it in knows. It may be nil.
	End func(ctx context.Context, a backend.Account) error
	// Taken asks further sources (NSS) whether a name is taken. It may be nil.
	Taken func(ctx context.Context, name string) (bool, error)
}

// System is a service of a reg-app as an account system. It is safe for concurrent use.
type System struct {
	opt  Options
	base string
	http *httpc.Client
}

var _ backend.System = (*System)(nil)

// New returns the system. It asks nobody. The error is ErrOptions, httpc.ErrInsecure or httpc.ErrCAFile.
func New(o Options) (*System, error) {
	o.OrgID = cmp.Or(o.OrgID, "fdl")
	o.Timeout, o.Wait, o.Poll = cmp.Or(o.Timeout, DefaultTimeout), cmp.Or(o.Wait, DefaultWait), cmp.Or(o.Poll, DefaultPoll)
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("%w: %q is not an address", ErrOptions, o.URL)
	}
	if err := httpc.CheckURL(o.URL); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	if o.Service == "" || o.User == "" || names.Check(o.OrgID+"_x") != nil {
		return nil, fmt.Errorf("%w: service, user and an organisation that names can begin with are needed", ErrOptions)
	}
	client, err := httpc.New(httpc.Options{Timeout: o.Timeout, CAFile: o.CAFile, Getenv: o.Getenv, MaxRedirects: -1})
	if err != nil {
		return nil, fmt.Errorf("set up client of the reg-app: %w", err)
	}
	return &System{opt: o, base: strings.TrimRight(o.URL, "/"), http: client}, nil
}

// Front is what local names begin with: OrgID and "_".
func (s *System) Front() string { return s.opt.OrgID + "_" }

// Find asks for the user and the registration: without either there is no account.
func (s *System) Find(ctx context.Context, id string) (backend.Account, error) {
	if _, _, err := names.Decode(id); err != nil {
		return backend.Account{}, fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	u, err := s.find(ctx, id)
	if errors.Is(err, errNone) {
		return backend.Account{}, backend.ErrNoAccount
	}
	if err != nil {
		return backend.Account{}, fmt.Errorf("find account: %w", err)
	}
	r, err := s.registered(ctx, id)
	if err != nil {
		return backend.Account{}, fmt.Errorf("find account: %w", err)
	}
	if r == nil || u.attrs[attrName] == "" {
		return backend.Account{}, backend.ErrNoAccount
	}
	a, err := s.account(ctx, u, r)
	if err != nil {
		return backend.Account{}, fmt.Errorf("find account: %w", err)
	}
	return a, nil
}

// account puts together what reg-app and NSS say. The name is the one that the hosts were told.
func (s *System) account(ctx context.Context, u *user, r *registration) (backend.Account, error) {
	a := backend.Account{ID: u.id, Name: s.Front() + u.attrs[attrName], Suspended: u.status != "ACTIVE" || r.blocked()}
	if told := r.Values["localUid"]; told != "" && told != a.Name {
		return a, fmt.Errorf("%w: the reg-app told the hosts another name", backend.ErrMismatch)
	}
	if err := s.opt.Limits.CheckName(a.Name); err != nil {
		return a, fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	for _, g := range u.groups {
		if names.Check(g.Name) == nil {
			a.Groups = append(a.Groups, g.Name)
		}
	}
	slices.Sort(a.Groups)
	if s.opt.Look == nil {
		return a, nil
	}
	seen, err := s.opt.Look(ctx, a.Name)
	if errors.Is(err, backend.ErrNoAccount) {
		return a, nil
	}
	if err != nil {
		return a, fmt.Errorf("look up %s: %w", a.Name, err)
	}
	if err := s.opt.Limits.CheckUID(seen.UID); err != nil {
		return a, fmt.Errorf("%w: %s: %w", backend.ErrRefused, a.Name, err)
	}
	a.UID, a.GID, a.Home, a.Shell, a.Primary = seen.UID, seen.GID, seen.Home, seen.Shell, seen.Primary
	return a, nil
}

// Holder asks who has the name in the organisation.
func (s *System) Holder(ctx context.Context, name string) (backend.Holder, error) {
	if err := names.Check(name); err != nil {
		return backend.Holder{}, fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	if short, ok := strings.CutPrefix(name, s.Front()); ok {
		id, err := s.named(ctx, short)
		if err == nil {
			return backend.Holder{Taken: true, ID: id}, nil
		}
		if !errors.Is(err, errNone) {
			return backend.Holder{}, fmt.Errorf("ask who has %s: %w", name, err)
		}
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

// Deploy makes the user, names it, puts it into its groups and registers it, each only where that is not done. A reg-app
// has no shells: a tier other than full is ErrRefused.
func (s *System) Deploy(ctx context.Context, w backend.Wanted) (backend.Done, error) {
	done, err := s.deploy(ctx, w)
	if err != nil {
		return backend.Done{}, fmt.Errorf("deploy %q: %w", w.Name, err)
	}
	return done, nil
}

func (s *System) deploy(ctx context.Context, w backend.Wanted) (backend.Done, error) {
	short, err := s.check(w)
	if err != nil {
		return backend.Done{}, fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	u, err := s.ensureUser(ctx, w.ID)
	if err != nil {
		return backend.Done{}, err
	}
	if had := u.attrs[attrName]; had != "" && had != short {
		return backend.Done{}, fmt.Errorf("it is called %s: %w", s.Front()+had, backend.ErrMismatch)
	}
	done := backend.Done{Keys: w.Keys}
	if err := s.describe(ctx, u, w, short); err != nil {
		return done, err
	}
	if done.Added, done.Removed, err = s.setGroups(ctx, u, w.Groups); err != nil {
		return done, err
	}
	r, err := s.registered(ctx, w.ID)
	if err != nil {
		return done, err
	}
	if r == nil {
		done.Created = true
		r, err = s.register(ctx, w.ID)
	} else if !r.ready() {
		r, err = s.await(ctx, w.ID)
	}
	if err != nil {
		return done, err
	}
	if u, err = s.find(ctx, w.ID); err != nil {
		return done, err
	}
	done.Account, err = s.account(ctx, u, r)
	return done, err
}

// check returns the name within the organisation.
func (s *System) check(w backend.Wanted) (string, error) {
	_, _, err := names.Decode(w.ID)
	errs := []error{err, s.opt.Limits.CheckName(w.Name)}
	for _, g := range w.Groups {
		errs = append(errs, s.opt.Limits.CheckName(g))
	}
	short, ok := strings.CutPrefix(w.Name, s.Front())
	if !ok || short == "" {
		errs = append(errs, fmt.Errorf("local names here begin with %s", s.Front()))
	}
	if w.Tier != backend.Full && w.Tier != "" {
		errs = append(errs, fmt.Errorf("tier %s: a reg-app has no shells", w.Tier))
	}
	return short, errors.Join(errs...)
}

func (s *System) ensureUser(ctx context.Context, id string) (*user, error) {
	u, err := s.find(ctx, id)
	if !errors.Is(err, errNone) {
		return u, err
	}
	_, err = s.do(ctx, call{path: []string{"external-user", "create"}, body: map[string]string{"externalId": id}})
	if err != nil {
		return nil, err
	}
	u, err = s.find(ctx, id)
	if errors.Is(err, errNone) {
		err = fmt.Errorf("%w: user is not there after it was made", backend.ErrUnavailable)
	}
	return u, err
}

// describe writes name and keys into the user where they are not as wanted. A name that another user has is ErrTaken.
func (s *System) describe(ctx context.Context, u *user, w backend.Wanted, short string) error {
	changed := u.attrs[attrName] != short
	if changed {
		owner, err := s.named(ctx, short)
		if err == nil && owner != w.ID {
			return fmt.Errorf("name: %w", backend.ErrTaken)
		}
		if err != nil && !errors.Is(err, errNone) {
			return err
		}
	}
	set := func(in map[string]string, key, value string) {
		if value != "" && in[key] != value {
			in[key], changed = value, true
		}
	}
	set(u.attrs, attrName, short)
	set(u.attrs, attrOrg, s.opt.OrgID)
	if u.attrs[attrFamily] == "" {
		set(u.attrs, attrFamily, cmp.Or(oneLine(w.Person.Family), short))
		set(u.attrs, attrGiven, oneLine(w.Person.Given))
		set(u.attrs, attrMail, oneLine(w.Person.Email))
	}
	if w.Keys != nil {
		text, err := keyText(w.Keys)
		if err != nil {
			return err
		}
		if text != "" || u.generic["ssh_key"] != "" {
			set(u.generic, "ssh_key", cmp.Or(text, "[]"))
		}
	}
	if !changed {
		return nil
	}
	if err := s.update(ctx, u); err != nil {
		return err
	}
	return s.alone(ctx, short, w.ID)
}

// alone looks, after a name was written, whether two did so at once.
func (s *System) alone(ctx context.Context, short, id string) error {
	owner, err := s.named(ctx, short)
	if errors.Is(err, errNone) {
		err = fmt.Errorf("%w: the name is not there after it was written", backend.ErrUnavailable)
	}
	if err == nil && owner != id {
		err = fmt.Errorf("two users have the name: %w", backend.ErrTaken)
	}
	return err
}

// keyText is the JSON that a reg-app keeps keys as, "" for none.
func keyText(keys []backend.Key) (string, error) {
	var list []backend.Key
	for _, k := range keys {
		if line, err := k.Line(); err == nil {
			list = append(list, backend.Key{Name: oneLine(k.Name), ID: oneLine(k.ID), Value: line})
		}
	}
	if list == nil {
		return "", nil
	}
	b, err := json.Marshal(list)
	return string(b), err
}

const maxText = 200

func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return strings.TrimSpace(s)
}

// SetTier is ErrUnsupported but for the full shell, which everybody has.
func (s *System) SetTier(_ context.Context, r backend.Ref, t backend.Tier) error {
	if t == backend.Full {
		return nil
	}
	return fmt.Errorf("set shell of %q: %w", r.Name, backend.ErrUnsupported)
}

// ours returns the user that a reference means.
func (s *System) ours(ctx context.Context, r backend.Ref) (*user, error) {
	a, err := s.Find(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if a.Name != r.Name {
		return nil, fmt.Errorf("it is called %s: %w", a.Name, backend.ErrMismatch)
	}
	return s.find(ctx, r.ID)
}

// Suspend deactivates the user and then, with kill, has sessions ended (Options.End); it is ErrUnsupported when nobody does
// that.
func (s *System) Suspend(ctx context.Context, r backend.Ref, kill bool) error {
	if err := s.activate(ctx, r, "deactivate"); err != nil {
		return fmt.Errorf("suspend %q: %w", r.Name, err)
	}
	if !kill {
		return nil
	}
	if s.opt.End == nil {
		return fmt.Errorf("end sessions of %q, which run on other hosts: %w", r.Name, backend.ErrUnsupported)
	}
	a, err := s.Find(ctx, r.ID)
	if err == nil && a.UID == 0 {
		err = fmt.Errorf("%w: this host does not know the account", backend.ErrUnsupported)
	}
	if err == nil {
		err = s.opt.End(ctx, a)
	}
	if err != nil {
		return fmt.Errorf("end sessions of %q: %w", r.Name, err)
	}
	return nil
}

// Resume activates the user.
func (s *System) Resume(ctx context.Context, r backend.Ref) error {
	if err := s.activate(ctx, r, "activate"); err != nil {
		return fmt.Errorf("resume %q: %w", r.Name, err)
	}
	return nil
}

func (s *System) activate(ctx context.Context, r backend.Ref, word string) error {
	u, err := s.ours(ctx, r)
	if err != nil {
		return err
	}
	if (u.status == "ACTIVE") == (word == "activate") {
		return nil
	}
	_, err = s.do(ctx, call{path: []string{"external-user", word, "externalId", r.ID}, changes: true})
	return err
}

// Undeploy takes keys and groups away and ends the registration. The user stays, and with it the name.
func (s *System) Undeploy(ctx context.Context, r backend.Ref) error {
	if err := s.undeploy(ctx, r); err != nil {
		return fmt.Errorf("undeploy %q: %w", r.Name, err)
	}
	return nil
}

func (s *System) undeploy(ctx context.Context, r backend.Ref) error {
	u, err := s.ours(ctx, r)
	if err != nil {
		return err
	}
	if u.generic["ssh_key"] != "" {
		delete(u.generic, "ssh_key")
		if err := s.update(ctx, u); err != nil {
			return err
		}
	}
	if _, _, err := s.setGroups(ctx, u, nil); err != nil {
		return err
	}
	_, err = s.do(ctx, call{
		path: []string{"external-reg", "deregister", "externalId", r.ID, "ssn", s.opt.Service}, changes: true,
	})
	return err
}

// All is ErrUnsupported: a reg-app does not list its users. An account is found again when its user comes.
func (s *System) All(context.Context, func(backend.Account) error) error {
	return fmt.Errorf("list accounts: %w: a reg-app does not tell", backend.ErrUnsupported)
}

// Trust is nil: only services can write externalId, no user.
func (s *System) Trust(context.Context) error { return nil }
