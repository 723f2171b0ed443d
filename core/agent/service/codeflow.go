package service

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// customScheme is the redirect URI scheme for which a desktop calls oidc-gen --codeExchange.
const customScheme = "edu.kit.data.oidc-agent:"

// codeFlow begins an authorization code flow: the answer holds the link for the browser. The redirect comes to a
// listener of ours, or a client brings it with code_exchange.
func (s *Service) codeFlow(ctx context.Context, st setup) (proto.Reply, error) {
	if len(st.cfg.RedirectURIs) == 0 || st.md.AuthorizationEndpoint == "" {
		return proto.Reply{}, errNotApplicable
	}
	st, err := st.kept()
	if err != nil {
		return proto.Reply{}, err
	}
	listener, redirect, err := s.redirectTo(st)
	if err != nil {
		return proto.Reply{}, err
	}
	cl, err := s.clientAt(ctx, st.cfg, st.md, words(st.cfg.Audience))
	if err != nil {
		closeListener(listener)
		return proto.Reply{}, err
	}
	begun, err := cl.StartCode(ctx, flow.CodeRequest{
		Request: st.request(), RedirectURI: redirect, Prompt: "consent", State: newState(redirect, st.onlyAT),
	})
	if err != nil {
		closeListener(listener)
		return proto.Reply{}, err
	}
	w := &waiter{
		key: "state " + begun.State, setup: st, expires: s.opts.Now().Add(waitingLife), code: begun,
	}
	if listener != nil {
		s.listen(w, listener)
	}
	s.pending.put(w)
	rep := proto.Reply{Status: proto.StatusAccepted, URI: begun.URL, State: begun.State}
	if listener == nil && !st.noListener && !strings.HasPrefix(redirect, customScheme) {
		rep.Info = proto.InfoText(bringCode(redirect))
	}
	return rep, nil
}

// newState is a state of the form that the original's programs take apart: whether the redirect URI ends in a slash,
// whether one access token is all that is wanted, 192 random bits, and the path of the agent's socket with its length.
// Ours names no path. It would tell the provider where the home directory lies; a program that finishes the login finds
// the agent by OIDC_SOCK, and oidc-gen leaves itself a note of that.
func newState(redirect string, onlyAT bool) string {
	random := make([]byte, 18)
	_, _ = rand.Read(random) // it never fails
	return digit(strings.HasSuffix(redirect, "/")) + ":" + digit(onlyAT) +
		base64.RawURLEncoding.EncodeToString(random) + ":0:"
}

func digit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// bringCode tells a client that expects a listener that there is none. One that asked for none, or sees the scheme of
// desktops in the link, knows; the original's would say it twice. The words are the original's.
func bringCode(redirect string) string {
	return "You have chosen to not use a webserver. You therefore have to do a manual redirect. Your browser will redirect " +
		"you to '" + redirect + "' which will not succeed, because oidc-agent did not start a webserver. Copy the whole " +
		"url you are being redirected to and pass it to:\noidc-gen --codeExchange='<url>'"
}

// kept is a setup that outlives its request, with secrets of its own.
func (st setup) kept() (setup, error) {
	b, err := st.cfg.Encode()
	if err != nil {
		return st, fmt.Errorf("copy login %s: %w", st.cfg.Name, err)
	}
	defer clear(b)
	st.user = inFlight{}
	st.cfg, err = login.ParseConfig(b)
	return st, err
}

// redirectTo chooses where the browser is sent: a listener on the first loopback URI that is free, else the scheme
// that a desktop knows, else, with the listener switched off, a URI that the person copies by hand.
func (s *Service) redirectTo(st setup) (*flow.Listener, string, error) {
	var loopback, scheme []string
	for _, u := range st.cfg.RedirectURIs {
		if strings.HasPrefix(u, customScheme) {
			scheme = append(scheme, u)
		} else {
			loopback = append(loopback, u)
		}
	}
	if !st.noServer && len(loopback) > 0 {
		l, err := flow.Listen(loopback)
		if err == nil {
			return l, l.RedirectURI(), nil
		}
		if len(scheme) == 0 || st.noScheme {
			return nil, "", &problem{text: proto.TextNoServer, help: firstLine(err.Error()), err: err}
		}
	}
	switch {
	case len(scheme) > 0 && !st.noScheme:
		return nil, scheme[0], nil
	case len(loopback) > 0:
		return nil, loopback[0], nil
	}
	return nil, "", errNotApplicable
}

func closeListener(l *flow.Listener) {
	if l != nil {
		l.Close()
	}
}

