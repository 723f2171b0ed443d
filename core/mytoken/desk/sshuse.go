package desk

import (
	"context"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/secret"
)

// lastUsedEvery is how exact the last use of a key is: it is not written each time.
const lastUsedEvery = time.Minute

// sshUnder is what lies under a user name, beside the mytoken.
type sshUnder struct {
	Version     int    `json:"v"`
	Fingerprint string `json:"fp"`
	User        string `json:"user"`
	MOMID       string `json:"mom_id"`
	SeqNo       int64  `json:"seq"` // of the mytoken
}

// SSHUse is a mytoken for one command over ssh.
type SSHUse struct {
	Mytoken secret.Text
	handle  ledger.CodeHandle
}

// Wipe clears the secrets.
func (u SSHUse) Wipe() {
	u.Mytoken.Wipe()
	u.handle.Key.Wipe()
}

// nobody is the person of a user name that there is not.
const nobody = "nobody"

// look finds what lies under a user name. One that there is not has something that fits no key, and takes the same way.
func (k *SSHKeys) look(ctx context.Context, user secret.Text, fingerprint string) (ledger.Code, sshUnder, bool, error) {
	under := sshUnder{User: nobody}
	c, err := k.d.o.Ledger.LookCode(ctx, ledger.SSHCode, user)
	if err == nil {
		if json.Unmarshal(c.Data, &under) != nil || under.Version != orderVersion {
			err = fmt.Errorf("read what lies under an ssh user name: %w", ledger.ErrRecord)
		}
	} else if errors.Is(err, ledger.ErrUnknown) {
		err = nil
	}
	if err != nil {
		return c, under, false, err
	}
	on, err := k.d.GrantEnabled(ctx, under.User, mytoken.GrantSSH)
	fits := subtle.ConstantTimeCompare([]byte(under.Fingerprint), []byte(fingerprint)) == 1
	return c, under, fits && on && !c.Secret.Empty(), err
}

// SSHKnown reports whether a user name goes with the key of a fingerprint, and its person has not switched ssh off.
func (k *SSHKeys) SSHKnown(ctx context.Context, user secret.Text, fingerprint string) (bool, error) {
	if user.Len() < sshUser {
		return false, nil
	}
	c, _, ok, err := k.look(ctx, user, fingerprint)
	c.Secret.Wipe()
	c.Handle.Key.Wipe()
	return ok, err
}

// SSHEnter returns the mytoken that lies under a user name and goes with a key. SSHLeave ends its use.
func (k *SSHKeys) SSHEnter(ctx context.Context, user secret.Text, fingerprint string) (SSHUse, error) {
	c, under, ok, err := k.look(ctx, user, fingerprint)
	u := SSHUse{Mytoken: c.Secret, handle: c.Handle}
	if err == nil && !ok {
		err = badToken("", ledger.ErrUnknown)
	}
	if err != nil {
		u.Wipe()
		return SSHUse{}, err
	}
	if err := k.used(ctx, under); err != nil {
		k.d.o.Log.WarnContext(ctx, "the last use of an ssh key is not written down", "err", err)
	}
	return u, nil
}

// used notes the time of a use.
func (k *SSHKeys) used(ctx context.Context, under sshUnder) error {
	now := k.d.now().UTC()
	of := func(e sshKey) bool { return e.MOMID == under.MOMID }
	keys, err := k.keys(ctx, under.User)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(keys, of); i < 0 || now.Sub(keys[i].LastUsed).Abs() < lastUsedEvery {
		return nil
	}
	return k.change(ctx, under.User, func(keys []sshKey) ([]sshKey, error) {
		if i := slices.IndexFunc(keys, of); i >= 0 && now.After(keys[i].LastUsed) {
			keys[i].LastUsed = now
		}
		return keys, nil
	})
}

// errNotNewer says that a newer mytoken lies under a user name already.
var errNotNewer = errors.New("a newer mytoken is kept")

// SSHLeave ends the use of a mytoken: update is what it was replaced by, empty where it was not. Of several at once the
// newest stays. It is seen through although the client went away.
func (k *SSHKeys) SSHLeave(ctx context.Context, u SSHUse, update secret.Text) error {
	if update.Empty() {
		return nil
	}
	c, err := mytoken.ReadClaims(update)
	if err != nil {
		return fmt.Errorf("keep the mytoken of an ssh key: %w", err)
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishFor)
	defer stop()
	err = k.d.o.Ledger.EditCode(ctx, u.handle, update, func(data []byte) ([]byte, error) {
		var under sshUnder
		if err := json.Unmarshal(data, &under); err != nil {
			return nil, ledger.ErrRecord
		}
		if under.SeqNo >= c.SeqNo {
			return nil, errNotNewer
		}
		under.SeqNo = c.SeqNo
		return json.Marshal(under)
	})
	if errors.Is(err, errNotNewer) || errors.Is(err, ledger.ErrUnknown) { // gone: the key was removed meanwhile
		return nil
	}
	return err
}

// keys are those on the list of a person.
func (k *SSHKeys) keys(ctx context.Context, user string) ([]sshKey, error) {
	raw, err := k.d.o.Ledger.Setting(ctx, user, settingKeys)
	if err != nil {
		return nil, err
	}
	return parseKeys(raw)
}

func parseKeys(raw json.RawMessage) ([]sshKey, error) {
	var keys []sshKey
	if raw == nil {
		return keys, nil
	}
	if err := json.Unmarshal(raw, &keys); err != nil {
		return nil, fmt.Errorf("read the ssh keys of a person: %w", ledger.ErrRecord)
	}
	return keys, nil
}

func (k *SSHKeys) change(ctx context.Context, user string, edit func([]sshKey) ([]sshKey, error)) error {
	return k.d.o.Ledger.ChangeSetting(ctx, user, settingKeys, func(raw json.RawMessage) (json.RawMessage, error) {
		keys, err := parseKeys(raw)
		if err != nil {
			return nil, err
		}
		if keys, err = edit(keys); err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return nil, nil
		}
		return json.Marshal(keys)
	})
}

// live are the keys whose mytoken can be used.
func (k *SSHKeys) live(ctx context.Context, user string) ([]sshKey, error) {
	keys, err := k.keys(ctx, user)
	if err != nil {
		return nil, err
	}
	gone, err := k.deadOf(ctx, keys)
	return slices.DeleteFunc(keys, func(e sshKey) bool { return slices.Contains(gone, e.MOMID) }), err
}

// dead are the mytokens of keys that have ended.
func (k *SSHKeys) dead(ctx context.Context, user string) ([]string, error) {
	keys, err := k.keys(ctx, user)
	if err != nil {
		return nil, err
	}
	return k.deadOf(ctx, keys)
}

func (k *SSHKeys) deadOf(ctx context.Context, keys []sshKey) (gone []string, err error) {
	for _, e := range keys {
		t, err := k.d.o.Ledger.Find(ctx, e.MOMID)
		if err != nil && !errors.Is(err, ledger.ErrUnknown) {
			return nil, err
		}
		if err != nil || t.Condition != ledger.Live {
			gone = append(gone, e.MOMID)
		}
	}
	return gone, nil
}

func rsaBits(key ssh.PublicKey) int {
	if c, ok := key.(ssh.CryptoPublicKey); ok {
		if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok {
			return r.N.BitLen()
		}
	}
	return 0
}
