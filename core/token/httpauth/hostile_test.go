package httpauth

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

const form = "application/x-www-form-urlencoded"

// request is one as a stranger sends it. Headers are name, value, name, value.
type request struct {
	method, target, kind, body string
	headers                    []string
}

func (q request) make() *http.Request {
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	method, target := q.method, q.target
	if method == "" {
		method = http.MethodPost
	}
	if target == "" {
		target = "/"
	}
	r := httptest.NewRequest(method, target, body)
	if q.kind != "" {
		r.Header.Set("Content-Type", q.kind)
	}
	for pair := range slices.Chunk(q.headers, 2) {
		r.Header[http.CanonicalHeaderKey(pair[0])] = append(r.Header[http.CanonicalHeaderKey(pair[0])], pair[1])
	}
	return r
}

func auth(values ...string) (headers []string) {
	for _, v := range values {
		headers = append(headers, "Authorization", v)
	}
	return headers
}

// TestExtractHostile: what is not exactly one well-formed token is refused, with the status RFC 6750 has for it.
func TestExtractHostile(t *testing.T) {
	big := strings.Repeat("a", jose.MaxToken)
	cases := []struct {
		name   string
		send   request
		ways   Ways
		status int
		code   string
		err    error
	}{
		{"nothing at all", request{}, Ways{}, 401, "", gate.ErrNoToken},
		{"an empty header", request{headers: auth("")}, Ways{}, 401, "", gate.ErrNoToken},
		{"a scheme and no token", request{headers: auth("Bearer")}, Ways{}, 401, "", gate.ErrNoToken},
		{"a scheme and spaces", request{headers: auth("Bearer   ")}, Ways{}, 401, "", gate.ErrNoToken},
		{"another scheme", request{headers: auth("Basic YTpi")}, Ways{}, 401, "", gate.ErrNoToken},
		{"a scheme that begins like ours", request{headers: auth("Bearerx abc")}, Ways{}, 401, "", gate.ErrNoToken},
		{"the token without a scheme", request{headers: auth("abc.def.ghi")}, Ways{}, 401, "", gate.ErrNoToken},
		{
			"header and body",
			request{headers: auth("Bearer a"), kind: form, body: "access_token=b"},
			Ways{},
			400,
			gate.InvalidRequest, ErrTwoTokens,
		},
		{
			"header and body with the same token",
			request{headers: auth("Bearer a"), kind: form, body: "access_token=a"},
			Ways{},
			400, gate.InvalidRequest, ErrTwoTokens,
		},
		{
			"header and query",
			request{headers: auth("Bearer a"), target: "/?access_token=b"},
			Ways{Query: true},
			400,
			gate.InvalidRequest, ErrTwoTokens,
		},
		{
			"header and query that is not enabled",
			request{headers: auth("Bearer a"), target: "/?access_token=b"},
			Ways{},
			400,
			gate.InvalidRequest, ErrTwoTokens,
		},
		{"header, body and query", request{
			headers: auth("Bearer a"), target: "/?access_token=b", kind: form,
			body: "access_token=c",
		}, Ways{Query: true}, 400, gate.InvalidRequest, ErrTwoTokens},
		{
			"body and query",
			request{target: "/?access_token=b", kind: form, body: "access_token=c"},
			Ways{Query: true},
			400,
			gate.InvalidRequest, ErrTwoTokens,
		},
		{
			"header and a query whose name is hidden",
			request{headers: auth("Bearer a"), target: "/?%61ccess%5Ftoken=b"},
			Ways{},
			400, gate.InvalidRequest, ErrTwoTokens,
		},
		{"header and a body whose name is hidden", request{
			headers: auth("Bearer a"), kind: form,
			body: "x=1&access%5ftoken=b",
		}, Ways{}, 400, gate.InvalidRequest, ErrTwoTokens},
		{
			"twice in the body",
			request{kind: form, body: "access_token=a&access_token=b"},
			Ways{},
			400, gate.InvalidRequest,
			ErrTwoTokens,
		},
		{
			"once empty and once not in the body",
			request{kind: form, body: "access_token=&access_token=b"},
			Ways{},
			400,
			gate.InvalidRequest, ErrTwoTokens,
		},
		{
			"twice in the query",
			request{target: "/?access_token=a&access_token=b"},
			Ways{Query: true},
			400,
			gate.InvalidRequest, ErrTwoTokens,
		},
		{"only in the query, not enabled", request{target: "/?access_token=a"}, Ways{}, 401, "", ErrQueryToken},
		{
			"in the body, header only",
			request{kind: form, body: "access_token=a"},
			Ways{HeaderOnly: true},
			401, "",
			gate.ErrNoToken,
		},
		{
			"in the body of a GET",
			request{method: http.MethodGet, kind: form, body: "access_token=a"},
			Ways{},
			401, "",
			gate.ErrNoToken,
		},
		{
			"in a body that is JSON",
			request{kind: "application/json", body: "access_token=a"},
			Ways{},
			401, "",
			gate.ErrNoToken,
		},
		{
			"in a body that is multipart",
			request{
				kind: "multipart/form-data; boundary=x",
				body: "--x\r\nContent-Disposition: form-data; name=\"access_token\"\r\n\r\na\r\n--x--\r\n",
			},
			Ways{},
			401, "",
			gate.ErrNoToken,
		},
		{"two headers", request{headers: auth("Bearer a", "Bearer b")}, Ways{}, 400, gate.InvalidRequest, ErrTwoTokens},
		{
			"two headers, one of another scheme",
			request{headers: auth("Basic YTpi", "Bearer b")},
			Ways{},
			400,
			gate.InvalidRequest, ErrTwoTokens,
		},
		{"two headers, one empty", request{headers: auth("", "Bearer b")}, Ways{}, 400, gate.InvalidRequest, ErrTwoTokens},
		{
			"two tokens in one header",
			request{headers: auth("Bearer a, Bearer b")},
			Ways{},
			400, gate.InvalidRequest,
			jose.ErrCharacters,
		},
		{
			"a word behind the token",
			request{headers: auth("Bearer a b")},
			Ways{},
			400, gate.InvalidRequest,
			jose.ErrCharacters,
		},
		{
			"a space behind the token",
			request{headers: auth("Bearer a ")},
			Ways{},
			400, gate.InvalidRequest,
			jose.ErrCharacters,
		},
		{"a tab for the space", request{headers: auth("Bearer\ta")}, Ways{}, 400, gate.InvalidRequest, ErrHeader},
		{"a space in front", request{headers: auth(" Bearer a")}, Ways{}, 400, gate.InvalidRequest, ErrHeader},
		{
			"a control character",
			request{headers: auth("Bearer a\x01b")},
			Ways{},
			400, gate.InvalidRequest,
			jose.ErrCharacters,
		},
		{"NUL", request{headers: auth("Bearer a\x00")}, Ways{}, 400, gate.InvalidRequest, jose.ErrCharacters},
		{
			"a line end",
			request{headers: auth("Bearer a\r\nX-Forged: 1")},
			Ways{},
			400, gate.InvalidRequest,
			jose.ErrCharacters,
		},
		{"letters beyond ASCII", request{headers: auth("Bearer aé")}, Ways{}, 400, gate.InvalidRequest, jose.ErrCharacters},
		{"a scheme beyond ASCII", request{headers: auth("Bearér a")}, Ways{}, 400, gate.InvalidRequest, ErrHeader},
		{
			"the Kelvin sign does not fold to k",
			request{headers: auth("to\u212aen a")},
			Ways{},
			400, gate.InvalidRequest,
			ErrHeader,
		},
		{"= in the middle", request{headers: auth("Bearer a=b")}, Ways{}, 400, gate.InvalidRequest, jose.ErrCharacters},
		{"nothing but =", request{headers: auth("Bearer ==")}, Ways{}, 400, gate.InvalidRequest, jose.ErrCharacters},
		{"quotes", request{headers: auth(`Bearer "a"`)}, Ways{}, 400, gate.InvalidRequest, jose.ErrCharacters},
		{
			"a broken escape in the body",
			request{kind: form, body: "access_token=%zz"},
			Ways{},
			400, gate.InvalidRequest,
			jose.ErrCharacters,
		},
		{
			"a newline in the body",
			request{kind: form, body: "access_token=a%0a"},
			Ways{},
			400, gate.InvalidRequest,
			jose.ErrCharacters,
		},
		{"64 KiB and one", request{headers: auth("Bearer a" + big)}, Ways{}, 401, gate.InvalidToken, ErrTokenTooLarge},
		{
			"64 KiB and one in the body",
			request{kind: form, body: "access_token=a" + big},
			Ways{},
			401, gate.InvalidToken,
			ErrTokenTooLarge,
		},
		{
			"a mebibyte",
			request{headers: auth("Bearer " + strings.Repeat("a", 1<<20))},
			Ways{},
			401, gate.InvalidToken,
			ErrTokenTooLarge,
		},
		{
			"one more than the limit that was set",
			request{headers: auth("Bearer abcd")},
			Ways{MaxToken: 3},
			401,
			gate.InvalidToken, ErrTokenTooLarge,
		},
		{
			"a form too large",
			request{headers: auth("Bearer a"), kind: form, body: strings.Repeat("x", 257<<10)},
			Ways{},
			413,
			gate.InvalidRequest, ErrFormTooLarge,
		},
		{"a second token behind much padding", request{
			headers: auth("Bearer a"), kind: form,
			body: strings.Repeat("x", 300<<10) + "&access_token=b",
		}, Ways{}, 413, gate.InvalidRequest, ErrFormTooLarge},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := Extract(c.send.make(), c.ways)
			var no *gate.Refusal
			if !errors.As(err, &no) {
				t.Fatalf("accepted, or another error: %v", err)
			}
			if no.Status != c.status || no.Code != c.code || !errors.Is(err, c.err) {
				t.Errorf("%d %q %v; want %d %q %v", no.Status, no.Code, err, c.status, c.code, c.err)
			}
			if !p.Token.Empty() {
				t.Error("there is a token beside the error")
			}
		})
	}
}

