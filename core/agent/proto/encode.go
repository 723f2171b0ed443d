package proto

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/oidcbox/oidcbox/core/secret"
)

// object writes one JSON object into one buffer that the caller wipes. Members with empty values are left out.
type object struct {
	buf []byte
	err error
}

// newObject takes the expected size, so that growing does not leave copies of secrets behind.
func newObject(size int) *object { return newObjectIn(nil, size) }

// newObjectIn is newObject in a buffer that is used again, if it is large enough.
func newObjectIn(room []byte, size int) *object {
	if cap(room) < size {
		room = make([]byte, 0, size)
	}
	return &object{buf: append(room[:0], '{')}
}

// finish returns the text; on an error there is none and the buffer is wiped.
func (o *object) finish() ([]byte, error) {
	if o.err != nil {
		clear(o.buf)
		return nil, o.err
	}
	return append(o.buf, '}'), nil
}

func (o *object) key(name string) {
	if len(o.buf) > 1 {
		o.buf = append(o.buf, ',')
	}
	o.buf = append(appendString(o.buf, name), ':')
}

func (o *object) text(name, value string) {
	if value != "" {
		o.forceText(name, value)
	}
}

func (o *object) forceText(name, value string) {
	o.key(name)
	o.buf = appendString(o.buf, value)
}

func (o *object) number(name string, n int64) {
	o.key(name)
	o.buf = strconv.AppendInt(o.buf, n, 10)
}

// flag writes 1 for true and nothing for false.
func (o *object) flag(name string, set bool) {
	if set {
		o.number(name, 1)
	}
}

// secret writes the secret as a string.
func (o *object) secret(name string, t secret.Text) {
	if t.Empty() {
		return
	}
	o.key(name)
	o.use(name, t, func(b []byte) error {
		if plainText(b) {
			o.buf = append(append(append(o.buf, '"'), b...), '"')
			return nil
		}
		var err error
		o.buf, err = jsontext.AppendQuote(o.buf, b)
		return err
	})
}

// plainText reports whether b is ASCII that a JSON string holds as it is. Tokens are.
func plainText(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// raw writes the secret, which is JSON, as it is.
func (o *object) raw(name string, t secret.Text) {
	if t.Empty() {
		return
	}
	o.key(name)
	o.use(name, t, func(b []byte) error {
		b = bytes.TrimSpace(b)
		if !jsontext.Value(b).IsValid() {
			single, ok := once(b)
			if !ok {
				return ErrMalformed
			}
			defer clear(single)
			b = single
		}
		o.buf = append(o.buf, b...)
		return nil
	})
}

// value writes JSON that holds no secret.
func (o *object) value(name string, v []byte) {
	if len(v) == 0 {
		return
	}
	o.key(name)
	if !jsontext.Value(v).IsValid() {
		o.fail(name, ErrMalformed)
		return
	}
	o.buf = append(o.buf, bytes.TrimSpace(v)...)
}

// members writes the members of the JSON object t, except those in skip.
func (o *object) members(name string, t secret.Text, skip ...string) {
	if t.Empty() {
		return
	}
	o.use(name, t, func(b []byte) error {
		return eachMember(b, func(key string, value []byte) error {
			for _, s := range skip {
				if s == key {
					return nil
				}
			}
			o.key(key)
			o.buf = append(o.buf, value...)
			return nil
		})
	})
}

func (o *object) use(name string, t secret.Text, fn func([]byte) error) {
	if err := t.Use(fn); err != nil {
		o.fail(name, err)
	}
}

func (o *object) fail(name string, err error) {
	if o.err == nil {
		o.err = fmt.Errorf("write member %s: %w", name, err)
	}
}

// appendString appends s as a JSON string. What is no UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	// The error says only that something was replaced.
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// encodeRequest is the text of a request. The order is that of the original's clients where they have one.
func encodeRequest(r *Request) ([]byte, error) {
	o := newObject(512 + 2*(r.Config.Len()+r.PWEntry.Len()+r.Password.Len()+r.RedirectURI.Len()+r.Device.Len()+
		r.Authorization.Len()+r.RegistrationAccessToken.Len()+r.Data.Len()))
	o.forceText("request", r.Type)
	switch r.Type {
	case TypeAccessToken:
		o.number("min_valid_period", r.MinValid)
	default:
		o.raw("config", r.Config)
	}
	o.text("account", r.Account)
	o.text("issuer", r.Issuer)
	o.text("scope", r.Scope)
	o.text("audience", r.Audience)
	o.text("application_hint", r.Hint)
	o.text("relay", r.Relay)
	o.raw("pw_entry", r.PWEntry)
	if r.HasLifetime {
		o.number("lifetime", r.Lifetime)
	}
	o.flag("confirm", r.Confirm)
	o.flag("always_allow_id_token", r.AlwaysAllowIDToken)
	o.flag("always_allow_id", r.AlwaysAllowIDToken) // the name in version 4
	o.flag("plain_add", r.PlainAdd)
	o.secret("password", r.Password)
	encodeFlow(o, r)
	encodeRegistration(o, r)
	return o.finish()
}

func encodeFlow(o *object, r *Request) {
	if len(r.Flow) > 0 {
		o.value("flow", InfoValue(r.Flow))
	}
	o.flag("no_webserver", r.NoWebserver)
	o.flag("no_scheme", r.NoScheme)
	o.flag("only_at", r.OnlyAT)
	o.secret("redirect_uri", r.RedirectURI)
	o.flag("from_gen", r.FromGen)
	o.text("state", r.State)
	o.raw("oidc_device", r.Device)
	o.value("mytoken_profile", r.MytokenProfile)
}

func encodeRegistration(o *object, r *Request) {
	o.secret("authorization", r.Authorization)
	o.text("registration_client_uri", r.RegistrationClientURI)
	o.secret("registration_access_token", r.RegistrationAccessToken)
	o.text("cert_path", r.CertPath)
	o.text("config_endpoint", r.ConfigEndpoint)
	o.text("filename", r.Filename)
	o.secret("data", r.Data)
}

// encodeReply is the text of an answer, in room if it fits.
func encodeReply(r *Reply, room []byte) ([]byte, error) {
	o := newObjectIn(room, 512+len(r.Info)+2*(r.AccessToken.Len()+r.IDToken.Len()+r.Config.Len()+r.Device.Len()+
		r.Client.Len()+r.Data.Len()+r.Mytoken.Len()))
	status := r.Status
	if r.Error != "" || status == "" {
		status = StatusFailure
	}
	o.forceText("status", status)
	o.text("error", r.Error)
	o.secret("access_token", r.AccessToken)
	o.secret("id_token", r.IDToken)
	switch {
	case !r.AccessToken.Empty():
		o.forceText("issuer", r.Issuer)
		o.number("expires_at", r.ExpiresAt)
		o.text("granted_scope", r.Scope)
		o.flag("narrowed", r.Narrowed)
	case !r.IDToken.Empty():
		o.forceText("issuer", r.Issuer)
	case r.Error != "":
		o.text("issuer", r.Issuer)
	}
	o.raw("config", r.Config)
	o.text("uri", r.URI)
	o.text("state", r.State)
	o.raw("oidc_device", r.Device)
	o.raw("client", r.Client)
	o.text("max_scopes", r.MaxScopes)
	o.secret("data", r.Data)
	o.value("info", r.Info)
	o.text("ask", r.Ask)
	o.members("mytoken", r.Mytoken, "status", "error")
	return o.finish()
}
