package custody

import (
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Whatever the client finds out before it sends anything leaves the refresh token as good as it was.
func TestJudgeNothingSent(t *testing.T) {
	hc, err := httpc.New(httpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	box := flow.ClientConfig{ID: "box"}
	at := func(scheme, endpoint string) provider.Metadata {
		return provider.Metadata{Issuer: scheme + "://op.invalid", TokenEndpoint: endpoint}
	}
	for name, c := range map[string]struct {
		md provider.Metadata
		cc flow.ClientConfig
		q  flow.Request
	}{
		"no_endpoint":         {md: at("https", ""), cc: box},
		"endpoint_not_https":  {md: at("https", "http://op.invalid/t"), cc: box},
		"endpoint_not_http":   {md: at("http", "file://h/t"), cc: box},
		"plain_http_far_away": {md: at("http", "http://op.invalid/t"), cc: box},
		"nobody_listens":      {md: at("https", "https://127.0.0.1:1/t"), cc: box},
		"no_client":           {md: at("https", "https://op.invalid/t")},
		"unknown_auth_method": {
			md: at("https", "https://op.invalid/t"), cc: flow.ClientConfig{ID: "box", AuthMethod: "private_key_jwt"},
		},
		"audience": {
			md: at("https", "https://op.invalid/t"), cc: box, q: flow.Request{Audience: []string{"not a URI"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := flow.New(hc, &c.md, c.cc, flow.Options{}).Refresh(t.Context(), secret.FromString("rt"), c.q)
			if err == nil || judge(err) != unsent {
				t.Fatalf("%v is judged %d", err, judge(err))
			}
		})
	}
}
