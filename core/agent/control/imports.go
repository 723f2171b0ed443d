package control

import (
	"context"
	"net/http"

	"github.com/oidcbox/oidcbox/core/secret"
)

// The outcomes of ImportLogin.
const (
	Imported       = "imported"  // the keystore has it now, or would have it
	ImportSame     = "unchanged" // it had it, with this refresh token or one that came after it
	ImportConflict = "conflict"  // it has another login of this name, which stays
)

// Importer takes logins out of account files.
type Importer interface {
	// ImportLogin puts an account JSON object into the keystore, under the name in it, unless the keystore has one of this
	// name that is as new. Doing it twice changes nothing.
	ImportLogin(ctx context.Context, config secret.Text, o ImportOptions) (outcome string, err error)
}

// ImportOptions are the switches of ImportLogin.
type ImportOptions struct {
	Replace bool // a login of this name that is another one
	DryRun  bool // say what would be done
}

type importBody struct {
	Config  []byte `json:"config"`
	Replace bool   `json:"replace,omitempty"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

// ImportLogin imports a login.
func (c Client) ImportLogin(ctx context.Context, config secret.Text, o ImportOptions) (string, error) {
	var info infoBody
	err := expose(config, func(b []byte) error {
		body := importBody{Config: b, Replace: o.Replace, DryRun: o.DryRun}
		return c.call(ctx, http.MethodPost, "/v1/import", body, &info)
	})
	return info.Info, err
}

func (h handler) importLogin(w http.ResponseWriter, r *http.Request) error {
	var body importBody
	if err := read(r, &body); err != nil {
		return err
	}
	config := secret.New(body.Config)
	defer config.Wipe()
	outcome, err := h.b.ImportLogin(r.Context(), config, ImportOptions{Replace: body.Replace, DryRun: body.DryRun})
	return reply(w, infoBody{Info: outcome}, err)
}
