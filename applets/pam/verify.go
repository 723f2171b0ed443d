package pam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// errVerifyAnswer: verify_user did not answer as verify_user does.
var errVerifyAnswer = errors.New("not an answer of verify_user")

const maxVerifyAnswer = 64 << 10 // bytes

// verifyAnswer is what verify_user of motley-cue says.
type verifyAnswer struct {
	State    string `json:"state"`
	Verified bool   `json:"verified"`
}

// askVerify asks verify_user over HTTP: the provisioner's or a motley-cue's. That names no identity, so the account is
// one of ours by its own word alone.
func (h *helper) askVerify(ctx context.Context, a account, kind form.Kind) (said string, err error) {
	answer, err := h.getVerify(ctx)
	if err != nil {
		return "", err
	}
	// A motley-cue says "verified" of suspended accounts as well: it means the name.
	s, known := state.Parse(answer.State)
	if !answer.Verified || !known || !s.MayLogIn() {
		return "", fmt.Errorf("%w: verified %t (state %q)", errDenied, answer.Verified, cut(answer.State, 32))
	}
	return fmt.Sprintf("%s, %s", orNone(a.id), word(kind)), nil
}

func (h *helper) getVerify(ctx context.Context) (verifyAnswer, error) {
	hc, err := httpc.New(httpc.Options{
		Timeout: maxTime, MaxBody: maxVerifyAnswer, CAFile: h.CAFile, MaxRedirects: -1, UserAgent: "oidcbox-pam",
	})
	if err != nil {
		return verifyAnswer{}, fmt.Errorf("prepare to ask verify_user: %w", err)
	}
	defer hc.CloseIdle()
	u, err := url.Parse(h.VerifyEndpoint)
	if err != nil {
		return verifyAnswer{}, fmt.Errorf("address of verify_user: %w", err)
	}
	query := u.Query()
	query.Set("username", h.q.User)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return verifyAnswer{}, fmt.Errorf("ask verify_user: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+h.q.Secret.Expose())
	req.Header.Set("Accept", "application/json")
	resp, err := hc.Do(ctx, req)
	if err != nil {
		return verifyAnswer{}, fmt.Errorf("ask verify_user: %w", err)
	}
	switch resp.Status {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return verifyAnswer{}, fmt.Errorf("%w: HTTP %d: %s", errDenied, resp.Status, complaint(resp.Body))
	default:
		return verifyAnswer{}, fmt.Errorf("%w: HTTP %d", errVerifyAnswer, resp.Status)
	}
	var answer verifyAnswer
	if err := json.Unmarshal(resp.Body, &answer); err != nil {
		return verifyAnswer{}, errVerifyAnswer
	}
	return answer, nil
}

// complaint is what a refusal says of itself, for the log.
func complaint(body []byte) string {
	var said struct {
		Detail      any    `json:"detail"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &said) != nil {
		return "-"
	}
	if detail, ok := said.Detail.(string); ok && detail != "" {
		return cli.Printable(cut(detail, 200))
	}
	return orNone(cli.Printable(cut(said.Description, 200)))
}
