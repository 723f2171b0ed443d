package forward

import (
	"strings"
	"testing"
)

// What each request needs: name | request | scopes that are just enough | scopes that are not, one list after the other.
// The path of the request is /from/f. Nothing in the third column: every right there is does not help.
const needs = `
GET          | GET       | storage.read:/from   | storage.modify:/ ; storage.read:/fro ; storage.stage:/
HEAD         | HEAD      | storage.read:/from   | storage.poll:/
OPTIONS      | OPTIONS   | storage.read:/from   | storage.create:/
PROPFIND     | PROPFIND  | storage.read:/from   | storage.create:/
PUT may overwrite | PUT  | storage.modify:/from | storage.create:/ ; storage.read:/
PUT has no Overwrite | PUT Overwrite: F | storage.modify:/from | storage.create:/
MKCOL        | MKCOL     | storage.create:/from | storage.read:/ ; storage.stage:/
DELETE       | DELETE    | storage.modify:/from | storage.create:/ ; storage.read:/
PROPPATCH    | PROPPATCH | storage.modify:/from | storage.create:/ ; storage.read:/
POST         | POST
PATCH        | PATCH
LOCK         | LOCK
TRACE        | TRACE
small letters | get
mixed letters | Copy Destination: https://other.example/g

pull | COPY Source: https://other.example/g | storage.modify:/from | storage.read:/ storage.create:/
pull, nothing overwritten | COPY Source: https://other.example/g, Overwrite: F | storage.create:/from | storage.read:/
pull, Overwrite in small letters | COPY Source: https://other.example/g, Overwrite: f | storage.modify:/from | storage.create:/
pull, Overwrite twice | COPY Source: https://other.example/g, Overwrite: F, Overwrite: T | storage.modify:/from | storage.create:/
pull by MOVE | MOVE Source: https://other.example/g | storage.modify:/from | storage.create:/
push | COPY Destination: https://other.example/g | storage.read:/from | storage.modify:/ ; storage.read:/to
push to an address | COPY Destination: davs://[2001:db8::1]:443/g?x=y | storage.read:/from | storage.modify:/
push by MOVE deletes here | MOVE Destination: https://other.example/g | storage.read:/from storage.modify:/from | storage.read:/ ; storage.modify:/

copy here | COPY Destination: https://se.example.org/to/g | storage.read:/from storage.modify:/to | storage.read:/ ; storage.modify:/ ; storage.read:/to storage.modify:/from ; storage.read:/from storage.create:/to
copy here, nothing overwritten | COPY Destination: https://se.example.org/to/g, Overwrite: F | storage.read:/from storage.create:/to | storage.create:/
copy here from Source | COPY Source: https://se.example.org/to/g | storage.read:/to storage.modify:/from | storage.modify:/ ; storage.read:/
a path alone is here | COPY Destination: /to/g | storage.read:/from storage.modify:/to | storage.read:/
another port is here | COPY Destination: https://se.example.org:9999/to/g | storage.read:/from storage.modify:/to | storage.read:/
capitals in the host are here | COPY Destination: HTTPS://SE.Example.ORG/to/g | storage.read:/from storage.modify:/to | storage.read:/
no path is the root | COPY Destination: https://se.example.org | storage.read:/from storage.modify:/ | storage.read:/ storage.modify:/to
MOVE here | MOVE Destination: https://se.example.org/to/g | storage.modify:/from storage.modify:/to | storage.modify:/from storage.create:/to ; storage.read:/ storage.create:/
MOVE deletes, whatever it overwrites | MOVE Destination: https://se.example.org/to/g, Overwrite: F | storage.modify:/from storage.modify:/to | storage.create:/ storage.read:/

neither header       | COPY
neither header, MOVE | MOVE
both headers         | COPY Source: https://other.example/g, Destination: https://se.example.org/to/g
two destinations     | COPY Destination: https://other.example/g, Destination: https://se.example.org/to/g
empty                | COPY Destination:
relative             | COPY Destination: to/g
a network path       | COPY Destination: //other.example/g
a network path here  | COPY Destination: //se.example.org/g
a file               | COPY Source: file:///etc/passwd
no host              | COPY Source: https:///g
opaque               | COPY Source: https:other.example/g
with a user          | COPY Source: https://u:p@other.example/g
a host for a user    | COPY Destination: https://other.example@se.example.org/to/g
a fragment           | COPY Source: https://other.example/g#x
a backslash          | COPY Destination: https://other.example\@se.example.org/to/g
dots                 | COPY Destination: https://se.example.org/to/../x
encoded dots         | COPY Destination: https://se.example.org/to/%2e%2e/x
an encoded slash     | COPY Destination: https://se.example.org/to%2fx
a query here         | COPY Destination: https://se.example.org/to?x
a neighbour's path   | COPY Destination: https://se.example.org/pages/x
a neighbour's host   | COPY Destination: https://www.example.org/x
a dot behind the host | COPY Destination: https://se.example.org./to/x
a space              | COPY Source: https://other.example/a b
`

