package pam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/secret"
)

var (
	// errNoSecret: PAM gave none: expose_authtok is missing, or nothing was typed.
	errNoSecret = errors.New("no secret came with the question (is expose_authtok on the line of pam_exec?)")
	// errJunk: sshd gave no secret of anybody, but what it makes up for users that it does not let in.
	errJunk = errors.New("sshd knows no such user, or lets it not in: it replaced the secret")
	// errCut: pam_exec gave the beginning of a longer secret.
	errCut = errors.New("the secret was cut off: pam_exec hands over at most 511 bytes, and no access token is that " +
		"short; use a one-time password, or the module pam_oidcbox")
	// errLong: nothing of ours is that long.
	errLong = errors.New("the secret is longer than any token")
	// errNotOurs: what was typed is neither a one-time password nor a token. It goes nowhere.
	errNotOurs = errors.New("the secret is no one-time password and no token: left to the other modules")
)

// cutAt are the lengths at which pam_exec cuts: Linux-PAM 1.4 and later, and those before.
const (
	cutAt    = 511
	cutAtOld = 512
)

// readSecret reads what PAM gives on standard input: the secret, and nothing or one NUL or line end behind it.
func readSecret(ctx context.Context, r io.Reader) ([]byte, error) {
	type read struct {
		b   []byte
		err error
	}
	done := make(chan read, 1)
	go func() { // it is left behind when nobody writes and nobody closes: the process ends then
		b, err := io.ReadAll(io.LimitReader(r, login.MaxSecret+3))
		done <- read{b, err}
	}()
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("read the secret: %w", ctx.Err())
	case got := <-done:
		if got.err != nil {
			return nil, fmt.Errorf("read the secret: %w", got.err)
		}
		return got.b, nil
	}
}

// judge says what a secret as it was read is. Only form.Own, CompatForm and JWT, and short mytokens where they are
// wanted, may leave this process. It takes b over.
func (o *options) judge(b []byte) (secret.Text, form.Kind, error) {
	length := len(b)
	b = bytes.TrimSuffix(b, []byte{0})
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	refuse := func(err error) (secret.Text, form.Kind, error) {
		clear(b)
		return secret.Text{}, form.Other, err
	}
	switch {
	case len(b) == 0:
		return refuse(errNoSecret)
	case junk(b):
		return refuse(errJunk)
	case !o.Whole && (length == cutAt || length == cutAtOld || len(b) == cutAt || len(b) == cutAtOld):
		return refuse(errCut)
	case len(b) > login.MaxSecret:
		return refuse(errLong)
	}
	kind := form.LooksLike(b)
	if kind == form.Other && !(o.Mytoken && shortMytoken(b)) {
		return refuse(errNotOurs)
	}
	return secret.New(b), kind, nil
}

// junkWord is what sshd repeats up to the length of a secret that it does not want PAM to see.
const junkWord = "\b\n\r\x7fINCORRECT"

// junk reports whether b is that, or so short a piece of it that it has nothing but control characters; nobody types
// those.
func junk(b []byte) bool {
	for i, c := range b {
		if c != junkWord[i%len(junkWord)] {
			return false
		}
	}
	return true
}

// shortMytoken reports whether b may be a short mytoken: 64 letters and digits as mytoken servers make them by default,
// or another length that a person would not choose.
func shortMytoken(b []byte) bool {
	const shortest, longest = 40, 256
	if len(b) < shortest || len(b) > longest {
		return false
	}
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
