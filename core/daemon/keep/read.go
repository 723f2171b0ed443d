package keep

import "github.com/oidcbox/oidcbox/core/config"

// Keys are those of a state in a configuration, DatabaseKeys those below postgres.
func Keys() []string { return []string{"file", "postgres", "key_file", "credential", "locked_memory"} }

// DatabaseKeys is described at Keys.
func DatabaseKeys() []string {
	return []string{"url_file", "password_file", "schema", "connections", "allow_plain"}
}

// Defaults are those of a role.
type Defaults struct {
	Schema      string
	Connections int
}

const (
	memoryRequire = "require"
	memoryPrefer  = "prefer"
	maxConns      = 1000
)

// Read reads a place at a, whose entries are f. What is wrong is said to r.
func Read(r *config.Reader, a config.At, f config.Fields, d Defaults) (p Place) {
	p.File, _ = r.Path(f["file"])
	p.KeyFile, _ = r.Path(f["key_file"])
	p.Credential, _ = r.Text(f["credential"])
	p.Unlocked = r.OneOf(f["locked_memory"], memoryRequire, memoryRequire, memoryPrefer) == memoryPrefer
	if f["file"].Present() == f["postgres"].Present() {
		r.Fault(a, "has to have one of file (for one server) and postgres (for several)")
	}
	if f["key_file"].Present() == f["credential"].Present() {
		r.Fault(a, "has to have one of key_file and credential: the server opens its state without a person")
	}
	p.Database = database(r, f["postgres"], d)
	return p
}

func database(r *config.Reader, a config.At, o Defaults) (d Database) {
	if !a.Present() {
		return d
	}
	f := r.Fields(a, DatabaseKeys()...)
	r.Need(a, f, "url_file")
	d.URLFile, _ = r.Path(f["url_file"])
	d.PasswordFile, _ = r.Path(f["password_file"])
	d.Schema = r.TextOr(f["schema"], o.Schema)
	d.Connections = r.Int(f["connections"], o.Connections, 1, maxConns)
	d.Plain = r.Bool(f["allow_plain"], false)
	for _, file := range []config.At{f["url_file"], f["password_file"]} {
		if file.Present() { // what stands in it is not kept here: it may change under a running server
			_, _ = r.SecretFile(file)
		}
	}
	return d
}
