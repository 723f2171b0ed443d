package httpc

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestProxy(t *testing.T) {
	const px = "http://proxy.example:3128"
	for _, tt := range []struct {
		name, env, url, want string
	}{
		{"nothing_set", "", "https://op.example", ""},
		{"https", "HTTPS_PROXY=" + px, "https://op.example", px},
		{"lower_case", "https_proxy=" + px, "https://op.example", px},
		{"upper_case_first", "https_proxy=http://other:1 HTTPS_PROXY=" + px, "https://op.example", px},
		{"https_proxy_is_not_for_http", "HTTPS_PROXY=" + px, "http://op.example", ""},
		{"http", "HTTP_PROXY=" + px, "http://op.example", px},
		{"httpoxy", "REQUEST_METHOD=GET HTTP_PROXY=" + px, "http://op.example", ""},
		{"without_scheme", "HTTPS_PROXY=proxy.example:3128", "https://op.example", px},
		{"socks", "HTTPS_PROXY=socks5://proxy.example:1080", "https://op.example", "socks5://proxy.example:1080"},
		{"localhost_never", "HTTP_PROXY=" + px, "http://localhost:1", ""},
		{"loopback_never", "HTTPS_PROXY=" + px, "https://127.0.0.1:1", ""},
		{"IPv6_loopback_never", "HTTPS_PROXY=" + px, "https://[::1]:1", ""},
		{"all_excepted", "NO_PROXY=* HTTPS_PROXY=" + px, "https://op.example", ""},
		{"name", "NO_PROXY=op.example HTTPS_PROXY=" + px, "https://op.example", ""},
		{"name_with_final_dot", "NO_PROXY=op.example HTTPS_PROXY=" + px, "https://op.example.", ""},
		{"name_in_capitals", "NO_PROXY=OP.example HTTPS_PROXY=" + px, "https://op.EXAMPLE", ""},
		{"below_a_name", "NO_PROXY=op.example HTTPS_PROXY=" + px, "https://a.op.example", ""},
		{"name_with_the_same_end", "NO_PROXY=op.example HTTPS_PROXY=" + px, "https://top.example", px},
		{"dot_means_below", "NO_PROXY=.op.example HTTPS_PROXY=" + px, "https://a.op.example", ""},
		{"dot_means_only_below", "NO_PROXY=.op.example HTTPS_PROXY=" + px, "https://op.example", px},
		{"star_dot", "NO_PROXY=*.op.example HTTPS_PROXY=" + px, "https://a.op.example", ""},
		{"second_in_list", "NO_PROXY=x,op.example HTTPS_PROXY=" + px, "https://op.example", ""},
		{"port", "NO_PROXY=op.example:8443 HTTPS_PROXY=" + px, "https://op.example:8443", ""},
		{"default_port", "NO_PROXY=op.example:443 HTTPS_PROXY=" + px, "https://op.example", ""},
		{"other_port", "NO_PROXY=op.example:8443 HTTPS_PROXY=" + px, "https://op.example", px},
		{"address", "NO_PROXY=192.0.2.1 HTTPS_PROXY=" + px, "https://192.0.2.1", ""},
		{"address_is_no_suffix", "NO_PROXY=2.0.2.1 HTTPS_PROXY=" + px, "https://192.0.2.1", px},
		{"network", "NO_PROXY=192.0.2.0/24 HTTPS_PROXY=" + px, "https://192.0.2.77", ""},
		{"IPv6_network", "NO_PROXY=2001:db8::/32 HTTPS_PROXY=" + px, "https://[2001:db8::1]", ""},
		{"IPv6_address_with_port", "NO_PROXY=[2001:db8::1]:443 HTTPS_PROXY=" + px, "https://[2001:db8::1]", ""},
		{"other_network", "NO_PROXY=192.0.2.0/24 HTTPS_PROXY=" + px, "https://198.51.100.1", px},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := map[string]string{}
			for _, e := range strings.Fields(tt.env) {
				k, v, _ := strings.Cut(e, "=")
				env[k] = v
			}
			req, err := http.NewRequest(http.MethodGet, tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			u, err := newProxy(func(k string) string { return env[k] }).find(req)
			got := ""
			if u != nil {
				got = u.String()
			}
			if err != nil || got != tt.want {
				t.Fatalf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestProxyFaultKeepsThePassword(t *testing.T) {
	c := client(t, Options{Getenv: func(name string) string {
		return map[string]string{"HTTPS_PROXY": "http://user:hunter2@[bad"}[name]
	}})
	_, err := c.Get(t.Context(), "https://op.example")
	if err == nil || strings.Contains(err.Error(), "hunter2") || !Unsent(err) {
		t.Fatalf("got %v", err)
	}
}

// TestProxyIsUsed: a plain request beyond loopback reaches the proxy and nobody else.
func TestProxyIsUsed(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "for "+r.URL.String()) })
	c := client(t, Options{AllowHTTP: true, Getenv: func(name string) string {
		return map[string]string{"HTTP_PROXY": s.URL}[name]
	}})
	resp, err := c.Get(t.Context(), "http://op.example/x")
	if err != nil || string(resp.Body) != "for http://op.example/x" {
		t.Fatalf("%v, %v", resp, err)
	}
}
