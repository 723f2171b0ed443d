package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// maxBody bounds bodies either way, backups excepted.
const maxBody = 1 << 20

// The bodies. Secrets are byte slices: JSON carries them as base64, and they can be wiped, which a string cannot.
type (
	unlockBody struct {
		Passphrase []byte `json:"passphrase,omitempty"`
		KeyFile    string `json:"key_file,omitempty"`
		Keyring    bool   `json:"keyring,omitempty"`
		SSHAgent   string `json:"ssh_agent,omitempty"`
	}
	createBody struct {
		Passphrase []byte `json:"passphrase"`
	}
	slotBody struct {
		Kind       string `json:"kind"`
		Label      string `json:"label,omitempty"`
		Passphrase []byte `json:"passphrase,omitempty"`
		KeyFile    string `json:"key_file,omitempty"`
		SSHAgent   string `json:"ssh_agent,omitempty"`
		SSHKey     string `json:"ssh_key,omitempty"`
	}
	answerBody struct {
		Text      []byte   `json:"text,omitempty"`
		Yes       bool     `json:"yes,omitempty"`
		Chosen    []string `json:"chosen,omitempty"`
		Cancelled bool     `json:"cancelled,omitempty"`
	}
	tokenBody struct {
		Access  []byte `json:"access_token"`
		Issuer  string `json:"issuer"`
		Expires int64  `json:"expires_at"` // Unix seconds, 0 unknown
		Scope   string `json:"scope,omitempty"`
	}
	infoBody struct {
		Info string `json:"info,omitempty"`
	}
	errorBody struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
		Code  int    `json:"code"` // exit code of core/cli
	}
)

// fault is err as it goes over the wire.
func fault(err error) errorBody {
	b := errorBody{Error: err.Error(), Code: cli.No}
	var e *cli.Error
	if errors.As(err, &e) && e.Code != cli.OK {
		b.Code, b.Hint = e.Code, e.Hint
	}
	return b
}

// failure is the error that the client returns.
func (b errorBody) failure() error {
	code := b.Code
	if code <= cli.OK || code > cli.Human {
		code = cli.No
	}
	return cli.Fail(code, errors.New(b.Error), b.Hint)
}

// readBody reads at most maxBody bytes into one buffer, which the caller wipes. size is the announced length, -1 when
// there is none.
func readBody(r io.Reader, size int64) ([]byte, error) {
	if size > maxBody {
		return nil, ErrTooLarge
	}
	// One byte more than announced lets the end show itself without growing.
	room := size + 1
	if size < 0 {
		room = maxBody + 1
	}
	buf := make([]byte, 0, room)
	for len(buf) < cap(buf) {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			clear(buf)
			return nil, err
		}
	}
	clear(buf)
	return nil, ErrTooLarge
}

// decode reads exactly one JSON value without unknown members: both sides are of one release.
func decode(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("read body: %w", hideValue(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("read body: %w", errTrailing)
	}
	return nil
}

// hideValue drops what an error of encoding/json might quote of a body with secrets in it.
func hideValue(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("no JSON at byte %d", syntax.Offset)
	}
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("member %s has the wrong type", kind.Field)
	}
	return err
}

// expose runs fn with a copy of the secret that is wiped afterwards, for a body.
func expose(t secret.Text, fn func([]byte) error) error {
	var c []byte
	if err := t.Use(func(b []byte) error { c = bytes.Clone(b); return nil }); err != nil {
		return err
	}
	defer clear(c)
	return fn(c)
}
