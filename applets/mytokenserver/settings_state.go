package mytokenserver

import (
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/store/pgstore"
)

// statePlace is where the state is, and what opens it.
type statePlace struct {
	file     string // of the embedded engine; "" for a database
	database database

	// keyFile or credential opens it.
	keyFile    string
	credential string
	escrow     string // file with the public half of the escrow key; "": there is none
	// memory is "require" when the server does not start without locked memory.
	memory string
}

// database is how to reach a PostgreSQL.
type database struct {
	urlFile, passwordFile, schema string
	connections                   int
	plain                         bool
}

func stateKeys() []string {
	return []string{"file", "postgres", "key_file", "credential", "escrow_file", "locked_memory"}
}

func postgresKeys() []string {
	return []string{"url_file", "password_file", "schema", "connections", "allow_plain"}
}

const (
	memoryRequire = "require"
	memoryPrefer  = "prefer"
)

func (r settingsReader) state(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, stateKeys()...)
	p := &r.s.state
	p.file, _ = r.Path(f["file"])
	p.keyFile, _ = r.Path(f["key_file"])
	p.credential, _ = r.Text(f["credential"])
	p.memory = r.OneOf(f["locked_memory"], memoryRequire, memoryRequire, memoryPrefer)
	if f["file"].Present() == f["postgres"].Present() {
		r.Fault(a, "has to have one of file (for one server) and postgres (for several)")
	}
	if f["key_file"].Present() == f["credential"].Present() {
		r.Fault(a, "has to have one of key_file and credential: the server opens its state without a person")
	}
	p.escrow, _ = r.Path(f["escrow_file"])
	r.postgres(f["postgres"])
}

func (r settingsReader) postgres(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, postgresKeys()...)
	r.Need(a, f, "url_file")
	d := &r.s.state.database
	d.urlFile, _ = r.Path(f["url_file"])
	d.passwordFile, _ = r.Path(f["password_file"])
	d.schema = r.TextOr(f["schema"], pgstore.DefaultSchema)
	d.connections = r.Int(f["connections"], pgstore.DefaultMaxConns, 1, 1000)
	d.plain = r.Bool(f["allow_plain"], false)
	if d.urlFile != "" { // what stands in it is not kept here: it may change under a running server
		_, _ = r.SecretFile(f["url_file"])
	}
	if d.passwordFile != "" {
		_, _ = r.SecretFile(f["password_file"])
	}
}
