package mytoken

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Kinds of answer to a request for a mytoken (response_type, mytoken_type).
const (
	KindToken        = "token"
	KindShortToken   = "short_token"
	KindTransferCode = "transfer_code"
)

// Request is what to ask for. The zero value of a member leaves it out. A profile is a Request as well.
type Request struct {
	Issuer       string // of the provider
	Name         string
	Capabilities Capabilities
	Restrictions Restrictions
	Rotation     *Rotation
	ResponseType string // one of the Kind constants; "" = token
	MaxTokenLen  int64
	Application  string   // shown on the consent page
	Include      []string // names of profiles
	// Device logs in with a code at the provider's own page (RFC 8628): there is no consent page, and no browser has to
	// come back to the server. Client.Start alone looks at it.
	Device bool
	Tags   []RequestTag // marks for it, at servers that have tags
	rest   jose.Object
}

// RequestTag is a mark for a new mytoken.
type RequestTag struct {
	Tag             string `json:"tag"`
	IncludeChildren bool   `json:"include_children,omitempty"`
}

// ParseProfile reads a profile as people write it: a JSON object, or names of profiles with blanks or commas between.
// "" is the zero Request. Members that are not known are kept. The error wraps ErrRequest.
func ParseProfile(s string) (Request, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "{") {
		var r Request
		err := r.UnmarshalJSON([]byte(s))
		return r, err
	}
	names := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	for _, n := range names {
		if strings.ContainsAny(n, "\"{}[]\\") || strings.Count(n, "/") > 1 || !utf8.ValidString(n) {
			return Request{}, fmt.Errorf("%w: not a name of a profile", ErrRequest)
		}
	}
	return Request{Include: names}, nil
}

// Empty reports whether nothing at all is asked for.
func (r Request) Empty() bool {
	b, err := r.MarshalJSON()
	return err == nil && string(b) == "{}"
}

// UnmarshalJSON reads the object of a profile.
func (r *Request) UnmarshalJSON(b []byte) error {
	o, err := readObject(b)
	if err == nil {
		err = r.read(o)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return nil
}

func (r *Request) read(o jose.Object) (err error) {
	*r = Request{}
	for _, m := range []struct {
		name string
		to   *string
	}{
		{"oidc_issuer", &r.Issuer},
		{"name", &r.Name},
		{"response_type", &r.ResponseType},
		{"application_name", &r.Application},
	} {
		if *m.to, err = o.String(m.name); err != nil {
			return err
		}
	}
	if raw, ok := o.Raw("capabilities"); ok {
		if err := r.Capabilities.UnmarshalJSON([]byte(raw)); err != nil {
			return err
		}
	}
	if raw, ok := o.Raw("restrictions"); ok {
		if err := r.Restrictions.UnmarshalJSON([]byte(raw)); err != nil {
			return err
		}
	}
	if raw, ok := o.Raw("rotation"); ok {
		r.Rotation = new(Rotation)
		if err := r.Rotation.UnmarshalJSON([]byte(raw)); err != nil {
			return err
		}
	}
	if r.MaxTokenLen, _, err = o.Int("max_token_len"); err != nil {
		return err
	}
	if r.Include, err = namesIn(o, "include"); err != nil {
		return err
	}
	if raw, ok := o.Raw("tags"); ok {
		if err := json.Unmarshal([]byte(raw), &r.Tags); err != nil {
			return &jose.MemberError{Name: "tags", Want: "an array of objects"}
		}
	}
	r.rest = o.Without("tags", "oidc_issuer", "name", "capabilities", "restrictions", "rotation", "response_type",
		"max_token_len", "application_name", "include",
		// A profile says what to ask for, not how, and not with what.
		"grant_type", "oidc_flow", "client_type", "redirect_type", "redirect_uri", "mytoken", "refresh_token",
		"polling_code", "transfer_code", "error_on_restrictions")
	return nil
}

// MarshalJSON writes the members a server takes in any request for a mytoken.
func (r Request) MarshalJSON() ([]byte, error) {
	var o object
	r.write(&o)
	return o.bytes()
}

func (r Request) write(o *object) {
	o.text("oidc_issuer", r.Issuer)
	o.text("name", r.Name)
	o.list("capabilities", r.Capabilities)
	if len(r.Restrictions) > 0 {
		o.put("restrictions", r.Restrictions)
	}
	if r.Rotation != nil {
		o.put("rotation", r.Rotation)
	}
	o.text("response_type", r.ResponseType)
	if r.MaxTokenLen > 0 {
		o.put("max_token_len", r.MaxTokenLen)
	}
	o.text("application_name", r.Application)
	o.list("include", r.Include)
	if len(r.Tags) > 0 {
		o.put("tags", r.Tags)
	}
	o.rest(r.rest)
}