type closing struct {
	io.Reader
	yes bool
}

func (c *closing) Close() error { c.yes = true; return nil }

// TestExtractAfterParseForm: who read the form before us did not hide its token.
func TestExtractAfterParseForm(t *testing.T) {
	for body, want := range map[string]error{
		"access_token=a": nil, "access_token=a&access_token=b": ErrTwoTokens, "x=1": gate.ErrNoToken,
	} {
		r := request{kind: form, body: body}.make()
		if err := r.ParseForm(); err != nil {
			t.Fatal(err)
		}
		if _, err := Extract(r, Ways{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", body, err, want)
		}
	}
}

// TestExtractAfterParseFormOfDelete: net/http does not look into such a body, so that nobody has read it.
func TestExtractAfterParseFormOfDelete(t *testing.T) {
	r := request{method: http.MethodDelete, kind: form, body: "access_token=b", headers: auth("Bearer a")}.make()
	if err := r.ParseForm(); err != nil {
		t.Fatal(err)
	}
	if _, err := Extract(r, Ways{}); !errors.Is(err, ErrTwoTokens) {
		t.Errorf("%v", err)
	}
}

// TestExtractBodyThatBreaksOff: half a form is not judged.
func TestExtractBodyThatBreaksOff(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"the client went away":         {io.ErrUnexpectedEOF, 400},
		"the server has its own limit": {&http.MaxBytesError{Limit: 10}, 413},
	} {
		t.Run(name, func(t *testing.T) {
			r := request{headers: auth("Bearer a"), kind: form, body: "x"}.make()
			r.ContentLength = -1
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("x=1&acc"), failing{c.err}))
			_, err := Extract(r, Ways{})
			var no *gate.Refusal
			if !errors.As(err, &no) || no.Status != c.status || !errors.Is(err, ErrForm) {
				t.Errorf("got %v", err)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestExtractReadsNoMoreThanItMay of a body that never ends.
func TestExtractReadsNoMoreThanItMay(t *testing.T) {
	r := request{headers: auth("Bearer a"), kind: form, body: "x"}.make()
	r.ContentLength = -1
	endless := &counting{}
	r.Body = io.NopCloser(endless)
	_, err := Extract(r, Ways{MaxForm: 1000})
	if !errors.Is(err, ErrFormTooLarge) || endless.n > 4096 {
		t.Errorf("read %d bytes: %v", endless.n, err)
	}
}

type counting struct{ n int }

func (c *counting) Read(b []byte) (int, error) {
	c.n += len(b)
	return copy(b, bytes.Repeat([]byte("x"), len(b))), nil
}

// FuzzExtract: any header, query and body is an answer; a yes is one token, and both other ways are empty.
func FuzzExtract(f *testing.F) {
	f.Add("Bearer a", "", "")
	f.Add("", "access_token=a", "")
	f.Add("", "", "access_token=a&b")
	f.Add("bearer  a=b", "%61ccess_token=", "access_token=%")
	f.Fuzz(func(t *testing.T, header, query, body string) {
		r := request{kind: form, body: body}.make()
		if header != "" {
			r.Header["Authorization"] = []string{header}
		}
		r.URL.RawQuery = query
		p, err := Extract(r, Ways{Query: true})
		var no *gate.Refusal
		if err != nil {
			if !errors.As(err, &no) || no.Status < 400 || no.Status > 413 || !p.Token.Empty() {
				t.Fatalf("%v", err)
			}
			return
		}
		q, _ := url.ParseQuery(query)
		b, _ := url.ParseQuery(body)
		n := len(slices.DeleteFunc(append(q["access_token"], b["access_token"]...), func(s string) bool { return s == "" }))
		if _, rest, ok := strings.Cut(header, " "); ok && strings.TrimLeft(rest, " ") == p.Token.Expose() {
			n++
		}
		if n != 1 {
			t.Fatalf("%d tokens in %q %q %q, and one was taken", n, header, query, body)
		}
	})
}