// listen finishes the flow when the browser comes back to the listener.
func (s *Service) listen(w *waiter, l *flow.Listener) {
	ctx, cancel := context.WithTimeout(context.Background(), waitingLife)
	w.cancel = cancel
	s.wg.Go(func() {
		defer cancel()
		defer l.Close()
		query, err := l.Wait(ctx, w.code.State)
		if err != nil {
			s.opts.Log.DebugContext(ctx, "redirect listener ended", "err", err)
			return
		}
		if w.begin() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), workTimeout)
			defer cancel()
			s.exchange(ctx, w, query)
		}
	})
}

// exchange trades the code for tokens and keeps the outcome for whoever looks the state up.
func (s *Service) exchange(ctx context.Context, w *waiter, query url.Values) {
	if err := s.gate.enter(); err != nil {
		w.finish(outcome{}, err)
		return
	}
	defer s.gate.leave()
	toks, err := w.code.Finish(ctx, query)
	if err != nil {
		toks.Wipe()
		w.finish(outcome{}, err)
		return
	}
	out, err := s.conclude(ctx, w.setup, toks)
	w.finish(out, err)
}

// codeExchange takes a redirect that the person or the desktop brought.
func (s *Service) codeExchange(ctx context.Context, r proto.Request) (proto.Reply, error) {
	query, err := redirectQuery(r.RedirectURI)
	if err != nil {
		return proto.Reply{}, err
	}
	state := query.Get("state")
	if !wellFormedState(state) {
		return proto.Reply{}, fail(proto.TextStateMalformed, "")
	}
	w, ok := s.pending.get("state " + state)
	if !ok {
		return proto.Reply{}, fail(proto.TextWrongState, "No login waits for this state; it may have waited too long.")
	}
	if w.setup.md != nil && w.setup.md.ResponseIssSupported && !query.Has("iss") {
		// RFC 9207 section 2.4. The login stays open: the address may come again, whole.
		return proto.Reply{}, fail("The address does not say which provider it comes from (iss)",
			"oidc-gen of versions 4 and 5 leaves that out. Give the whole address to: oidcbox gen --codeExchange ADDRESS")
	}
	if w.begin() {
		w.end() // the listener is not needed any more
		s.exchange(ctx, w, query)
	}
	if !r.FromGen {
		return s.peek(w)
	}
	return s.lookup(w)
}

// peek reports how the exchange went and leaves the outcome for state_lookup.
func (s *Service) peek(w *waiter) (proto.Reply, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return proto.Success(""), w.err
}

func redirectQuery(t secret.Text) (url.Values, error) {
	var query url.Values
	err := t.Use(func(b []byte) error {
		u, err := url.Parse(string(b))
		if err != nil {
			return err
		}
		query = u.Query()
		return nil
	})
	switch {
	case err != nil:
		return nil, badRequest("redirect_uri is not a URL") // err would quote it, code included
	case query.Get("state") == "":
		return nil, fail(proto.TextNoState, "")
	case query.Get("code") == "" && query.Get("error") == "":
		return nil, fail(proto.TextNoCode, "")
	}
	return query, nil
}

// stateLookup gives the outcome of a code flow once.
func (s *Service) stateLookup(_ context.Context, r proto.Request) (proto.Reply, error) {
	if !wellFormedState(r.State) {
		return proto.Reply{}, fail(proto.TextStateMalformed, "")
	}
	w, ok := s.pending.get("state " + r.State)
	if !ok {
		return proto.Reply{Status: proto.StatusNotFound, Info: proto.InfoText("No login waits for this state.")}, nil
	}
	return s.lookup(w)
}

func (s *Service) lookup(w *waiter) (proto.Reply, error) {
	switch t := w.take(); {
	case !t.done:
		return proto.Reply{
			Status: proto.StatusNotFound, Info: proto.InfoText("The login is not finished yet."),
		}, nil
	case !t.first:
		return proto.Reply{
			Status: proto.StatusFoundButReceived, Info: proto.InfoText("The login was fetched by another program."),
		}, nil
	case t.err != nil:
		return proto.Reply{}, t.err
	default:
		return s.outcomeReply(t.out)
	}
}

// wellFormedState tells a state of ours (or of the original) from a slip of the hand.
func wellFormedState(state string) bool {
	if state == "" || len(state) > 512 {
		return false
	}
	return !strings.ContainsFunc(state, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// termHTTPServer ends the redirect listener of a flow.
func (s *Service) termHTTPServer(_ context.Context, r proto.Request) (proto.Reply, error) {
	if w, ok := s.pending.get("state " + r.State); ok {
		w.end()
	}
	return proto.Success(""), nil
}
