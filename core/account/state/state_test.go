package state

import (
	"strings"
	"testing"
)

// TestTable is every state times every request, written out: "-" is refused.
func TestTable(t *testing.T) {
	columns := []Request{Deploy, Undeploy, Suspend, Resume, Limit, Unlimit, Accept, Reject, Status}
	rows := map[State]string{
		NotDeployed: "deployed not_deployed - - - - - - not_deployed",
		Pending:     "deployed not_deployed - - - - deployed rejected pending",
		Rejected:    "- not_deployed - - - - - - rejected",
		Deployed:    "deployed not_deployed suspended - limited deployed deployed deployed deployed",
		Limited:     "limited not_deployed suspended - limited deployed limited limited limited",
		Suspended:   "- - suspended deployed - - - - suspended",
		Unknown:     "- - suspended - - - - - unknown",
		Failed:      "- - - - - - - - failed",
		"":          "- - - - - - - - ",
	}
	for from, row := range rows {
		for i, want := range strings.Split(row, " ") {
			t.Run(string(from)+"/"+string(columns[i]), func(t *testing.T) {
				step := Next(from, columns[i], Circumstances{})
				switch {
				case want == "-" && (step.Allowed || step.To != from):
					t.Errorf("%+v; want refused", step)
				case want != "-" && (!step.Allowed || string(step.To) != want):
					t.Errorf("%+v; want %s", step, want)
				}
			})
		}
	}
	if len(columns) != len(requests()) {
		t.Error("a request is missing")
	}
}

func TestApproval(t *testing.T) {
	for from, want := range map[State]State{
		NotDeployed: Pending, Pending: Pending, Deployed: Deployed, Limited: Limited,
		Rejected: Rejected, Suspended: Suspended, Unknown: Unknown,
	} {
		if got := Next(from, Deploy, Circumstances{Approval: true}).To; got != want {
			t.Errorf("deploy from %s with approval: %s, want %s", from, got, want)
		}
	}
}

func TestAnswerOfDeploy(t *testing.T) {
	for from, want := range map[State]State{Suspended: Deployed, Limited: Deployed, Unknown: Failed, Rejected: Rejected} {
		if got := Next(from, Deploy, Circumstances{}).Answer; got != want {
			t.Errorf("answer to deploy from %s: %s, want %s", from, got, want)
		}
	}
}

// TestSuspensionHolds walks every sequence of three requests without a Resume: none leads out of a suspension.
func TestSuspensionHolds(t *testing.T) {
	var walk func(s State, left int)
	walk = func(s State, left int) {
		if s != Suspended || s.MayLogIn() {
			t.Fatalf("a suspension became %s", s)
		}
		if left == 0 {
			return
		}
		for _, r := range requests() {
			for _, c := range []Circumstances{{}, {Approval: true}, {NoLogin: true}, {Approval: true, NoLogin: true}} {
				if r != Resume {
					walk(Next(s, r, c).To, left-1)
				}
			}
		}
	}
	walk(Suspended, 3)
	if s := Next(Suspended, Resume, Circumstances{NoLogin: true}).To; s != Limited {
		t.Errorf("a limited account was resumed as %s", s)
	}
}

// TestUserGetsNowhere: what a person may ask for never leads from a state without login to one with, but by a first
// deployment without approval.
func TestUserGetsNowhere(t *testing.T) {
	for _, from := range append(states(), Failed, "", "hacked") {
		for _, r := range append(requests(), "", "root") {
			step := Next(from, r, Circumstances{Approval: true})
			if r.ByUser() && step.To.MayLogIn() && !from.MayLogIn() {
				t.Errorf("%s by its user: %s becomes %s", r, from, step.To)
			}
			if !step.Allowed && step.To != from {
				t.Errorf("%s from %s is refused and changes something", r, from)
			}
		}
	}
}

