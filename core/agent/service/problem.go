package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/store"
)

// problem is an error that has a text of its own on the agent's socket: one that programs compare with or that people
// know, and help for the person.
type problem struct {
	text string
	help string
	err  error // what was behind it; nil when there is nothing more to say
}

func (p *problem) Error() string { return p.text }
func (p *problem) Unwrap() error { return p.err }

func fail(text, help string) error { return &problem{text: text, help: help} }

// badRequest refuses a request for what it holds.
func badRequest(format string, args ...any) error {
	return &problem{text: proto.TextBadRequest + fmt.Sprintf(format, args...)}
}

// failure is the answer for err. name is the login it is about, "" for none.
func failure(err error, name string) proto.Reply {
	p := explain(err, name)
	return proto.Failure(p.text, p.help)
}

// explain finds the text and the help for err.
func explain(err error, name string) *problem {
	var (
		p  *problem
		fe *flow.Error
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, ErrLocked), errors.Is(err, vault.ErrLocked):
		return &problem{text: proto.TextLocked, help: "Unlock it with: oidc-add -X", err: err}
	case errors.Is(err, ErrNotLocked):
		return &problem{text: proto.TextNotLocked, err: err}
	case errors.As(err, &fe):
		return explainProvider(fe, err, name)
	case errors.Is(err, custody.ErrLoginAgain):
		return &problem{text: "invalid_grant: the login has ended", help: helpLoginAgain(name), err: err}
	case errors.Is(err, custody.ErrUnknownLogin), errors.Is(err, ErrNoRefreshToken):
		return &problem{text: proto.TextNoRefreshToken, help: helpLoginAgain(name), err: err}
	case errors.Is(err, ErrKeystoreLocked):
		return &problem{text: err.Error(), help: helpUnlock, err: err}
	}
	if errors.Is(err, store.ErrNoSpace) {
		return &problem{text: err.Error(), help: "Free some space where the keystore is, and ask again.", err: err}
	}
	return explainTransport(err)
}

// ofProvider reports whether err is what a provider said, or that it could not be reached.
func ofProvider(err error) bool {
	return errors.As(err, new(*flow.Error)) || errors.As(err, new(*httpc.Error)) ||
		errors.Is(err, custody.ErrLoginAgain) ||
		errors.As(err, new(*provider.IssuerError)) || errors.As(err, new(*provider.StatusError))
}

const helpUnlock = "Unlock the keystore with: oidcbox add --unlock"

// explainProvider writes an OAuth error as the original does: "<error>: <description>", with help for those that a
// person can do something about.
func explainProvider(fe *flow.Error, err error, name string) *problem {
	if fe.Code == "" {
		p := explainTransport(err)
		if fe.Status >= 300 && !errors.As(err, new(*httpc.Error)) {
			p.text = fmt.Sprintf("Received Http Status Code %d", fe.Status)
		}
		return p
	}
	text := fe.Code
	if fe.Description != "" {
		text += ": " + fe.Description
	}
	p := &problem{text: text, err: err}
	switch fe.Code {
	case "invalid_grant", "invalid_token":
		if fe.Description == "" {
			p.text += ":" // clients look for the colon
		}
		p.help = helpLoginAgain(name)
	case "invalid_scope":
		p.help = "The provider does not grant these scopes to this login.\n" +
			"Ask for fewer, or set the login up again with more: oidc-gen --scope SCOPES " + orName(name)
	case "invalid_client", "unauthorized_client":
		p.help = "The provider does not accept the client of this login: it may have been deleted, or its secret changed.\n" +
			"Set the login up again with: oidc-gen " + orName(name)
	case "invalid_request":
		p.help = "The provider did not understand the request. If this login worked before, log in again with: oidc-gen " +
			orName(name) + " --reauthenticate"
	case "insufficient_capabilities":
		p.help = "The mytoken of this login may not be used for that. Set the login up again with another profile: " +
			"oidc-gen --mytoken-profile=PROFILE " + orName(name)
	case "usage_restricted":
		p.help = "The restrictions of the mytoken of this login do not allow that here, now, or any more."
	case "invalid_target":
		p.help = "The provider does not give tokens for this audience to this login."
	}
	return p
}

func helpLoginAgain(name string) string {
	return "The refresh token is not valid any more. Log in again with: oidc-gen " + orName(name) + " --reauthenticate"
}

func orName(name string) string {
	if name == "" {
		return "<shortname>"
	}
	return name
}

// explainTransport covers what went wrong before a provider could answer. The details are help, because the text is
// what people know and search for.
func explainTransport(err error) *problem {
	var (
		cert *tls.CertificateVerificationError
		he   *httpc.Error
		ie   *provider.IssuerError
		se   *provider.StatusError
	)
	p := &problem{err: err}
	switch {
	case errors.As(err, &cert):
		p.text = proto.TextTLS
	case errors.Is(err, context.DeadlineExceeded):
		p.text = proto.TextTimeout
	case errors.As(err, &he):
		p.text = proto.TextCannotReach
	case errors.As(err, &ie):
		p.text = proto.TextOtherIssuer
	case errors.As(err, &se):
		p.text = fmt.Sprintf("Received Http Status Code %d", se.Status)
	case errors.Is(err, flow.ErrAnswer):
		p.text = proto.TextNotJSONAnswer
	default:
		return &problem{text: firstLine(err.Error()), err: err}
	}
	p.help = firstLine(err.Error())
	return p
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
