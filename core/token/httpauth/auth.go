package httpauth

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// Gate says yes or no. *gate.Gate is one; a daemon that reloads its configuration has one that asks the newest.
type Gate interface {
	// Decide believes a token and asks the policy; a no is a *gate.Refusal.
	Decide(ctx context.Context, p gate.Presented, r policy.Request) (gate.Outcome, error)
	// Refused is told of requests that were refused before Decide could be asked.
	Refused(r policy.Request, refusal *gate.Refusal) *gate.Refusal
}

// Options change how requests are read and refused. The zero value is usable.
type Options struct {
	Challenge Challenge
	Ways      Ways
	// Service is the name under which the policy and the gate know what is protected; "" where there is one only.
	Service string
	// Operation says what a request does in the words of a profile ("storage.read"), for policies that ask for a
	// capability. nil: the policy is told none, and such a rule refuses. It must not read the body.
	Operation func(*http.Request) string
	// Preflight lets CORS preflights through without a token: OPTIONS with Origin and Access-Control-Request-Method and
	// without Authorization, which browsers send without one. The handler must do nothing else with them.
	Preflight bool
	// Log gets one line for every refusal, with the reason: debug where no token was sent, warn and error for what is
	// not the client's fault, info for the rest. nil: nothing is logged. The gate tells its own observer in any case.
	Log *slog.Logger
}

// Auth puts a gate in front of handlers. It does not change and may be used by many goroutines.
type Auth struct {
	gate  Gate
	o     Options
	log   *slog.Logger
	close func() // of what Open made; nil: nothing
}

// New returns the middleware of g, for a service that has a gate of its own making. [Open] makes one.
func New(g Gate, o Options) *Auth {
	a := &Auth{gate: g, o: o, log: o.Log}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	return a
}

// Require runs next for requests the gate says yes to, with the identity in their context, and answers all others
// itself. The policy sees method and path of the request as they are here: below [http.StripPrefix], the rest of the
// path.
func (a *Auth) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r, ok := a.Admit(w, r); ok {
			next.ServeHTTP(w, r)
		}
	})
}

// Admit is Require for frameworks whose middleware is no handler: with true, the request to go on with; with false, the
// answer has been written and the request ends here.
func (a *Auth) Admit(w http.ResponseWriter, r *http.Request) (*http.Request, bool) {
	if a.o.Preflight && isPreflight(r) {
		return r, true
	}
	asked := policy.Request{Service: a.o.Service, Method: r.Method, Path: r.URL.EscapedPath()}
	if a.o.Operation != nil {
		asked.Operation = a.o.Operation(r)
	}
	shown, err := Extract(r, a.o.Ways)
	defer shown.Token.Wipe()
	if err != nil {
		return r, a.refuse(w, r, shown.Scheme, gate.Outcome{}, a.gate.Refused(asked, gate.RefusalOf(err)))
	}
	out, err := a.gate.Decide(r.Context(), shown, asked)
	if err != nil {
		return r, a.refuse(w, r, shown.Scheme, out, gate.RefusalOf(err))
	}
	if r.Header["Authorization"] == nil {
		// Caches know to keep away from what an Authorization header protects; they do not know these ways.
		w.Header().Set("Cache-Control", "no-store")
	}
	return r.WithContext(context.WithValue(r.Context(), outcomeKey{}, out)), true
}

func (a *Auth) refuse(w http.ResponseWriter, r *http.Request, s gate.Scheme, out gate.Outcome, no *gate.Refusal) bool {
	a.log.Log(r.Context(), level(no), "request refused", "op", r.Method, "service", a.o.Service, "status", no.Status,
		"iss", out.Identity.Issuer, "sub", out.Identity.Subject, "err", no.Reason())
	a.o.Challenge.Answer(s, no).Write(w)
	return false
}

func level(no *gate.Refusal) slog.Level {
	switch {
	case no.Status == http.StatusServiceUnavailable:
		return slog.LevelWarn
	case no.Status >= http.StatusInternalServerError:
		return slog.LevelError
	case no.Status == http.StatusUnauthorized && no.Code == "":
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" &&
		r.Header.Get("Access-Control-Request-Method") != "" && len(r.Header["Authorization"]) == 0
}

type outcomeKey struct{}

// FromContext returns who a request is from, and whether it came through [Auth.Require]; a preflight let through has
// nobody. A person is Issuer and Subject together.
func FromContext(ctx context.Context) (verify.Identity, bool) {
	out, ok := OutcomeFromContext(ctx)
	return out.Identity, ok
}

// OutcomeFromContext is [FromContext] with all that the gate found out: the decision of the policy, when the token
// ends, what its issuer said of it.
func OutcomeFromContext(ctx context.Context) (gate.Outcome, bool) {
	out, ok := ctx.Value(outcomeKey{}).(gate.Outcome)
	return out, ok
}
