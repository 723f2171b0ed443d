// Package feudal answers requests in the form of the feudal adapter: one JSON object with what a FEUDAL client, or a
// script, wants of one person's account, and one JSON object with what became of it.
//
// Who asks is an administrator's program: what the object says about a person is believed, as it is there, and whether
// that issuer's people may have accounts at all is still the desk's to say. It reads no standard input and asks no
// questions of its own (there is no questionnaire).
//
// Standards: none.
//
// Not a public API.
package feudal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
)

// MaxForm bounds a request, in bytes.
const MaxForm = 128 << 10

const (
	maxDepth   = 8
	maxMembers = 500
	maxReason  = 200
)

// ErrForm: the text is not a request.
var ErrForm = errors.New("not a request of the feudal adapter")

// targetTest asks for nothing but a mail to the administrators.
const targetTest state.Request = "test"

// Desk is what answers; *provision.Desk is one.
type Desk interface {
	Status(ctx context.Context, s provision.Subject) (provision.Answer, error)
	Deploy(ctx context.Context, s provision.Subject) (provision.Answer, error)
	Suspend(ctx context.Context, id string, by provision.By) (provision.Answer, error)
	Resume(ctx context.Context, id string, by provision.By) (provision.Answer, error)
	Limit(ctx context.Context, id string, by provision.By) (provision.Answer, error)
	Undeploy(ctx context.Context, id string, by provision.By) (provision.Answer, error)
	Decide(ctx context.Context, id, revision string, accept bool, by provision.By) (provision.Answer, error)
}

// Options of Answer.
type Options struct {
	Claims provision.ClaimRules
	// Trusted says whether people of an issuer may have accounts here; nil: nobody's may.
	Trusted func(iss string) bool
	By      provision.By // Reason is taken from the request where it has one
	// Test sends a mail to the administrators; nil: nobody is told of requests.
	Test func(ctx context.Context) error
}

// Result is the answer. Rejections and failures are states, as the adapter has them.
type Result struct {
	State       state.State       `json:"state"`
	Message     string            `json:"message"`
	Credentials map[string]string `json:"credentials,omitempty"`
}

// form is the request. Members that are not here are left aside.
type form struct {
	Target state.Request `json:"state_target"`
	Reason string        `json:"reason"`
	User   struct {
		Userinfo    json.RawMessage `json:"userinfo"`
		Credentials struct {
			Keys []key `json:"ssh_key"`
		} `json:"credentials"`
	} `json:"user"`
}

// key has an id that some clients write as a number.
type key struct {
	Name  string          `json:"name"`
	ID    json.RawMessage `json:"id"`
	Value string          `json:"value"`
}

// Answer does what the request asks. The error is ErrForm; everything else is a Result.
func Answer(ctx context.Context, desk Desk, body []byte, o Options) (Result, error) {
	if len(body) > MaxForm {
		return Result{}, fmt.Errorf("%w: longer than %d bytes", ErrForm, MaxForm)
	}
	var f form
	if err := json.Unmarshal(body, &f); err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if f.Target == targetTest {
		return test(ctx, o), nil
	}
	subject, err := f.subject(o.Claims)
	if err != nil {
		return Result{}, err
	}
	if o.Trusted == nil || !o.Trusted(subject.Iss) {
		return Result{State: state.Rejected, Message: "The issuer is not trusted."}, nil
	}
	if f.Reason != "" {
		o.By.Reason = f.Reason[:min(len(f.Reason), maxReason)]
	}
	return result(f.do(ctx, desk, subject, o.By))
}

func (f form) do(ctx context.Context, desk Desk, s provision.Subject, by provision.By) (provision.Answer, error) {
	switch f.Target {
	case state.Deploy:
		return desk.Deploy(ctx, s)
	case state.Status:
		return desk.Status(ctx, s)
	case state.Undeploy:
		return desk.Undeploy(ctx, s.ID, by)
	case state.Suspend:
		return desk.Suspend(ctx, s.ID, by)
	case state.Resume:
		return desk.Resume(ctx, s.ID, by)
	case state.Limit:
		return desk.Limit(ctx, s.ID, by)
	case state.Accept, state.Reject:
		return desk.Decide(ctx, s.ID, "", f.Target == state.Accept, by)
	case state.Unlimit: // the adapter has no such word
	}
	return provision.Answer{}, fmt.Errorf("%w: state_target %q", ErrForm, f.Target)
}

// subject is the person, with the claims of userinfo and the keys beside them.
func (f form) subject(c provision.ClaimRules) (provision.Subject, error) {
	info, err := jose.StrictObject(f.User.Userinfo, maxDepth, maxMembers)
	if err != nil {
		return provision.Subject{}, fmt.Errorf("%w: userinfo: %w", ErrForm, err)
	}
	sub, err := info.String("sub")
	if err != nil {
		return provision.Subject{}, fmt.Errorf("%w: userinfo: %w", ErrForm, err)
	}
	iss, err := info.String("iss")
	if err != nil {
		return provision.Subject{}, fmt.Errorf("%w: userinfo: %w", ErrForm, err)
	}
	s, err := provision.SubjectOf(policy.Subject{Issuer: iss, Subject: sub, Userinfo: info}, c)
	if err != nil {
		return s, fmt.Errorf("%w: userinfo: %w", ErrForm, err)
	}
	if f.User.Credentials.Keys != nil {
		s.Keys = []backend.Key{}
	}
	for _, k := range f.User.Credentials.Keys {
		var id string
		if json.Unmarshal(k.ID, &id) != nil {
			id = string(k.ID)
		}
		s.Keys = append(s.Keys, backend.Key{Name: k.Name, ID: id, Value: k.Value})
	}
	return s, nil
}

func test(ctx context.Context, o Options) Result {
	if o.Test == nil {
		return Result{State: state.Failed, Message: "No notifier is configured."}
	}
	if err := o.Test(ctx); err != nil {
		return Result{State: state.Failed, Message: "The test notification could not be sent."}
	}
	return Result{State: "test", Message: "Test notification was sent."}
}

// result makes a state of an error, as far as the person may know of it.
func result(a provision.Answer, err error) (Result, error) {
	r := Result{State: a.State, Message: a.Message, Credentials: a.Credentials}
	if err == nil || errors.Is(err, ErrForm) {
		return r, err
	}
	if rejected, ok := errors.AsType[*provision.Rejection](err); ok {
		return Result{State: state.Rejected, Message: rejected.Message}, nil
	}
	if failed, ok := errors.AsType[*provision.Failure](err); ok {
		return Result{State: state.Failed, Message: failed.Message}, nil
	}
	for _, known := range []error{
		provision.ErrMismatch, provision.ErrNoIdentity, provision.ErrNotPending, provision.ErrChanged, provision.ErrBusy,
	} {
		if errors.Is(err, known) {
			return Result{State: state.Failed, Message: known.Error()}, nil
		}
	}
	return Result{State: state.Failed, Message: "Something went wrong when trying to reach the state."}, nil
}
