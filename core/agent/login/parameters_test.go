package login

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestParameters(t *testing.T) {
	secretFile := filepath.Join(write(t, "value", "from a file\nsecond line\n"), "value")
	dir := write(t, "custom_parameters.config", `[
		{"parameter":"claims_in_tokens","value":"id_token token","for_issuer":["https://a.example/oauth2/"],"request":["auth_url"]},
		{"parameter":"v","value":"$MINE","for_account":["x"],"request":["refresh","revocation"]},
		{"parameter":"f","value":"`+secretFile+`","for_account":"x","request":"refresh"},
		{"parameter":"everywhere","value":"planted","request":["refresh"]},
		{"parameter":"nowhere","value":"planted","for_account":["x"]},
		{"value":"planted","for_account":["x"],"request":["refresh"]},
		5]`)
	c, err := LoadCatalogue(dir)
	if !errors.Is(err, ErrIssuers) || strings.Contains(err.Error(), "planted") {
		t.Error(err)
	}
	for _, want := range []string{"entry 4", "entry 5", "entry 6", "entry 7"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in %v", want, err)
		}
	}
	got := func(request, issuer, account string) string {
		var out []string
		for _, p := range c.Parameters() {
			if !p.For(request, issuer, account) {
				continue
			}
			v, err := p.Value(func(name string) string { return map[string]string{"MINE": "from a variable"}[name] })
			if err != nil {
				t.Error(err)
			}
			out = append(out, p.Name+"="+v)
		}
		return strings.Join(out, "&")
	}
	for _, q := range []struct{ request, issuer, account, want string }{
		{"auth_url", "https://a.example/oauth2", "y", "claims_in_tokens=id_token token"},
		{"refresh", "https://a.example/oauth2", "y", ""},
		{"refresh", "https://b.example", "x", "v=from a variable&f=from a file"},
		{"revocation", "https://b.example", "x", "v=from a variable"},
		{"auth_url", "https://b.example", "", ""},
	} {
		if g := got(q.request, q.issuer, q.account); g != q.want {
			t.Errorf("%+v: %q", q, g)
		}
	}
	none := func(string) string { return "" }
	if _, err := c.Parameters()[1].Value(none); err == nil {
		t.Error("an empty variable was sent")
	}
	if _, err := (Parameter{Name: "n", value: "/dev/zero"}).Value(none); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a device was read: %v", err)
	}
}
