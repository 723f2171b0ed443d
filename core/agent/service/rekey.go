package service

import (
	"context"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
)

// Rekey gives the open keystore a new data key; see control.Rekeyer. Refreshes go on behind it.
func (a Admin) Rekey(ctx context.Context, r control.RekeyRequest) error {
	o := keystore.RekeyOptions{Keep: []keystore.Credential{keystore.Keyring("", "")}, DropOthers: r.DropOthers}
	for _, p := range r.Passphrases {
		o.Keep = append(o.Keep, keystore.Passphrase(p.Clone()))
	}
	for _, path := range r.KeyFiles {
		o.Keep = append(o.Keep, keystore.KeyFile(path))
	}
	if r.SSHAgent != "" {
		o.Keep = append(o.Keep, keystore.SSHAgent(r.SSHAgent))
	}
	defer func() {
		for _, c := range o.Keep {
			c.Forget()
		}
	}()
	return a.withKeystore(func(ks *keystore.Keystore) error { return ks.Rekey(ctx, o) })
}
