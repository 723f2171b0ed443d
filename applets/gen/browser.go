package gen

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
)

// browser shows the link. Where the agent listens for the browser it waits until the agent has got the code; where the
// person or the desktop brings the code to another run of this program, its part is done, and the error is errLater.
func (s *session) browser(ctx context.Context, rep proto.Reply) (proto.Reply, error) {
	link := strings.ReplaceAll(rep.URI, " ", "%20") // the original's agent leaves the blanks between scopes
	s.env.Note("To continue and approve the registered client visit the following URL in a Browser of your choice:\n%s",
		link)
	if info := s.elsewhere(rep); info != "" {
		s.rememberAgent(rep.State)
		s.env.Note("\n%s", info)
		s.openForLater(link)
		return rep, errLater
	}
	defer s.openBrowser(link)()
	ticks := s.progress("Polling oidc-agent to get the generated account configuration ...")
	defer ticks.end()
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	pause := 100 * time.Millisecond
	for {
		got, err := s.call(limited, proto.Request{Type: proto.TypeStateLookup, State: rep.State})
		switch {
		case err == nil && got.Status == proto.StatusFoundButReceived:
			ticks.end()
			s.env.Note("%s", got.Info.Text())
			return got, errLater
		case err == nil && got.Status != proto.StatusNotFound:
			return got, nil // it is handed out once: also good when the person has just given up
		case ctx.Err() != nil:
			return got, s.interrupted(ctx, rep.State)
		case err != nil && limited.Err() == nil:
			return got, err
		}
		ticks.dot()
		if err := sleep(limited, pause); err != nil && ctx.Err() == nil {
			return got, cli.Fail(cli.Temporary, errors.New("nobody logged in in time"),
				"if you still do, fetch the login with: oidc-gen --state="+rep.State)
		}
		pause = min(pause*5/4, 2*time.Second)
	}
}

// elsewhere says how the code comes to the agent when that does not listen for the browser, "" when it does. The words
// are the original's.
func (s *session) elsewhere(rep proto.Reply) string {
	redirect := ""
	if u, err := url.Parse(rep.URI); err == nil {
		redirect = u.Query().Get("redirect_uri")
	}
	switch {
	case strings.HasPrefix(redirect, customScheme):
		return "You are using a redirect uri with a custom scheme. Your browser will redirect you to a another oidc-gen " +
			"instance automatically. You then can complete the account configuration generation process there."
	case s.cmd.NoWebserver:
		return "You have chosen to not use a webserver. You therefore have to do a manual redirect. Your browser will " +
			"redirect you to '" + redirect + "' which will not succeed, because oidc-agent did not start a webserver. " +
			"Copy the whole url you are being redirected to and pass it to:\noidc-gen --codeExchange='<url>'"
	}
	return rep.Info.Text()
}

// interrupted frees the port of a flow that the person gave up.
func (s *session) interrupted(ctx context.Context, state string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeTermHTTPServer, State: state})
	rep.Wipe()
	return errors.Join(errors.New("interrupted"), err)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
