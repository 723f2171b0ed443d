package self

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/sorted"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// knownLogin is a login that somebody knows of: the agent, or the files of issuers.
type knownLogin struct {
	name, issuer               string
	mytokenURL, document, cert string
}

// agents looks for the agents of this person where clients look, and asks them who they are.
func (d *doctor) agents(ctx context.Context) seen {
	f := findings{area: "agent"}
	var (
		known []knownLogin
		pids  []int
	)
	for _, path := range d.sockets() {
		pid, logins := d.agentAt(ctx, &f, path)
		if pid > 0 && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
		known = append(known, logins...)
	}
	d.agentCount(&f, pids)
	d.pidVariable(&f, pids)
	known = append(d.control(ctx, &f, pids), known...) // our agent knows more of them
	if len(known) == 0 {
		known = d.fromFiles()
	}
	met := map[string]bool{}
	known = slices.DeleteFunc(known, func(l knownLogin) bool {
		again := met[l.name]
		met[l.name] = true
		return again
	})
	return seen{list: f.list, known: known}
}

// sockets are all places where an agent may listen, OIDC_SOCK first.
func (d *doctor) sockets() []string {
	paths := proto.Sockets(func(name string) string {
		if name == "OIDC_SOCK" {
			return ""
		}
		return d.env.Getenv(name)
	})
	if p := d.env.Getenv("OIDC_SOCK"); p != "" {
		p = absolute(d.env, p)
		paths = slices.Insert(slices.DeleteFunc(paths, func(o string) bool { return o == p }), 0, p)
	}
	return paths
}

// agentAt describes the socket at path and who answers there; pid is 0 when nobody does.
func (d *doctor) agentAt(ctx context.Context, f *findings, path string) (pid int, logins []knownLogin) {
	named := d.env.Getenv("OIDC_SOCK") != "" && path == absolute(d.env, d.env.Getenv("OIDC_SOCK"))
	fi, err := os.Lstat(path)
	if err != nil {
		if named {
			f.add(sevFault, "dangling", path, "OIDC_SOCK names it, and there is no such socket: every client fails",
				"unset OIDC_SOCK OIDCD_PID; or start an agent: eval $(oidcbox agent)")
		}
		return 0, nil
	}
	nc, err := sock.Dial(ctx, path)
	if err != nil {
		d.deadSocket(f, path, named, err)
		return 0, nil
	}
	peer, peerErr := sock.PeerOf(nc)
	_ = nc.Close()
	if peerErr == nil {
		pid = int(peer.PID)
	}
	f.ok("socket", path, describeSocket(path, fi))
	if program := processName(pid); program == "sshd" || program == "ssh" || strings.HasPrefix(program, "sshd-") {
		f.add(sevNote, "forwarded", path, "the socket is forwarded from another machine by "+program,
			"what is done here uses the agent there; keystore and logins are cared for on that machine")
	}
	return pid, d.whoAnswers(ctx, f, path, pid)
}

func (d *doctor) deadSocket(f *findings, path string, named bool, err error) {
	next := "remove it: rm " + path
	if named {
		next = "unset OIDC_SOCK OIDCD_PID; or start an agent: eval $(oidcbox agent)"
	}
	switch {
	case errors.Is(err, sock.ErrNobody) && named:
		f.add(sevFault, "dangling", path, "OIDC_SOCK names it, and nobody listens: the agent has ended", next)
	case errors.Is(err, sock.ErrNobody):
		f.add(sevNote, "left-over", path, "nobody listens at this socket: an agent has ended without cleaning up", next)
	case errors.Is(err, sock.ErrForeign):
		f.add(sevFault, "foreign", path, "clients refuse this socket: "+err.Error(),
			"do not use it; set OIDC_SOCK to the socket of your own agent")
	default:
		f.add(sevFault, "socket", path, err.Error(), next)
	}
}

