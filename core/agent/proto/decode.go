package proto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/oidcbox/oidcbox/core/secret"
)

// eachMember calls fn for each member of the JSON object b. The value is a part of b. Members that come twice, bad
// UTF-8 and anything after the object are refused: two readers of one message must not see two requests.
func eachMember(b []byte, fn func(name string, value []byte) error) error {
	return eachMemberOf(jsontext.NewDecoder(bytes.NewBuffer(b)), fn)
}

func eachMemberOf(d *jsontext.Decoder, fn func(name string, value []byte) error) error {
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return ErrMalformed
	}
	var name []byte
	for d.PeekKind() == '"' {
		quoted, err := d.ReadValue()
		if err != nil {
			return ErrMalformed
		}
		if name, err = jsontext.AppendUnquote(name[:0], quoted); err != nil {
			return ErrMalformed
		}
		value, err := d.ReadValue()
		if err != nil {
			return ErrMalformed
		}
		if err := fn(string(name), value); err != nil {
			return err
		}
	}
	if t, err := d.ReadToken(); err != nil || t.Kind() != '}' {
		return ErrMalformed
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return ErrMalformed
	}
	return nil
}

// member is one value, read by the rules of the protocol: numbers and booleans may come as strings and the other way
// round, and the empty string and null are absent.
type member struct {
	name  string
	value []byte
	err   *error
}

func (m member) fail(want string) {
	if *m.err == nil {
		*m.err = fmt.Errorf("%s is not %s", m.name, want)
	}
}

// scalar appends the value as text: the content of a string, or the digits of a number.
func (m member) scalar(dst []byte) []byte {
	switch m.value[0] {
	case '"':
		dst, err := jsontext.AppendUnquote(dst, m.value)
		if err != nil {
			m.fail("a string")
		}
		return dst
	case '{', '[':
		m.fail("a string")
		return dst
	case 'n':
		return dst
	default:
		return append(dst, m.value...)
	}
}

func (m member) text(dst *string) { *dst = string(m.scalar(nil)) }

func (m member) secret(dst *secret.Text) {
	// As large as the value: growing would leave a copy behind.
	if b := m.scalar(make([]byte, 0, len(m.value))); len(b) > 0 {
		*dst = secret.New(b)
	}
}

func (m member) number(dst *int64) bool {
	s := string(m.scalar(nil))
	if s == "" {
		return false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		m.fail("a whole number")
		return false
	}
	*dst = n
	return true
}

func (m member) flag(dst *bool) {
	switch string(m.scalar(nil)) {
	case "1", "true":
		*dst = true
	case "", "0", "false":
		*dst = false
	default:
		m.fail("0 or 1")
	}
}

// object keeps a JSON object as it is.
func (m member) object(dst *secret.Text) {
	switch {
	case m.value[0] == '{':
		*dst = secret.New(bytes.Clone(m.value))
	case m.absent():
	default:
		m.fail("an object")
	}
}

// either keeps a string or an object as it is.
func (m member) either(dst *json.RawMessage) {
	switch {
	case m.absent():
	case m.value[0] == '{' || m.value[0] == '"':
		*dst = bytes.Clone(m.value)
	default:
		m.fail("a string or an object")
	}
}

// list reads an array of strings, a bare word, or a string with such an array inside.
func (m member) list(dst *[]string) {
	text := m.value
	if text[0] == '"' {
		text = m.scalar(nil)
	}
	switch {
	case len(text) == 0 || m.absent():
	case text[0] == '[':
		if json.Unmarshal(text, dst) != nil {
			m.fail("a list of names")
		}
	default:
		*dst = []string{string(text)}
	}
}

func (m member) absent() bool {
	return string(m.value) == `""` || string(m.value) == "null"
}

// decodeRequest reads a request. On an error nothing of it is kept. The error is ErrMalformed, or says which member
// is wrong and how (never its value).
func decodeRequest(b []byte) (Request, error) {
	if r, ok := readSimple(b); ok {
		return r, nil
	}
	r, err := readRequest(b)
	if errors.Is(err, ErrMalformed) {
		if once, ok := configOnce(b); ok {
			defer clear(once)
			return readRequest(once)
		}
	}
	return r, err
}

func readRequest(b []byte) (Request, error) {
	var (
		r      Request
		badErr error
	)
	err := eachMember(b, func(name string, value []byte) error {
		m := member{name: name, value: value, err: &badErr}
		if !r.readToken(m) && !r.readLogin(m) {
			r.readFlow(m)
		}
		return badErr
	})
	if err != nil {
		r.Wipe()
		return Request{}, err
	}
	return r, nil
}