func TestFacts(t *testing.T) {
	for n := range 64 {
		bit := func(i int) bool { return n>>i&1 == 1 }
		f := Facts{Suspended: bit(0), Unread: bit(1), Exists: bit(2), NoLogin: bit(3), Rejected: bit(4), Pending: bit(5)}
		s := f.State()
		if f.Suspended != (s == Suspended) {
			t.Errorf("%+v is %s", f, s)
		}
		if s.MayLogIn() != (f.Exists && !f.Suspended && !f.Unread) {
			t.Errorf("%+v is %s: login %v", f, s, s.MayLogIn())
		}
		if s == Deployed && f.NoLogin {
			t.Errorf("%+v is %s", f, s)
		}
		if _, ok := Parse(string(s)); !ok {
			t.Errorf("%+v is %q", f, s)
		}
	}
	for want, f := range map[State]Facts{
		Rejected: {Rejected: true, Pending: true}, Pending: {Pending: true}, NotDeployed: {},
		Limited:  {Exists: true, NoLogin: true},
		Deployed: {Exists: true, Pending: true},
	} {
		if got := f.State(); got != want {
			t.Errorf("%+v is %s, want %s", f, got, want)
		}
	}
}

func TestMessages(t *testing.T) {
	const id = "a@https%3A%2F%2Fop.example"
	for _, c := range []struct{ name, got, want string }{
		{
			"suspend", ChangeMessage(id, Suspend, Deployed, Next(Deployed, Suspend, Circumstances{})), "User '" + id + "' was suspended.",
		},
		{
			"suspend_nobody", ChangeMessage(id, Suspend, NotDeployed, Next(NotDeployed, Suspend, Circumstances{})),
			"Suspending user '" + id + "' was not possible from the 'not_deployed' state. User was not changed.",
		},
		{
			"resume", ChangeMessage(id, Resume, Suspended, Next(Suspended, Resume, Circumstances{})), "User '" + id + "' was resumed.",
		},
		{
			"resume_deployed", ChangeMessage(id, Resume, Deployed, Next(Deployed, Resume, Circumstances{})),
			"Resuming user '" + id + "' was not possible from the 'deployed' state. User was not changed.",
		},
		{"status_deployed", StatusMessage(Deployed, "alice"), "username alice"},
		{"status_suspended", StatusMessage(Suspended, "alice"), "username alice"},
		{"status_suspended_without_account", StatusMessage(Suspended, ""), "No message"},
		{"status_nobody", StatusMessage(NotDeployed, ""), "No message"},
		{"status_unknown", StatusMessage(Unknown, "alice"), "No message"},
		{"status_pending", StatusMessage(Pending, "alice"), "User deployment is pending approval."},
		{"existed", Deployment{}.Message(), "User already existed."},
		{
			"all", Deployment{true, []string{"a", "b"}, []string{"c"}, []Credential{{"ssh", "lap\ntop", "1"}}}.Message(),
			"User was created and was added to groups a,b and was removed from groups c. Credentials ssh:lap_top/1 were activated.",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.got != c.want {
				t.Errorf("%q\nwant %q", c.got, c.want)
			}
		})
	}
}

func TestLocalName(t *testing.T) {
	for _, s := range states() {
		name, ok := LocalName(s, StatusMessage(s, "alice"))
		if has := s.MayLogIn() || s == Suspended; ok != has || has && name != "alice" {
			t.Errorf("%s: %q, %v", s, name, ok)
		}
	}
	for _, message := range []string{PendingStatus, "username ", "username a b", "user alice", "username a\nb"} {
		if name, ok := LocalName(Deployed, message); ok {
			t.Errorf("%q names %q", message, name)
		}
	}
}

func TestWords(t *testing.T) {
	for _, s := range states() {
		if got, ok := Parse(string(s)); !ok || got != s {
			t.Errorf("%s: %s, %v", s, got, ok)
		}
	}
	for _, r := range requests() {
		if got, ok := ParseRequest(string(r)); !ok || got != r {
			t.Errorf("%s: %s, %v", r, got, ok)
		}
	}
	for _, word := range []string{"", "failed", "Deployed", "deployed ", "test"} {
		if _, ok := Parse(word); ok {
			t.Errorf("%q is a state", word)
		}
	}
	if _, ok := ParseRequest("test"); ok {
		t.Error("test is a request for an account")
	}
}