// whoAnswers asks the agent at path for its version and its logins.
func (d *doctor) whoAnswers(ctx context.Context, f *findings, path string, pid int) []knownLogin {
	cl := proto.Client{Path: path, Timeout: agentWait}
	rep, err := cl.Call(ctx, proto.Request{Type: proto.TypeStatusJSON})
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		f.add(sevFault, "hangs", path,
			fmt.Sprintf("the agent (pid %d) accepts connections and does not answer within %v", pid, agentWait),
			fmt.Sprintf("end it and start another one: kill %d; eval $(oidcbox agent)", pid))
		return nil
	case err != nil:
		f.add(sevFault, "answer", path, "the agent does not answer as one: "+err.Error(), "restart the agent")
		return nil
	}
	defer rep.Wipe()
	if rep.Error == proto.TextLocked {
		f.add(sevNote, "locked", path, fmt.Sprintf("the agent (pid %d) is locked", pid), "unlock it with: oidc-add -X")
		return nil
	}
	var st struct {
		Version string `json:"version"`
		PID     int    `json:"pid"` // ours only
	}
	if rep.Err() != nil || rep.Info.Into(&st) != nil {
		f.add(sevWarning, "version", path, "an agent of an old kind answers: it does not say its version",
			"replace it: eval $(oidcbox agent)")
		return nil
	}
	if st.PID != 0 {
		f.ok("runs", path,
			fmt.Sprintf("agent of oidcbox %s, pid %d; it looks who is at the other end of a connection", st.Version, pid))
	} else {
		f.add(sevNote, "original", path, fmt.Sprintf("oidc-agent %s, pid %d; only the modes of the socket and its directory "+
			"keep others out", st.Version, pid), "")
	}
	return accountsOf(ctx, cl)
}

// accountsOf lists the logins an agent tells of, by account_info.
func accountsOf(ctx context.Context, cl proto.Client) []knownLogin {
	rep, err := cl.Call(ctx, proto.Request{Type: proto.TypeAccountInfo})
	if err != nil || rep.Err() != nil {
		return nil
	}
	defer rep.Wipe()
	var info map[string]struct {
		Accounts map[string]bool `json:"accounts"`
	}
	if rep.Info.Into(&info) != nil {
		return nil
	}
	var out []knownLogin
	for issuer, i := range info {
		for name := range i.Accounts {
			out = append(out, knownLogin{name: name, issuer: issuer})
		}
	}
	sorted.By(out, func(a, b knownLogin) int { return strings.Compare(a.name, b.name) })
	return out
}

func (d *doctor) agentCount(f *findings, pids []int) {
	switch {
	case len(pids) == 0:
		f.add(sevNote, "none", "", "no agent is running", "start one with: eval $(oidcbox agent)")
	case len(pids) > 1:
		f.add(sevWarning, "several", "",
			fmt.Sprintf("%d agents are running (pids %s): a login loaded into one is not in the others", len(pids),
				joinInts(pids)),
			"end those you do not need: OIDCD_PID=PID oidcbox agent -k")
	}
}

func joinInts(list []int) string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = strconv.Itoa(n)
	}
	return strings.Join(out, ", ")
}

// pidVariable judges OIDCD_PID.
func (d *doctor) pidVariable(f *findings, pids []int) {
	v := d.env.Getenv("OIDCD_PID")
	if v == "" {
		return
	}
	pid, err := strconv.Atoi(v)
	switch {
	case err != nil || pid <= 0:
		f.add(sevWarning, "pid-variable", "OIDCD_PID", "is not the number of a process", "unset OIDCD_PID")
	case !processRuns(pid):
		f.add(sevWarning, "pid-variable", "OIDCD_PID", fmt.Sprintf("names process %d, which has ended", pid),
			"unset OIDCD_PID OIDC_SOCK, or eval the output of a new agent")
	case len(pids) > 0 && !slices.Contains(pids, pid):
		f.add(sevWarning, "pid-variable", "OIDCD_PID",
			fmt.Sprintf("names process %d, which is none of the agents found here: oidc-agent -k would end it", pid),
			"eval the output of the agent again")
	}
}

// control asks our agent what it does not tell everybody.
func (d *doctor) control(ctx context.Context, f *findings, pids []int) []knownLogin {
	path := control.Place(d.env.Getenv)
	cl := control.Client{Path: path, Timeout: agentWait}
	st, err := cl.Status(ctx)
	if errors.Is(err, control.ErrNoAgent) {
		return nil
	}
	if err != nil {
		f.add(sevFault, "control", path, "the control socket does not work: "+oneLine(err), "restart the agent")
		return nil
	}
	f.ok("control", path, "the control socket answers; only processes of yours are let in, and it is never forwarded")
	if !slices.Contains(pids, st.PID) {
		f.add(sevWarning, "elsewhere", st.Socket,
			fmt.Sprintf("an agent of yours (pid %d) listens here, where clients of this shell do not look", st.PID),
			"OIDC_SOCK="+st.Socket+"; export OIDC_SOCK")
	}
	if st.Version != d.box.version {
		f.add(sevNote, "old-version", "", fmt.Sprintf("the agent is version %s, this program %s", st.Version, d.box.version),
			"restart the agent when you like; logins in the keystore are back after one unlock")
	}
	d.process(f, st)
	if st.Locked {
		f.add(sevNote, "locked", "", "the agent is locked", "unlock it with: oidc-add -X")
		return nil
	}
	list, err := cl.Logins(ctx)
	if err != nil {
		f.add(sevWarning, "logins", "", "the agent does not list its logins: "+oneLine(err),
			"look at its log; restart it if that does not help")
		return nil
	}
	return d.logins(f, list)
}

