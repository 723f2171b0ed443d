package login

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseConfig(t *testing.T) {
	t.Run("version_5", func(t *testing.T) {
		c, err := ParseConfig([]byte(vectorPlain))
		if err != nil {
			t.Fatal(err)
		}
		if c.Name != "demo" || c.Issuer != "https://op.example.org/" || c.ClientSecret.Expose() != "s1" ||
			c.RefreshToken.Expose() != "rt1" || c.AuthScope != "openid profile offline_access" || c.Scope != "" ||
			len(c.RedirectURIs) != 1 {
			t.Errorf("%+v", c)
		}
	})
	t.Run("version_4_scope_counts_for_logging_in", func(t *testing.T) {
		c, err := ParseConfig([]byte("{\n\t\"name\":\t\"x\",\n\t\"scope\":\t\"openid offline_access\"\n}\n"))
		if err != nil || c.AuthScope != "openid offline_access" || c.RefreshScope != "" {
			t.Errorf("%+v, %v", c, err)
		}
	})
	t.Run("issuer_url_wins_over_issuer", func(t *testing.T) {
		for _, s := range []string{
			`{"issuer":"b","issuer_url":"a"}`, `{"issuer_url":"a","issuer":"b"}`, `{"issuer":"a"}`,
			`{"issuer":"a","issuer_url":""}`,
		} {
			if c, err := ParseConfig([]byte(s)); err != nil || c.Issuer != "a" {
				t.Errorf("%s: %q, %v", s, c.Issuer, err)
			}
		}
	})
	t.Run("numbers_and_booleans_are_strings_and_back", func(t *testing.T) {
		c, err := ParseConfig([]byte(
			`{"client_id":123,"oauth":true,"uses_pub_client":"1","daeSetByUser":1,"audience":false,"cert_path":null}`))
		if err != nil || c.ClientID != "123" || !c.OAuth2 || !c.PublicClient || !c.DeviceEndpointSetByUser ||
			c.Audience != "0" || c.CertPath != "" {
			t.Errorf("%+v, %v", c, err)
		}
		c, err = ParseConfig([]byte(`{"oauth":false,"uses_pub_client":"","daeSetByUser":0}`))
		if err != nil || c.OAuth2 || c.PublicClient || c.DeviceEndpointSetByUser {
			t.Errorf("%+v, %v", c, err)
		}
	})
	t.Run("terminating_nul_of_old_versions", func(t *testing.T) {
		if _, err := ParseConfig([]byte("{\"name\":\"x\"}\x00")); err != nil {
			t.Error(err)
		}
	})
	for name, bad := range map[string]string{
		"nothing": "", "list": "[]", "text": "hello", "cut": `{"name":"x"`, "twice": `{"name":"a","name":"b"}`,
		"more": `{} {}`, "name_is_object": `{"name":{}}`, "uri_is_object": `{"redirect_uris":[{}]}`,
		"deep": strings.Repeat(`{"a":`, 20000), "long": `{"a":"` + strings.Repeat("x", MaxFile) + `"}`,
	} {
		t.Run("refuses_"+name, func(t *testing.T) {
			if _, err := ParseConfig([]byte(bad)); !errors.Is(err, ErrConfig) {
				t.Error(err)
			}
		})
	}
}

// TestRepeatedMember: oidc-gen 4 writes "audience" twice when it has registered the client.
func TestRepeatedMember(t *testing.T) {
	c, err := ParseConfig([]byte(`{"name":"x","audience":"a b","unknown":[1],"audience":"a b","unknown":[1]}`))
	if err != nil || c.Audience != "a b" {
		t.Fatalf("audience %q, %v", c.Audience, err)
	}
	out, err := c.Encode()
	if err != nil || bytes.Count(out, []byte(`"audience"`)) != 1 || bytes.Count(out, []byte(`"unknown"`)) != 1 {
		t.Errorf("written again: %s, %v", out, err)
	}
	for _, bad := range []string{
		`{"audience":"a","audience":"b"}`, `{"audience":"a","audience":"a","audience":"b"}`, `{"audience":"","audience":"b"}`,
		`{"audience":1,"audience":"1"}`,
	} {
		if _, err := ParseConfig([]byte(bad)); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestUnknownMembersAreKept(t *testing.T) {
	in := `{"name":"x","client_id_issued_at":1700000000,"mytoken_profile":{"include":"agent"},"grant_types":["a",1.50],` +
		`"registration_access_token":"rat","z":null}`
	c, err := ParseConfig([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"client_id_issued_at":1700000000`, `"mytoken_profile":{"include":"agent"}`, `"grant_types":["a",1.50]`, `"z":null`,
		`"registration_access_token":"rat"`, `"username":"","password":""`,
	} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("%s is missing in %s", want, out)
		}
	}
}

func TestCompatible(t *testing.T) {
	c := Config{Issuer: "https://op.example", AuthScope: "openid"}
	got := c.Compatible()
	if got.Issuer != "https://op.example/" || got.Scope != "openid" || got.AuthScope != "openid" {
		t.Errorf("%+v", got)
	}
	if c.Issuer != "https://op.example" {
		t.Error("the original was changed")
	}
}

func TestConfigTellsNoSecret(t *testing.T) {
	c, err := ParseConfig([]byte(`{"name":"x","client_secret":"PLANTED","refresh_token":"PLANTED",` +
		`"registration_access_token":"PLANTED","other_secret":"PLANTED","password":"PLANTED"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, refused := json.Marshal(c)
	bare, err := c.WithoutSecrets().Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, bad := ParseConfig([]byte(`{"refresh_token":{"PLANTED":1}}`))
	for _, s := range []string{
		fmt.Sprintf("%v %+v %#v", c, c, c), fmt.Sprint(refused), string(bare), fmt.Sprint(bad),
	} {
		if strings.Contains(s, "PLANTED") {
			t.Errorf("a secret was told: %s", s)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(vectorPlain))
	f.Add([]byte(`{"issuer":"a","scope":"b c","oauth":true,"x":{"y":[1,2.50,"<&>"]},"redirect_uris":"a b"}`))
	f.Add([]byte(`{"name":"\ud800","refresh_token":1e400}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfig(b)
		if err != nil {
			return
		}
		once, err := c.Encode()
		if err != nil {
			t.Fatalf("does not encode: %v", err)
		}
		again, err := ParseConfig(once)
		if err != nil {
			t.Fatalf("does not parse again: %v\n%s", err, once)
		}
		twice, err := again.Encode()
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("differs (%v):\n%s\n%s", err, once, twice)
		}
	})
}
