package control

import (
	"context"
	"net/http"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Rekeyer gives the open keystore a new data key.
type Rekeyer interface {
	// Rekey seals everything again under a new data key. A slot stays when its key is among those of r.
	Rekey(ctx context.Context, r RekeyRequest) error
}

// RekeyRequest names the keys of the slots that stay. The one of the keyring is tried by itself.
type RekeyRequest struct {
	Passphrases []secret.Text
	KeyFiles    []string // absolute paths
	SSHAgent    string   // absolute path of an ssh-agent's socket, for slots that open by it
	DropOthers  bool     // remove the slots whose keys are not here, instead of failing
}

type rekeyBody struct {
	Passphrases [][]byte `json:"passphrases,omitempty"`
	KeyFiles    []string `json:"key_files,omitempty"`
	SSHAgent    string   `json:"ssh_agent,omitempty"`
	DropOthers  bool     `json:"drop_others,omitempty"`
}

func (b rekeyBody) wipe() {
	for _, p := range b.Passphrases {
		clear(p)
	}
}

// Rekey makes a new data key.
func (c Client) Rekey(ctx context.Context, r RekeyRequest) error {
	body := rekeyBody{KeyFiles: r.KeyFiles, SSHAgent: r.SSHAgent, DropOthers: r.DropOthers}
	defer func() { body.wipe() }()
	for _, p := range r.Passphrases {
		err := p.Use(func(b []byte) error {
			body.Passphrases = append(body.Passphrases, append([]byte(nil), b...))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return c.call(ctx, http.MethodPost, "/v1/rekey", body, nil)
}

func (h handler) rekey(w http.ResponseWriter, r *http.Request) error {
	var body rekeyBody
	if err := read(r, &body); err != nil {
		return err
	}
	req := RekeyRequest{KeyFiles: body.KeyFiles, SSHAgent: body.SSHAgent, DropOthers: body.DropOthers}
	for _, p := range body.Passphrases {
		text := secret.New(p)
		defer text.Wipe()
		req.Passphrases = append(req.Passphrases, text)
	}
	return reply(w, infoBody{}, h.b.Rekey(r.Context(), req))
}