// process looks at how well the memory of our agent is kept.
func (d *doctor) process(f *findings, st control.Status) {
	if st.LockedMemory {
		f.ok("memory", "", "the agent's keys are in locked memory: they are never swapped out")
	} else {
		f.add(sevWarning, "memory", "", "the agent could not lock memory: its keys may be written to swap",
			"raise the limit (ulimit -l, or LimitMEMLOCK= in the unit) to at least 32 KiB and restart the agent")
	}
	switch traceable, known := processReadable(st.PID); {
	case !known:
	case traceable:
		f.add(sevWarning, "traceable", "",
			fmt.Sprintf("other processes of yours can read the memory of the agent (pid %d)", st.PID),
			"restart the agent; if it stays so, a debugger or a container setting lifts the protection")
	default:
		f.ok("traceable", "", "the agent leaves no core file, and other processes cannot read its memory")
	}
}

// logins judges the logins of our agent.
func (d *doctor) logins(f *findings, list []control.Login) []knownLogin {
	l := findings{area: "login"}
	var known []knownLogin
	for _, c := range list {
		known = append(known, knownLogin{
			name: c.Name, issuer: c.Issuer, mytokenURL: c.MytokenURL, document: c.ConfigEndpoint, cert: c.CertPath,
		})
		if len(d.only) == 0 || slices.Contains(d.only, c.Name) {
			d.login(&l, c)
		}
	}
	f.list = append(f.list, l.list...)
	return known
}

// soon is how long before the end of a refresh token a person is told.
const soon = 72 * time.Hour

func (d *doctor) login(f *findings, c control.Login) {
	now := d.env.Now()
	again := "log in again: oidc-gen " + c.Name + " --reauthenticate"
	switch {
	case c.NeedsLogin:
		text := "the provider does not take its refresh token any more"
		if c.Reason != "" {
			text += " (" + c.Reason + ")"
		}
		f.add(sevFault, "ended", c.Name, text, again)
	case !c.RefreshExpires.IsZero() && c.RefreshExpires.Before(now):
		f.add(sevFault, "expired", c.Name, "its refresh token has expired at "+stamp(c.RefreshExpires), again)
	case !c.RefreshExpires.IsZero() && c.RefreshExpires.Before(now.Add(soon)):
		f.add(sevWarning, "expires", c.Name, "its refresh token expires at "+stamp(c.RefreshExpires), again)
	default:
		f.ok("login", c.Name, describeLogin(c))
	}
	if c.Unsaved {
		f.add(sevFault, "unsaved", c.Name, "its newest refresh token is in the agent's memory only: saving failed",
			"make room in, or access to, the directory of the keystore; do not end the agent before")
	}
	if c.FileBehind {
		f.add(sevWarning, "stale-file", c.Name, "its account file has a refresh token that the provider has replaced: "+
			"oidc-agent would end the login with it", "give the agent the password of the file: oidc-add --pw-store "+c.Name)
	}
}

func describeLogin(c control.Login) string {
	parts := []string{"not loaded"}
	if c.Loaded {
		parts[0] = "loaded"
	}
	if c.Stored {
		parts = append(parts, "in the keystore")
	}
	if !c.LastRefresh.IsZero() {
		parts = append(parts, "last refresh "+stamp(c.LastRefresh))
	}
	if !c.AccessExpires.IsZero() {
		parts = append(parts, "access token until "+stamp(c.AccessExpires))
	}
	if !c.RefreshExpires.IsZero() {
		parts = append(parts, "refresh token until "+stamp(c.RefreshExpires))
	}
	return strings.Join(parts, ", ")
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// fromFiles are the logins that the lists of issuers name, when no agent tells.
func (d *doctor) fromFiles() []knownLogin {
	catalogue, _ := login.LoadCatalogue(login.CatalogueDirs(d.env.Getenv)...) // files says what is wrong with it
	var out []knownLogin
	for _, i := range catalogue.All() {
		for _, name := range i.Accounts {
			out = append(out, knownLogin{name: name, issuer: i.URL, document: i.ConfigEndpoint, cert: i.CertPath})
		}
	}
	return out
}
