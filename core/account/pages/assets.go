package pages

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"path"
)

//go:embed static
var files embed.FS

// assets are the files that pages load, each under a URL that changes with what is in it.
type assets map[string]asset

type asset struct {
	body []byte
	kind string // media type
	tag  string
}

func newAssets() assets {
	a := assets{}
	for name, kind := range map[string]string{"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"} {
		b, err := files.ReadFile(path.Join("static", name))
		if err != nil {
			panic("pages: " + err.Error()) // the files are part of the program
		}
		sum := sha256.Sum256(b)
		a[name] = asset{body: b, kind: kind, tag: base64.RawURLEncoding.EncodeToString(sum[:9])}
	}
	return a
}

func (p *Pages) asset(name string) string {
	return p.base + "/static/" + name + "?v=" + p.assets[name].tag
}

// ServeHTTP sends a file. One that is asked for with its tag never changes.
func (a assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := a[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'") // of the picture, looked at alone
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("ETag", `"`+f.tag+`"`)
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == f.tag {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == `"`+f.tag+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(f.body)
}
