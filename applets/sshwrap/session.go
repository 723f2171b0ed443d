package sshwrap

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/sshlogin"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

const (
	// lookTime bounds the search at one port.
	lookTime = 3050 * time.Millisecond
	// callTime bounds one request: making an account may take a directory server or a site's own program a while.
	callTime = 60 * time.Second
)

// session is one command that is run.
type session struct {
	*options
	env    *cli.Env
	compat bool
	look   *httpc.Client // for finding a service
	clear  *httpc.Client // for finding one in clear text
	call   *httpc.Client
}

// within opens a session, has work done in it, and gives what went wrong its exit code and hint.
func (c *wrapped) within(env *cli.Env, work func(*session) error) error {
	if err := c.check(); err != nil {
		return c.report(env, err)
	}
	s, err := c.options.open(env, c.compat)
	if err != nil {
		return c.report(env, err)
	}
	defer s.close()
	return c.report(env, explain(work(s)))
}

// report prints as mccli does, under its name: one line "error: ...", and 1 for everything but wrong usage.
func (c *wrapped) report(env *cli.Env, err error) error {
	var coded *cli.Error
	if err == nil || !c.compat || errors.As(err, &coded) && coded.Err == nil {
		return err
	}
	env.Note("error: %v", err)
	code := cli.No
	if coded != nil {
		if coded.Hint != "" {
			env.Note("%s", coded.Hint)
		}
		if coded.Code == cli.Usage {
			code = cli.Usage
		}
	}
	return cli.Exit(code)
}

// open prepares what every command needs. Nothing is sent.
func (o *options) open(env *cli.Env, compat bool) (*session, error) {
	if err := vault.HardenProcess(); err != nil {
		env.Warn("going on with less protection: %v", err)
	}
	base := httpc.Options{UserAgent: "oidcbox-ssh", Getenv: env.Getenv}
	if o.CAFile != "" {
		base.CAFile = within(env.Dir, o.CAFile)
	}
	s := &session{options: o, env: env, compat: compat}
	var errs [3]error
	open := func(i int, timeout time.Duration, clear bool) *httpc.Client {
		opt := base
		opt.Timeout, opt.AllowHTTP = timeout, clear
		hc, err := httpc.New(opt)
		errs[i] = err
		return hc
	}
	// Whether a token may go over plain http is decided where the service is known.
	s.look, s.clear, s.call = open(0, lookTime, false), open(1, lookTime, true), open(2, callTime, true)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, cli.Fail(cli.Usage, errs[0], "")
	}
	return s, nil
}

func (s *session) close() {
	for _, c := range []*httpc.Client{s.look, s.clear, s.call} {
		c.CloseIdle()
	}
}

// say is for --debug.
func (s *session) say(format string, args ...any) {
	if s.verbose(s.env) {
		s.env.Note("debug: "+format, args...)
	}
}

func (s *session) warn(format string, args ...any) {
	if s.compat {
		s.env.Note("warning: "+format, args...)
		return
	}
	s.env.Warn(format, args...)
}

func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// program finds one of OpenSSH's programs, and never this one under its name.
func program(env *cli.Env, name string) (string, error) {
	own, _ := os.Executable()
	self, _ := os.Stat(own)
	for _, dir := range filepath.SplitList(env.Getenv("PATH")) {
		path, err := exec.LookPath(filepath.Join(dir, name))
		if err != nil || !filepath.IsAbs(path) {
			continue
		}
		if fi, err := os.Stat(path); err == nil && self != nil && os.SameFile(fi, self) {
			continue
		}
		return path, nil
	}
	return "", cli.Fail(cli.NotFound, fmt.Errorf("there is no program %s", name), "install OpenSSH's client")
}

// explain gives an error its exit code and a hint.
func explain(err error) error {
	var coded *cli.Error
	var refused *sshlogin.CallError
	var agent *proto.AgentError
	switch {
	case err == nil, errors.As(err, &coded):
		return err
	case errors.Is(err, sshlogin.ErrWords):
		return cli.Fail(cli.Usage, err, "")
	case errors.Is(err, sshlogin.ErrNoService):
		return cli.Fail(cli.NotFound, err, "name it with --mc-endpoint, if the host has one elsewhere")
	case errors.Is(err, sshlogin.ErrPending):
		return cli.Fail(cli.Human, err, "you will be told; then try again")
	case errors.As(err, &refused):
		return cli.Fail(callCode(refused), plain(err, refused), callHint(refused))
	case errors.As(err, &agent), errors.Is(err, proto.ErrNoAgent):
		return proto.Explain(err, false)
	case httpc.Temporary(err):
		return cli.Fail(cli.Temporary, err, "try again later")
	}
	return err
}

// plain is an error for a person: what a service wraps in JSON is taken out.
func plain(err error, e *sshlogin.CallError) error {
	var body struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal([]byte(e.Text), &body) != nil || body.Detail == "" {
		return err
	}
	return &sshlogin.CallError{Call: e.Call, Status: e.Status, Text: body.Detail, Later: e.Later}
}

func callCode(e *sshlogin.CallError) int {
	switch {
	case e.Later || httpc.TemporaryStatus(e.Status):
		return cli.Temporary
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return cli.Denied
	}
	return cli.No
}

func callHint(e *sshlogin.CallError) string {
	switch {
	case e.Status == http.StatusUnauthorized && e.Later:
		return "the service could not ask your provider about the token: try again later"
	case e.Status == http.StatusForbidden:
		return "you are not among those who may log in there: see oidcbox ssh info HOST"
	case e.Status == http.StatusUnauthorized && strings.Contains(e.Text, "not trusted"):
		return "use a login of an issuer that the service knows: see oidcbox ssh info HOST"
	case e.Status == http.StatusUnauthorized && strings.HasPrefix(e.Text, "Unauthenticated"):
		return "the token is not believed: it has expired, or its issuer is none of those that oidcbox ssh info HOST shows"
	case httpc.TemporaryStatus(e.Status):
		return "try again later; if it stays so, the administrator of the host has to look"
	}
	return ""
}
