package feudal_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/feudal"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
)

// desk notes what it was asked.
type desk struct {
	asked   string
	subject provision.Subject
	by      provision.By
	err     error
}

func (d *desk) note(what, id string, by provision.By) (provision.Answer, error) {
	d.asked, d.by = what+" "+id, by
	return provision.Answer{State: state.Suspended, Message: "done"}, d.err
}

func (d *desk) Status(_ context.Context, s provision.Subject) (provision.Answer, error) {
	d.subject = s
	return d.note("status", s.ID, provision.By{})
}

func (d *desk) Deploy(_ context.Context, s provision.Subject) (provision.Answer, error) {
	d.subject = s
	a, err := d.note("deploy", s.ID, provision.By{})
	a.Credentials = map[string]string{"ssh_user": "alice"}
	return a, err
}

func (d *desk) Suspend(_ context.Context, id string, by provision.By) (provision.Answer, error) {
	return d.note("suspend", id, by)
}

func (d *desk) Resume(_ context.Context, id string, by provision.By) (provision.Answer, error) {
	return d.note("resume", id, by)
}

func (d *desk) Limit(_ context.Context, id string, by provision.By) (provision.Answer, error) {
	return d.note("limit", id, by)
}

func (d *desk) Undeploy(_ context.Context, id string, by provision.By) (provision.Answer, error) {
	return d.note("undeploy", id, by)
}

func (d *desk) Decide(_ context.Context, id, revision string, accept bool, by provision.By) (provision.Answer, error) {
	return d.note(map[bool]string{true: "accept", false: "reject"}[accept]+revision, id, by)
}

func all(string) bool { return true }

const person = `{"userinfo":{"sub":"a b","iss":"https://op.example/","given_name":"Al","eduperson_entitlement":["urn:x:y"]},
"credentials":{"ssh_key":[{"name":"k","id":7,"value":"ssh-ed25519 AAAA"},{"name":"l","id":"x","value":"v"}]}}`

const id = "a+b@https%3A%2F%2Fop.example%2F"

func TestTargets(t *testing.T) {
	for target, want := range map[string]string{
		"deployed": "deploy", "not_deployed": "undeploy", "get_status": "status", "suspended": "suspend", "resumed": "resume",
		"limited": "limit", "accepted": "accept", "rejected": "reject",
	} {
		t.Run(target, func(t *testing.T) {
			d := &desk{}
			body := `{"state_target":"` + target + `","reason":"because","user":` + person + `,"answers":{},"extra":1}`
			r, err := feudal.Answer(t.Context(), d, []byte(body), feudal.Options{By: provision.By{Who: "root"}, Trusted: all})
			if err != nil || r.State != state.Suspended || r.Message != "done" || d.asked != want+" "+id {
				t.Errorf("%+v, %v, asked %q", r, err, d.asked)
			}
			if want != "deploy" && want != "status" && d.by != (provision.By{Who: "root", Reason: "because"}) {
				t.Errorf("by %+v", d.by)
			}
		})
	}
}

func TestDeploy(t *testing.T) {
	d := &desk{}
	r, err := feudal.Answer(t.Context(), d, []byte(`{"state_target":"deployed","user":`+person+`}`), feudal.Options{Trusted: all})
	if err != nil || !reflect.DeepEqual(r.Credentials, map[string]string{"ssh_user": "alice"}) {
		t.Errorf("%+v, %v", r, err)
	}
	s := d.subject
	if s.Sub != "a b" || s.Person.Given != "Al" || len(s.Entitlements) != 1 || len(s.Keys) != 2 || s.Keys[0].ID != "7" ||
		s.Keys[1].ID != "x" {
		t.Errorf("subject %+v", s)
	}
	body := strings.Replace(`{"state_target":"deployed","user":`+person+`}`, "ssh_key", "other", 1)
	if _, err := feudal.Answer(t.Context(), d, []byte(body), feudal.Options{Trusted: all}); err != nil || d.subject.Keys != nil {
		t.Errorf("no word about keys: %+v, %v", d.subject.Keys, err)
	}
}

func TestIssuer(t *testing.T) {
	for name, trusted := range map[string]func(string) bool{
		"another": func(iss string) bool { return iss == "https://op.example" }, "none": nil,
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{}
			body := []byte(`{"state_target":"deployed","user":` + person + `}`)
			r, err := feudal.Answer(t.Context(), d, body, feudal.Options{Trusted: trusted})
			if err != nil || r.State != state.Rejected || d.asked != "" {
				t.Errorf("%+v, %v, asked %q", r, err, d.asked)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	body := []byte(`{"state_target":"deployed","user":` + person + `}`)
	for name, c := range map[string]struct {
		err  error
		want feudal.Result
	}{
		"rejected": {&provision.Rejection{Message: "no"}, feudal.Result{State: state.Rejected, Message: "no"}},
		"failed": {
			&provision.Failure{Message: "oh", Err: errors.New("secret")},
			feudal.Result{State: state.Failed, Message: "oh"},
		},
		"mismatch": {provision.ErrMismatch, feudal.Result{State: state.Failed, Message: provision.ErrMismatch.Error()}},
		"other": {errors.New("secret"), feudal.Result{
			State:   state.Failed,
			Message: "Something went wrong when trying to reach the state.",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := feudal.Answer(t.Context(), &desk{err: c.err}, body, feudal.Options{Trusted: all}); err != nil ||
				!reflect.DeepEqual(r, c.want) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestForm(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":        "",
		"no_object":      `[]`,
		"no_user":        `{"state_target":"deployed"}`,
		"unknown_target": `{"state_target":"root","user":` + person + `}`,
		"own_word":       `{"state_target":"unlimited","user":` + person + `}`,
		"no_sub":         `{"state_target":"deployed","user":{"userinfo":{"iss":"i"}}}`,
		"sub_twice":      `{"state_target":"deployed","user":{"userinfo":{"sub":"a","sub":"b","iss":"i"}}}`,
		"sub_is_a_list":  `{"state_target":"deployed","user":{"userinfo":{"sub":["a"],"iss":"i"}}}`,
		"long":           `{"state_target":"` + strings.Repeat("x", feudal.MaxForm) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{}
			if r, err := feudal.Answer(t.Context(), d, []byte(body), feudal.Options{Trusted: all}); !errors.Is(err, feudal.ErrForm) ||
				d.asked != "" {
				t.Errorf("%+v, %v, asked %q", r, err, d.asked)
			}
		})
	}
}

func TestNotification(t *testing.T) {
	body := []byte(`{"state_target":"test"}`)
	for name, c := range map[string]struct {
		test func(context.Context) error
		want state.State
	}{
		"sent":       {func(context.Context) error { return nil }, "test"},
		"not_sent":   {func(context.Context) error { return errors.New("x") }, state.Failed},
		"no_mailing": {nil, state.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := feudal.Answer(t.Context(), &desk{}, body, feudal.Options{Test: c.test}); err != nil || r.State != c.want {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// FuzzAnswer: no text makes the desk act for an identity that is not the one in it.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"state_target":"deployed","user":` + person + `}`))
	f.Add([]byte(`{"state_target":"suspended","user":{"userinfo":{"sub":"a","iss":"i"}},"user":{"userinfo":{"sub":"b","iss":"i"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d := &desk{}
		r, err := feudal.Answer(t.Context(), d, body, feudal.Options{Trusted: all})
		if err != nil && (d.asked != "" || !errors.Is(err, feudal.ErrForm)) {
			t.Errorf("%v after %q", err, d.asked)
		}
		if err == nil && r.State == "" {
			t.Error("no state")
		}
	})
}