// readToken takes the members of token requests; it reports whether m was one.
func (r *Request) readToken(m member) bool {
	switch m.name {
	case "request":
		m.text(&r.Type)
	case "account":
		m.text(&r.Account)
	case "issuer":
		m.text(&r.Issuer)
	case "min_valid_period":
		m.number(&r.MinValid)
	case "scope":
		m.text(&r.Scope)
	case "audience":
		m.text(&r.Audience)
	case "application_hint":
		m.text(&r.Hint)
	case "mytoken_profile":
		m.either(&r.MytokenProfile)
	case "relay":
		m.text(&r.Relay)
	default:
		return false
	}
	return true
}

// readLogin takes the members that load, lock and store.
func (r *Request) readLogin(m member) bool {
	switch m.name {
	case "config":
		m.object(&r.Config)
	case "pw_entry":
		m.object(&r.PWEntry)
	case "confirm":
		m.flag(&r.Confirm)
	case "always_allow_id_token", "always_allow_id": // version 4 sends the short one
		m.flag(&r.AlwaysAllowIDToken)
	case "plain_add":
		m.flag(&r.PlainAdd)
	case "lifetime":
		r.HasLifetime = m.number(&r.Lifetime)
	case "password":
		m.secret(&r.Password)
	case "filename":
		m.text(&r.Filename)
	case "data":
		m.secret(&r.Data)
	default:
		return false
	}
	return true
}

// readFlow takes the members of setting up a login. A name nobody knows is ignored.
func (r *Request) readFlow(m member) {
	switch m.name {
	case "flow":
		m.list(&r.Flow)
	case "no_webserver":
		m.flag(&r.NoWebserver)
	case "no_scheme":
		m.flag(&r.NoScheme)
	case "only_at":
		m.flag(&r.OnlyAT)
	case "redirect_uri":
		m.secret(&r.RedirectURI)
	case "from_gen":
		m.flag(&r.FromGen)
	case "state":
		m.text(&r.State)
	case "oidc_device":
		m.object(&r.Device)
	case "authorization":
		m.secret(&r.Authorization)
	case "registration_client_uri":
		m.text(&r.RegistrationClientURI)
	case "registration_access_token":
		m.secret(&r.RegistrationAccessToken)
	case "cert_path":
		m.text(&r.CertPath)
	case "config_endpoint":
		m.text(&r.ConfigEndpoint)
	}
}

// decodeReply reads an answer. The original pastes texts with line ends and tabs into its answers as they are: control
// characters in strings are taken for what they would be if they were escaped.
func decodeReply(b []byte) (Reply, error) {
	if escaped := escapeControls(b); escaped != nil {
		b = escaped
		defer clear(escaped)
	}
	r, err := readReply(b)
	if errors.Is(err, ErrMalformed) {
		if once, ok := configOnce(b); ok {
			defer clear(once)
			return readReply(once)
		}
	}
	return r, err
}

func readReply(b []byte) (Reply, error) {
	var (
		r      Reply
		badErr error
	)
	err := eachMember(b, func(name string, value []byte) error {
		r.read(member{name: name, value: value, err: &badErr}, b)
		return badErr
	})
	if err != nil {
		r.Wipe()
		return Reply{}, err
	}
	return r, nil
}

// escapeControls returns a copy with the control characters in strings escaped, nil when b has no control characters.
func escapeControls(b []byte) []byte {
	const hex = "0123456789abcdef"
	controls := 0
	for _, c := range b {
		if c < ' ' {
			controls++
		}
	}
	if controls == 0 {
		return nil
	}
	out := make([]byte, 0, len(b)+controls*len(`\u0000`))
	text, escaped := false, false
	for _, c := range b {
		if text && c < ' ' {
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
			escaped = false
			continue
		}
		out = append(out, c)
		switch {
		case escaped:
			escaped = false
		case text && c == '\\':
			escaped = true
		case c == '"':
			text = !text
		}
	}
	return out
}

func (r *Reply) read(m member, whole []byte) {
	switch m.name {
	case "status":
		m.text(&r.Status)
	case "error":
		m.text(&r.Error)
	case "info":
		if !m.absent() {
			r.Info = bytes.Clone(m.value)
		}
	case "access_token":
		m.secret(&r.AccessToken)
	case "id_token":
		m.secret(&r.IDToken)
	case "issuer":
		m.text(&r.Issuer)
	case "expires_at":
		m.number(&r.ExpiresAt)
	case "granted_scope":
		m.text(&r.Scope)
	case "narrowed":
		m.flag(&r.Narrowed)
	case "config":
		m.object(&r.Config)
	case "uri":
		m.text(&r.URI)
	case "state":
		m.text(&r.State)
	case "oidc_device":
		m.object(&r.Device)
	case "client":
		m.object(&r.Client)
	case "max_scopes":
		m.text(&r.MaxScopes)
	case "data":
		m.secret(&r.Data)
	case "ask":
		m.text(&r.Ask)
	case "mytoken":
		r.Mytoken = secret.New(bytes.Clone(whole))
	}
}
