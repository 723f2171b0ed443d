package httpapi

import (
	"bytes"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

// describe makes the OpenAPI document out of the table of routes. As with motley-cue, the routes without a prefix work
// and are not in it.
func (a *API) describe() ([]byte, error) {
	paths := ordered{}
	for _, prefix := range a.prefixes()[1:] {
		for _, r := range a.list() {
			if r.bare {
				continue
			}
			path := prefix + r.path
			if r.path == "/" {
				path = prefix + "/"
			}
			paths = append(paths, member{path, r.item(prefix, a.o.NoGet)})
		}
	}
	return encode(ordered{
		{"openapi", "3.1.0"},
		{"info", ordered{
			{"title", "motley_cue"},
			{"description", "A service for mapping OIDC identities to local identities, as motley-cue has it"},
			{"version", a.o.Release},
		}},
		{"paths", paths},
		{"components", ordered{{"securitySchemes", ordered{
			{"HTTPBearer", ordered{{"type", "http"}, {"scheme", "bearer"}}},
		}}}},
	})
}

// item describes what a path answers.
func (r *route) item(prefix string, noGet bool) ordered {
	var item ordered
	if !r.post && (!r.change || !noGet) {
		item = append(item, member{"get", r.operation("get", prefix)})
	}
	if r.post || r.change {
		item = append(item, member{"post", r.operation("post", prefix)})
	}
	return item
}

func (r *route) operation(method, prefix string) ordered {
	tag, _, _ := strings.Cut(strings.TrimPrefix(r.path, "/"), "/")
	if tag == "" {
		tag = "info"
	}
	id := strings.Trim(strings.NewReplacer("/", "_", ".", "_").Replace(prefix+r.path), "_") + "_" + method
	op := ordered{{"tags", []string{tag}}, {"summary", r.summary}, {"operationId", id}}
	if r.auth {
		op = append(op, member{"security", []map[string][]string{{"HTTPBearer": {}}}})
	}
	params := []ordered{}
	for _, name := range slices.Concat(r.params, r.more) {
		params = append(params, ordered{
			{"name", name},
			{"in", "query"},
			{"required", slices.Contains(r.params, name)},
			{"schema", ordered{{"type", "string"}}},
		})
	}
	if len(params) > 0 {
		op = append(op, member{"parameters", params})
	}
	answers := ordered{{"200", ordered{{"description", "Successful Response"}}}}
	if len(r.params) > 0 {
		answers = append(answers, member{"400", ordered{{"description", "A parameter is missing"}}})
	}
	if r.auth {
		answers = append(answers, member{"401", ordered{{"description", "The token is not believed"}}},
			member{"403", ordered{{"description", "No token, or not authorised"}}})
	}
	return append(op, member{"responses", answers})
}

func (a *API) getOpenAPI(c *call) error {
	c.text(http.StatusOK, typeJSON, a.openAPI)
	return nil
}

// pageCSP allows a page nothing but its own text and style.
const pageCSP = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'; " +
	"base-uri 'none'"

const docsPage = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Provisioner: interface</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}td,th{text-align:left;
padding:.2rem 1rem .2rem 0;vertical-align:top}</style></head><body>
<h1>Interface of the provisioner</h1>
<p>Each path also begins with {{range $i, $p := .Prefixes}}{{if $i}} or {{end}}<code>{{$p}}</code>{{end}}.
The description for programs is <a href="/openapi.json">openapi.json</a>.</p>
<table><tr><th>Path</th><th>Methods</th><th>Token</th><th>Parameters</th><th></th></tr>
{{range .Routes}}<tr><td><code>{{.Path}}</code></td><td>{{.Methods}}</td><td>{{if .Auth}}yes{{end}}</td>
<td>{{.Params}}</td><td>{{.Summary}}</td></tr>
{{end}}</table></body></html>
`

// docs is a page about the interface for people. It needs no script, so nothing is loaded from elsewhere.
func (a *API) docs(c *call) error {
	type row struct {
		Path, Methods, Params, Summary string
		Auth                           bool
	}
	data := struct {
		Prefixes []string
		Routes   []row
	}{Prefixes: a.prefixes()[1:]}
	for _, r := range a.list() {
		if r.bare {
			continue
		}
		var methods []string
		for _, m := range r.item("", a.o.NoGet) {
			methods = append(methods, strings.ToUpper(m.Name))
		}
		data.Routes = append(data.Routes, row{
			r.path, strings.Join(methods, ", "), strings.Join(slices.Concat(r.params, r.more), ", "), r.summary, r.auth,
		})
	}
	page, err := template.New("docs").Parse(docsPage)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		return err
	}
	c.w.Header().Set("Content-Security-Policy", pageCSP)
	c.text(http.StatusOK, "text/html; charset=utf-8", b.Bytes())
	return nil
}
