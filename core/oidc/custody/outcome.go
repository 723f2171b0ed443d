package custody

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// outcome is what a call to the provider means for the refresh token that was sent.
type outcome int

const (
	unknown outcome = iota // it may have been used up: an answer got lost, or the provider failed while answering
	answered
	refused // the provider wants a new login
	denied  // the provider answered with another error and left the token alone
	unsent  // the provider never saw it
)

func judge(err error) outcome {
	var said *flow.Error
	switch {
	case err == nil:
		return answered
	case flow.NeedsLogin(err):
		return refused
	case errors.As(err, &said) && leavesAlone(said):
		return denied
	case httpc.Unsent(err) || isOurs(err):
		return unsent
	default:
		return unknown
	}
}

// leavesAlone reports whether an answer shows that the token was not used up: a refusal that is no fault of the
// server's, or of a limit before it.
func leavesAlone(e *flow.Error) bool {
	if e.Status == http.StatusTooManyRequests {
		return true
	}
	return (e.Status >= 400 || e.Code != "") && !flow.Temporary(e)
}

// isOurs reports whether a request was found impossible before it was made.
func isOurs(err error) bool {
	for _, known := range []error{
		flow.ErrNoEndpoint, flow.ErrAudience, flow.ErrAuthMethod, flow.ErrNoClient, httpc.ErrInsecure,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// cut reports whether a connection broke before an answer came: worth one more attempt at once, while the grace period
// of the provider lasts. A provider that said something, or was slow, is not asked twice.
func cut(err error) bool {
	var said *flow.Error
	if errors.As(err, &said) && said.Status != 0 {
		return false
	}
	var slow net.Error
	return flow.Temporary(err) && !(errors.As(err, &slow) && slow.Timeout())
}

// words are what a provider said, bounded and fit for one line.
func words(err error) flow.Error {
	var said *flow.Error
	if !errors.As(err, &said) {
		return flow.Error{Op: "refresh", Code: "invalid_grant"}
	}
	return flow.Error{
		Op: line(said.Op), Issuer: line(said.Issuer), Status: said.Status,
		Code: line(said.Code), Description: line(said.Description),
	}
}

func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	return s
}

// requestHash names what is asked for: callers that ask for the same share one answer. The order of scopes does not
// matter.
func requestHash(r flow.Request) (h hash, bare bool) {
	scopes := slices.Sorted(slices.Values(r.Scope))
	b, err := json.Marshal(struct {
		Scope, Audience []string
		Extra           url.Values
	}{scopes, r.Audience, r.Extra})
	if err != nil {
		panic("custody: strings that cannot be encoded: " + err.Error())
	}
	sum := sha256.Sum256(b)
	copy(h[:], sum[:])
	return h, len(r.Scope) == 0 && len(r.Audience) == 0 && len(r.Extra) == 0
}
