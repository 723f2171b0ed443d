package tokensh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/relay"
	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/bearer"
)

// session is one command with its token.
type session struct {
	cmd  *Cmd
	env  cli.Env // with the variables of the agent that was started
	path string
	own  start.Running // the agent that was started for the command

	mu   sync.Mutex
	last secret.Text // what was put into the file
}

// findAgent starts an agent when none answers. It ends with this process, however that ends.
func (s *session) findAgent(ctx context.Context) error {
	rep, err := proto.FindFor(&s.env).Call(ctx, proto.Request{Type: proto.TypeCheck})
	rep.Wipe()
	if !errors.Is(err, proto.ErrNoAgent) {
		return nil // what else may be wrong with it shows when it is asked for a token
	}
	s.say("starting an agent for the command")
	prog := start.Program{Options: []string{"--until=" + strconv.Itoa(os.Getpid())}}
	if s.own, err = prog.Start(ctx, &s.env); err != nil {
		return err
	}
	getenv := s.env.Getenv
	s.env.Getenv = func(name string) string {
		if name == "OIDC_SOCK" {
			return s.own.Socket
		}
		return getenv(name)
	}
	return nil
}

// endTime is what the agent may take to end; it ends by itself, too.
const endTime = 5 * time.Second

func (s *session) endAgent() {
	if s.own.PID == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	if err := s.own.End(ctx); err != nil {
		s.say("%v", err)
	}
}

// renewing is the work that goes on beside the command.
type renewing struct {
	begun chan error // one value: how the first token came
	done  chan struct{}
}

func (r renewing) first() error { return <-r.begun }
func (r renewing) wait()        { <-r.done }

// keepFresh renews the token until quiet ends. asking bounds the first request, during which the person may be asked;
// the terminal belongs to the command after that.
func (s *session) keepFresh(asking, quiet context.Context) renewing {
	r := renewing{begun: make(chan error, 1), done: make(chan struct{})}
	var began sync.Once
	begin := func(err error) { began.Do(func() { r.begun <- err }) }
	first := true
	watch := bearer.Watch{
		Path: s.path, Least: time.Duration(s.cmd.Minsecs) * time.Second, Ended: needsLogin, Now: s.env.Now,
		Get: func(_ context.Context, valid time.Duration) (bearer.Fresh, error) {
			if first {
				first = false
				return s.fetch(relay.For(&s.env).Call(asking, s.cmd.request(s.env.Upstream, valid)))
			}
			return s.fetch(proto.Find(s.env.Getenv).Call(quiet, s.cmd.request(s.env.Upstream, valid)))
		},
		Event: func(e bearer.Event) {
			s.tell(e)
			begin(nil)
		},
	}
	go func() {
		defer close(r.done)
		err := watch.Run(quiet)
		if err != nil {
			s.say("%v", err)
		}
		begin(err)
	}()
	return r
}

// fetch takes the token out of an answer.
func (s *session) fetch(rep proto.Reply, err error) (bearer.Fresh, error) {
	if err == nil {
		err = rep.Err()
	}
	if err == nil && rep.AccessToken.Empty() {
		err = errors.New("the agent's answer has no token")
	}
	if err != nil {
		rep.Wipe()
		return bearer.Fresh{}, err
	}
	f := bearer.Fresh{Token: rep.AccessToken}
	if rep.ExpiresAt > 0 {
		f.Expires = time.Unix(rep.ExpiresAt, 0)
	}
	s.mu.Lock()
	s.last.Wipe()
	s.last = f.Token.Clone()
	s.mu.Unlock()
	return f, nil
}

// needsLogin reports that trying again does not help.
func needsLogin(err error) bool {
	var refused *proto.AgentError
	return errors.As(err, &refused) && refused.Reason() == proto.ReasonLogin
}

// tell says what happened to the token; what the command suffers from is said in any case.
func (s *session) tell(e bearer.Event) {
	switch e.Kind {
	case bearer.EventStored:
		s.say("the token in %s expires at %s", s.path, e.Expires.Format(time.TimeOnly))
	case bearer.EventEnded:
		s.env.Warn("no new token without a new login: %v", e.Err)
	case bearer.EventExpired:
		s.env.Warn("the token has expired; %s is removed", s.path)
	case bearer.EventFailed:
		s.say("no new token yet: %v", e.Err)
	}
}

// say is for --verbose.
func (s *session) say(format string, args ...any) {
	if s.cmd.Verbose {
		s.env.Note(s.env.Name+": "+format, args...)
	}
}

// removeToken takes the file away, unless somebody else has put another token there.
func (s *session) removeToken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.Empty() {
		return
	}
	if err := bearer.Remove(s.path, s.last); err != nil {
		s.env.Warn("%v", err)
	}
	s.last.Wipe()
}

// explain gives the failure of the first token its exit code and hint.
func (s *session) explain(err error) error {
	var refused *proto.AgentError
	if !errors.As(err, &refused) || s.env.Upstream {
		return proto.Explain(err, s.env.Upstream)
	}
	return cli.Fail(refused.Reason().ExitCode(), err, refused.Help)
}

// run runs the command, hands signals on, and ends as it does. argv has the file in front.
func (s *session) run(argv []string) error {
	cmd := &exec.Cmd{Path: argv[0], Args: argv[1:], Dir: s.env.Dir, Env: s.environ()}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.env.Stdin, s.env.Stdout, s.env.Stderr
	terminal := cli.IsTerminal(s.env.Stdin)
	got := make(chan os.Signal, 16)
	signal.Notify(got, passedOn()...)
	defer signal.Stop(got)
	if err := cmd.Start(); err != nil {
		return cli.Fail(cli.No, fmt.Errorf("run the command: %w", err), "")
	}
	ended, handed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(handed)
		for {
			select {
			case sig := <-got:
				hand(cmd.Process, sig, terminal)
			case <-ended:
				return
			}
		}
	}()
	err := cmd.Wait()
	close(ended)
	<-handed
	if cmd.ProcessState == nil {
		return fmt.Errorf("run the command: %w", err)
	}
	if code := exitCode(cmd.ProcessState); code != 0 {
		return cli.PassOn(code)
	}
	return nil
}

// environ is that of the command. A token in a variable would count more than the file does.
func (s *session) environ() []string {
	environ := slices.DeleteFunc(s.env.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		mine := s.own.PID != 0 && (name == "OIDC_SOCK" || name == "OIDCD_PID")
		return name == bearer.EnvToken || name == bearer.EnvFile || mine
	})
	environ = append(environ, bearer.EnvFile+"="+s.path)
	if s.own.PID != 0 {
		environ = append(environ, "OIDC_SOCK="+s.own.Socket, "OIDCD_PID="+strconv.Itoa(s.own.PID))
	}
	return environ
}