func TestOperations(t *testing.T) { operations(t, needs, storage(Traefik)) }

func TestOperationsOfPutCreates(t *testing.T) {
	s := storage(Traefik)
	s.PutCreates = true
	operations(t, `
PUT       | PUT | storage.create:/from | storage.read:/
copy here | COPY Destination: /to/g | storage.read:/from storage.create:/to | storage.read:/
MOVE here | MOVE Destination: /to/g | storage.modify:/from storage.modify:/to | storage.create:/ storage.read:/
`, s)
}

func TestOperationsOfMethods(t *testing.T) {
	s := storage(Traefik)
	s.Methods = map[string]string{"POST": "storage.stage", "DELETE": "storage.create"}
	operations(t, `
POST means staging | POST | storage.stage:/from | storage.modify:/ storage.read:/
DELETE is weaker here | DELETE | storage.create:/from | storage.read:/
others stay unknown | PATCH
`, s)
}

func TestDestinationTooLong(t *testing.T) {
	operations(t, "too long | COPY Source: https://other.example/"+strings.Repeat("a", maxTarget), storage(Traefik))
}

// operations checks a table of needs against a service with two neighbours.
func operations(t *testing.T, table string, s Service) {
	t.Helper()
	w := newWorld(
		t, s, Service{Name: "page", Proxy: Traefik, Hosts: []string{testHost, "www.example.org"}, Paths: []string{"/pages"}},
		Service{Name: "api", Proxy: Traefik, Hosts: []string{"www.example.org"}},
	)
	for line := range strings.Lines(table) {
		columns := strings.Split(strings.TrimSpace(line), "|")
		if len(columns) < 2 {
			continue
		}
		t.Run(strings.TrimSpace(columns[0]), func(t *testing.T) {
			method, rest, _ := strings.Cut(strings.TrimSpace(columns[1]), " ")
			status := func(scope string) string {
				h := auth(bearer(t, scope), headersOf(rest)...)
				return meant(t, w.ask(ask{proxy: Traefik, method: method, target: "/from/f", header: h}))
			}
			if len(columns) == 2 {
				if got := status("storage.read:/ storage.modify:/ storage.stage:/"); got != "403" {
					t.Errorf("with every right: %s", got)
				}
				return
			}
			if got := status(strings.TrimSpace(columns[2])); got != "200" {
				t.Errorf("with %s: %s %s", columns[2], got, w.last().Refusal.Reason())
			}
			for scope := range strings.SplitSeq(columns[3], ";") {
				if got := status(strings.TrimSpace(scope)); got != "403" {
					t.Errorf("with %s: %s", scope, got)
				}
			}
		})
	}
}

// headersOf reads "Name: value, Name: value".
func headersOf(s string) []string {
	var list []string
	for one := range strings.SplitSeq(s, ", ") {
		if name, value, ok := strings.Cut(one, ":"); ok {
			list = append(list, name, strings.TrimSpace(value))
		}
	}
	return list
}

// TestCopyWithoutOperations: a service without operations still has both ends of a copy judged.
func TestCopyWithoutOperations(t *testing.T) {
	w := newWorld(t, Service{Name: "api", Proxy: Caddy})
	for destination, want := range map[string]string{
		"http://se.example.org/open/x": "200", "http://se.example.org/admin/x": "403", "/admin/x": "403",
		"http://elsewhere.example/x": "403", // without hosts, who knows what is elsewhere
		"":                           "403",
	} {
		h := auth(bearer(t, "x"), "Destination", destination)
		resp := w.ask(ask{proxy: Caddy, method: "COPY", target: "/open/f", header: h})
		if got := meant(t, resp); got != want {
			t.Errorf("to %q: %s, want %s: %s", destination, got, want, body(t, resp))
		}
	}
}
