package sshlogin

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Service is an account service that was found.
type Service struct {
	Base string // of its URLs, without a slash at the end
	HTTP Doer
}

// Verified reports whether what the service says came over https with a certificate that was checked.
func (s Service) Verified() bool { return strings.HasPrefix(s.Base, "https://") }

// Info asks what everybody may know.
func (s Service) Info(ctx context.Context) (Info, error) {
	r, err := get(ctx, s.HTTP, s.Base+"/info")
	if err != nil {
		return Info{}, err
	}
	if r.Status != http.StatusOK {
		return Info{}, &CallError{Call: "info", Status: r.Status, Text: said(r.Body)}
	}
	return ParseInfo(r.Body)
}

// Wishes asks what the service wants to see in tokens of an issuer.
func (s Service) Wishes(ctx context.Context, issuer string) (Provider, error) {
	r, err := get(ctx, s.HTTP, s.Base+"/info/op?url="+url.QueryEscape(issuer))
	if err != nil {
		return Provider{}, err
	}
	if r.Status != http.StatusOK {
		return Provider{}, &CallError{Call: "info/op", Status: r.Status, Text: said(r.Body)}
	}
	return ParseWishes(issuer, r.Body)
}

// Authorisation asks who of the token's issuer may come in. The answer is the service's JSON.
func (s Service) Authorisation(ctx context.Context, at secret.Text) ([]byte, error) {
	return s.call(ctx, "info/authorisation", at)
}

// Account is what a service answers about the account of a token's owner.
type Account struct {
	State       state.State
	Message     string
	Credentials map[string]string
}

// User is the local name, "" where there is none yet. The error is ErrUser for a name that must not go near a command
// line.
func (a Account) User() (string, error) {
	name := a.Credentials["ssh_user"]
	if name == "" {
		name, _ = state.LocalName(a.State, a.Message)
	}
	if name != "" && !UserFits(name) {
		return "", fmt.Errorf("%w: %q", ErrUser, name)
	}
	return name, nil
}

const maxUser = 64

// UserFits reports whether a name may stand where ssh takes a user: letters, digits, "_", "." and "-", and no "-" in
// front. It is wider than core/account/names, because services of others use other names, and narrower than what ssh
// puts into commands of ProxyCommand.
func UserFits(name string) bool {
	if name == "" || len(name) > maxUser || name[0] == '-' || name[0] == '.' {
		return false
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// Status asks for the state of the account.
func (s Service) Status(ctx context.Context, at secret.Text) (Account, error) {
	return s.account(ctx, "get_status", at)
}

// Deploy has the account made, or brought up to date.
func (s Service) Deploy(ctx context.Context, at secret.Text) (Account, error) {
	return s.account(ctx, "deploy", at)
}

func (s Service) account(ctx context.Context, call string, at secret.Text) (Account, error) {
	b, err := s.call(ctx, "user/"+call, at)
	if err != nil {
		return Account{}, err
	}
	var raw struct {
		State       string         `json:"state"`
		Message     string         `json:"message"`
		Credentials map[string]any `json:"credentials"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return Account{}, fmt.Errorf("read the answer of %s: %w", call, ErrAnswer)
	}
	a := Account{State: state.State(raw.State), Message: raw.Message, Credentials: map[string]string{}}
	for k, v := range raw.Credentials {
		if text, ok := v.(string); ok {
			a.Credentials[k] = text
		}
	}
	return a, nil
}

// OTP gets a one-time password for ssh. With own it is the service's own form, of which there is one for each login;
// else the SHA-512 of the token, of which there is one per token. The caller wipes it. The error wraps ErrNoOTP when
// the service gives none.
func (s Service) OTP(ctx context.Context, at secret.Text, own bool) (secret.Text, error) {
	var b []byte
	var err error
	if own {
		b, err = s.send(ctx, http.MethodPost, "user/generate_otp?form="+ownForm, at)
	} else {
		b, err = s.call(ctx, "user/generate_otp", at)
	}
	if err != nil {
		return secret.Text{}, err
	}
	defer clear(b)
	var said struct {
		Supported, Successful bool
		Password              string
	}
	switch err := json.Unmarshal(b, &said); {
	case err != nil:
		return secret.Text{}, fmt.Errorf("read the answer of generate_otp: %w", ErrAnswer)
	case !said.Supported:
		return secret.Text{}, ErrNoOTP
	case !said.Successful:
		return secret.Text{}, fmt.Errorf("%w just now", ErrNoOTP)
	case said.Password != "":
		if !passwordFits(said.Password) {
			return secret.Text{}, fmt.Errorf("read the answer of generate_otp: %w", ErrAnswer)
		}
		return secret.FromString(said.Password), nil
	}
	var otp secret.Text
	err = at.Use(func(b []byte) error {
		sum := sha512.Sum512(b)
		otp = secret.New(hex.AppendEncode(nil, sum[:]))
		return nil
	})
	return otp, err
}

// ownForm is what our own service calls its one-time passwords.
const ownForm = "oxp"

const maxPassword = 1023 // what ssh takes from an askpass program

func passwordFits(p string) bool {
	return p != "" && len(p) <= maxPassword && !strings.ContainsFunc(p, func(r rune) bool { return r < 0x21 || r > 0x7e })
}

// call makes a request about the token's owner. Services of before take GET for everything; ours can be told to change
// nothing by GET.
func (s Service) call(ctx context.Context, call string, at secret.Text) ([]byte, error) {
	b, err := s.send(ctx, http.MethodGet, call, at)
	if refused, ok := err.(*CallError); ok && refused.Status == http.StatusMethodNotAllowed {
		return s.send(ctx, http.MethodPost, call, at)
	}
	return b, err
}

func (s Service) send(ctx context.Context, method, call string, at secret.Text) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.Base+"/"+call, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+at.Expose())
	if method == http.MethodPost {
		httpc.Repeatable(req) // deploying twice is deploying once, and a password nobody has seen ends by itself
	}
	r, err := s.HTTP.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	if r.Status != http.StatusOK {
		_, last, _ := strings.Cut(call, "/")
		last, _, _ = strings.Cut(last, "?")
		return nil, &CallError{Call: last, Status: r.Status, Text: said(r.Body), Later: r.Header.Get("Retry-After") != ""}
	}
	return r.Body, nil
}

const maxSaid = 600

// said is the text of an error answer: "Forbidden - description" where it has both, else as it came.
func said(body []byte) string {
	var e struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	text := strings.TrimSpace(string(body))
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		text = e.Error
		if e.Description != "" {
			text += " - " + e.Description
		}
	}
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "..."
	}
	return text
}
