package proto

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/secret"
)

// encode is the text of a request or an answer, for comparing.
func encode(t *testing.T, v any) string {
	t.Helper()
	var (
		b   []byte
		err error
	)
	switch v := v.(type) {
	case Request:
		b, err = encodeRequest(&v)
	case Reply:
		b, err = encodeReply(&v, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRequestTexts(t *testing.T) {
	for _, c := range []struct {
		req  Request
		want string
	}{
		{Request{Type: TypeCheck}, `{"request":"check"}`},
		{
			Request{Type: TypeAccessToken, Account: "acc", Hint: "oidc-token"},
			`{"request":"access_token","min_valid_period":0,"account":"acc","application_hint":"oidc-token"}`,
		},
		{
			Request{Type: TypeAccessToken, Issuer: "https://op.example.org", MinValid: ForceNew, Scope: "a b", Audience: `x"y`},
			`{"request":"access_token","min_valid_period":-1,"issuer":"https://op.example.org","scope":"a b","audience":"x\"y"}`,
		},
		{
			Request{Type: TypeAdd, Config: secret.FromString(`{"name":"n"}`), HasLifetime: true, Confirm: true},
			`{"request":"add","config":{"name":"n"},"lifetime":0,"confirm":1}`,
		},
		{
			Request{Type: TypeGen, Flow: []string{"code", "device"}, OnlyAT: true},
			`{"request":"gen","flow":["code","device"],"only_at":1}`,
		},
		{Request{Type: TypeUnlock, Password: secret.FromString(`p"w`)}, `{"request":"unlock","password":"p\"w"}`},
	} {
		if got := encode(t, c.req); got != c.want {
			t.Errorf("%s: %s", c.want, got)
		}
	}
}

func TestReplyTexts(t *testing.T) {
	for _, c := range []struct {
		rep  Reply
		want string
	}{
		{Success(""), `{"status":"success"}`},
		{Success("Agent locked"), `{"status":"success","info":"Agent locked"}`},
		{Failure("e", "try\n\tthis"), `{"status":"failure","error":"e","info":"try\n\tthis"}`},
		{Reply{Error: "e", Status: StatusSuccess}, `{"status":"failure","error":"e"}`},
		{
			Reply{Status: StatusSuccess, AccessToken: secret.FromString("at"), Issuer: "https://op.example.org", ExpiresAt: 5},
			`{"status":"success","access_token":"at","issuer":"https://op.example.org","expires_at":5}`,
		},
		{
			Reply{Status: StatusSuccess, AccessToken: secret.FromString("at"), Issuer: "i", Scope: "openid a:/b"},
			`{"status":"success","access_token":"at","issuer":"i","expires_at":0,"granted_scope":"openid a:/b"}`,
		},
		{
			Reply{Status: StatusSuccess, AccessToken: secret.FromString("at")},
			`{"status":"success","access_token":"at","issuer":"","expires_at":0}`,
		},
		{
			Reply{Status: StatusSuccess, IDToken: secret.FromString("it"), Issuer: "https://op.example.org"},
			`{"status":"success","id_token":"it","issuer":"https://op.example.org"}`,
		},
		{Reply{Status: StatusSuccess, Info: InfoValue([]string{"a", "b"})}, `{"status":"success","info":["a","b"]}`},
		{
			Reply{Status: StatusSuccess, Config: secret.FromString(`{"name":"a"}`)},
			`{"status":"success","config":{"name":"a"}}`,
		},
		{
			Reply{Status: StatusAccepted, URI: "https://x/?a=b&c=d", State: "s", Info: InfoText("i")},
			`{"status":"accepted","uri":"https://x/?a=b&c=d","state":"s","info":"i"}`,
		},
		{
			Reply{Status: StatusSuccess, Mytoken: secret.FromString(`{"mytoken":"m","status":"x","error":"y","expires_at":7}`)},
			`{"status":"success","mytoken":"m","expires_at":7}`,
		},
	} {
		if got := encode(t, c.rep); got != c.want {
			t.Errorf("want %s\n got %s", c.want, got)
		}
	}
	for _, bad := range []Reply{
		{Status: StatusSuccess, Config: secret.FromString(`{"name":"a"},"error":"x"`)},
		{Status: StatusSuccess, Info: Info(`"a`)},
		{Status: StatusSuccess, Mytoken: secret.FromString(`[]`)},
	} {
		if b, err := encodeReply(&bad, nil); err == nil {
			t.Errorf("written: %s", b)
		}
	}
}

func TestDecodeRequest(t *testing.T) {
	flow := func(want ...string) func(Request) bool {
		return func(r Request) bool { return reflect.DeepEqual(r.Flow, want) }
	}
	for name, c := range map[string]struct {
		in    string
		check func(Request) bool
	}{
		"number as string":      {`{"min_valid_period":"60"}`, func(r Request) bool { return r.MinValid == 60 }},
		"force":                 {`{"min_valid_period":-1}`, func(r Request) bool { return r.MinValid == ForceNew }},
		"empty is absent":       {`{"min_valid_period":"","lifetime":""}`, func(r Request) bool { return !r.HasLifetime }},
		"null is absent":        {`{"account":null,"config":null}`, func(r Request) bool { return r.Config.Empty() }},
		"lifetime nought":       {`{"lifetime":0}`, func(r Request) bool { return r.HasLifetime && r.Lifetime == 0 }},
		"number for a string":   {`{"account":5}`, func(r Request) bool { return r.Account == "5" }},
		"unknown member":        {`{"request":"check","x":[1]}`, func(r Request) bool { return r.Type == TypeCheck }},
		"flag as string":        {`{"confirm":"1"}`, func(r Request) bool { return r.Confirm }},
		"flag as truth":         {`{"plain_add":true}`, func(r Request) bool { return r.PlainAdd }},
		"flag not set":          {`{"only_at":0}`, func(r Request) bool { return !r.OnlyAT }},
		"id token of version 4": {`{"always_allow_id":1}`, func(r Request) bool { return r.AlwaysAllowIDToken }},
		"flow list":             {`{"flow":["code","device"]}`, flow("code", "device")},
		"flow bare":             {`{"flow":"device"}`, flow("device")},
		"flow list in a string": {`{"flow":"[\"code\"]"}`, flow("code")},
		"config as it came":     {`{"config": {"a" : 1} }`, func(r Request) bool { return r.Config.Expose() == `{"a" : 1}` }},
		"password":              {`{"password":"\u00e4\"b"}`, func(r Request) bool { return r.Password.Expose() == `ä"b` }},
		"profile name":          {`{"mytoken_profile":"p"}`, func(r Request) bool { return string(r.MytokenProfile) == `"p"` }},
		"profile empty":         {`{"mytoken_profile":""}`, func(r Request) bool { return r.MytokenProfile == nil }},
	} {
		r, err := decodeRequest([]byte(c.in))
		if err != nil || !c.check(r) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestDecodeRequestRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"member twice":          `{"account":"a","account":"b"}`,
		"twice, deeper":         `{"config":{"a":1,"a":2}}`,
		"third one differs":     `{"config":{"a":1,"a":1,"a":2}}`,
		"the same, beside":      `{"account":"a","account":"a"}`,
		"the same config":       `{"config":{"a":1},"config":{"a":1}}`,
		"the same, two deep":    `{"config":{"a":{"b":1,"b":1}}}`,
		"the same, elsewhere":   `{"oidc_device":{"a":1,"a":1}}`,
		"bad utf-8":             "{\"account\":\"\xff\"}",
		"not closed":            `{"account":"a"`,
		"array":                 `[]`,
		"number":                `1`,
		"nothing":               ``,
		"text after it":         `{} x`,
		"comma at the end":      `{"a":1,}`,
		"object for a string":   `{"account":{}}`,
		"string for an object":  `{"config":"x"}`,
		"words for a number":    `{"min_valid_period":"soon"}`,
		"fraction":              `{"min_valid_period":1.5}`,
		"more than 64 bits":     `{"lifetime":99999999999999999999}`,
		"flag of two":           `{"confirm":2}`,
		"flow of numbers":       `{"flow":[1]}`,
		"number for a profile":  `{"mytoken_profile":1}`,
		"array for a password":  `{"password":["x"]}`,
		"control character raw": "{\"account\":\"a\nb\"}",
	} {
		if r, err := decodeRequest([]byte(in)); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestConfigRepeatsAMember: oidc-gen 4 writes "audience" twice when it has registered a client, and sends such a file.
func TestConfigRepeatsAMember(t *testing.T) {
	const (
		config = `{"name":"a", "audience":"x","scope":"s","audience":"x","other":[1]}`
		want   = `{"name":"a","audience":"x","scope":"s","other":[1]}`
	)
	r, err := decodeRequest([]byte(`{"request":"add","config":` + config + `,"lifetime":3}`))
	if err != nil || r.Config.Expose() != want || r.Type != TypeAdd || r.Lifetime != 3 {
		t.Errorf("request %+v, %v: %s", r, err, r.Config.Expose())
	}
	rep, err := decodeReply([]byte(`{"status":"success","config":` + config + `}`))
	if err != nil || rep.Config.Expose() != want {
		t.Errorf("reply %v: %s", err, rep.Config.Expose())
	}
	out, err := encodeRequest(&Request{Type: TypeAdd, Config: secret.FromString(config)})
	if err != nil || string(out) != `{"request":"add","config":`+want+`}` {
		t.Errorf("encoded %s, %v", out, err)
	}
	_, err = encodeRequest(&Request{Type: TypeAdd, Config: secret.FromString(`{"a":"x","a":"y"}`)})
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("a contradiction was sent: %v", err)
	}
}

func TestDecodeErrorNamesNoValue(t *testing.T) {
	_, err := decodeRequest([]byte(`{"password":["hunter2"],"request":"unlock"}`))
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "password") {
		t.Errorf("error is %v", err)
	}
}

func TestReplyRoundTrip(t *testing.T) {
	const text = `{"status":"success","access_token":"at","issuer":"https://op.example.org","expires_at":1795288013}`
	r, err := decodeReply([]byte(text))
	if err != nil || encode(t, r) != text {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = decodeReply([]byte(`{"status":"failure","error":"account not loaded","info":"help"}`))
	var ae *AgentError
	if err != nil || !errors.As(r.Err(), &ae) || ae.Text != TextNotLoaded || ae.Help != "help" {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = decodeReply([]byte(`{"status":"success","error":null,"expires_at":"7"}`))
	if err != nil || r.Err() != nil || r.ExpiresAt != 7 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReplyOfTheOriginal(t *testing.T) {
	r, err := decodeReply([]byte("{\n\t\"status\":\t\"success\",\"info\":\"a\nb\tc \\\"d\\\\\"}\n"))
	if err != nil || r.Info.Text() != "a\nb\tc \"d\\" {
		t.Errorf("info is %q, %v", r.Info.Text(), err)
	}
	if _, err := decodeRequest([]byte("{\"request\":\"a\nb\"}")); err == nil {
		t.Error("a request with a bare line end in a string is read")
	}
}
