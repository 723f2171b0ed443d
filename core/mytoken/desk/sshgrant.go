package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Events of ssh keys.
const (
	eventKeysListed = "ssh_keys_listed"
	eventKeyAdded   = "ssh_key_added"
	eventKeyRemoved = "ssh_key_removed"
)

const (
	settingKeys = "ssh_keys"
	// purposeSSH is the purpose of a login that a key gets its mytoken by.
	purposeSSH = "ssh"
	// capSSH is the capability that is needed to change keys; rules.ReadOnly stands before it to see them.
	capSSH = rules.Grants + ":ssh"
	// sshUser is the length of user names: 138 bits, and not so short that the ledger would stretch them.
	sshUser = 24
	// maxKeys bounds the keys of a person.
	maxKeys = 64
	// minRSA is the least size of RSA keys, in bits.
	minRSA = 2048
)

// SSHKeys are the keys with which people get tokens over ssh. Each has a mytoken of its own, from a login, which opens
// with a user name that only the key's owner is told.
type SSHKeys struct {
	d    *Desk
	host string
	port int
}

// SSHKeys returns the keys of people, for an ssh server that clients reach at a host and port.
func (d *Desk) SSHKeys(host string, port int) *SSHKeys { return &SSHKeys{d: d, host: host, port: port} }

// sshKey is what is kept of a key.
type sshKey struct {
	Fingerprint string    `json:"fp"`
	Name        string    `json:"name,omitzero"`
	MOMID       string    `json:"mom_id"`
	Created     time.Time `json:"at"`
	LastUsed    time.Time `json:"used,omitzero"`
}

// sshPlan is what a login for a key is about.
type sshPlan struct {
	Fingerprint string `json:"fp"`
	Name        string `json:"name,omitzero"`
	User        string `json:"user"`
}

// List lists the keys of a person that can be used.
func (k *SSHKeys) List(ctx context.Context, c Caller) ([]mytoken.SSHKey, *Issued, error) {
	v, err := k.d.Enter(ctx, c, Need{Capability: rules.ReadOnly + capSSH})
	if err != nil {
		return nil, nil, err
	}
	defer v.Cancel(ctx)
	keys, err := k.live(ctx, v.User())
	if err != nil {
		return nil, nil, err
	}
	out := make([]mytoken.SSHKey, 0, len(keys))
	for _, e := range keys {
		out = append(out, mytoken.SSHKey{
			Name: e.Name, Fingerprint: e.Fingerprint, Created: e.Created, LastUsed: e.LastUsed,
		})
	}
	update, err := v.Done(ctx, eventKeysListed, "")
	return out, update, err
}

// Enabled reports whether the person of a mytoken has switched ssh on. Nothing is counted.
func (k *SSHKeys) Enabled(ctx context.Context, c Caller) (bool, error) {
	v, err := k.d.Enter(ctx, c, Need{Capability: rules.ReadOnly + capSSH, Free: true})
	if err != nil {
		return false, err
	}
	defer v.Cancel(ctx)
	return k.d.GrantEnabled(ctx, v.User(), mytoken.GrantSSH)
}

// Add begins the login by which a key gets its mytoken; Poll ends it.
func (k *SSHKeys) Add(ctx context.Context, c Caller, r mytoken.SSHKeyRequest) (Begun, *Issued, error) {
	fingerprint, err := fingerprintOf(r.Key)
	if err != nil {
		return Begun{}, nil, err
	}
	v, err := k.d.Enter(ctx, c, Need{Capability: capSSH})
	if err != nil {
		return Begun{}, nil, err
	}
	defer v.Cancel(ctx)
	if err := k.mayAdd(ctx, v.User(), fingerprint); err != nil {
		return Begun{}, nil, err
	}
	name := k.d.cut(strings.TrimSpace(r.Name))
	plan, err := json.Marshal(sshPlan{Fingerprint: fingerprint, Name: name, User: v.User()})
	if err != nil {
		return Begun{}, nil, fmt.Errorf("begin a login for an ssh key: %w", err)
	}
	request, err := sshRequest(r, v.Claims().OIDCIssuer, name, fingerprint).MarshalJSON()
	if err != nil {
		return Begun{}, nil, badRequest("restrictions or capabilities cannot be read", err)
	}
	b, err := k.d.BeginFor(ctx, request, Caller{Origin: c.Origin}, Purpose{Kind: purposeSSH, Data: plan})
	if err != nil {
		return Begun{}, nil, err
	}
	comment := "fingerprint: " + fingerprint
	v.Notice(ctx, Notice{Class: ClassSettings, Event: eventKeyAdded, Comment: comment})
	update, err := v.Done(ctx, eventKeyAdded, comment)
	if err != nil {
		b.PollingCode.Wipe()
		return Begun{}, nil, err
	}
	return b, update, nil
}

// sshRequest asks for the mytoken of a key. It is a JWT that nobody sees, so it has no form of its own.
func sshRequest(r mytoken.SSHKeyRequest, issuer, name, fingerprint string) mytoken.Request {
	out := mytoken.Request{
		Issuer: issuer, Name: "mytoken for ssh-grant: " + name, Capabilities: r.Capabilities, Restrictions: r.Restrictions,
		Application: "ssh key " + fingerprint,
	}
	if name == "" {
		out.Name = "mytoken for ssh-grant: " + fingerprint
	}
	if len(out.Capabilities) == 0 {
		out.Capabilities = mytoken.Capabilities{rules.AT}
	}
	return out
}

func (k *SSHKeys) mayAdd(ctx context.Context, user, fingerprint string) error {
	on, err := k.d.GrantEnabled(ctx, user, mytoken.GrantSSH)
	if err != nil {
		return err
	}
	if !on {
		return refuse(http.StatusForbidden, CodeDenied, "'ssh' grant type not enabled", nil)
	}
	keys, err := k.live(ctx, user)
	switch {
	case err != nil:
		return err
	case len(keys) >= maxKeys:
		return badRequest(fmt.Sprintf("there are %d ssh keys already", maxKeys), nil)
	case slices.ContainsFunc(keys, func(e sshKey) bool { return e.Fingerprint == fingerprint }):
		return keyKnown()
	}
	return nil
}

func keyKnown() *Error {
	return refuse(http.StatusConflict, CodeRequest, "the ssh key is known already", errKeyKnown)
}

var errKeyKnown = errors.New("the ssh key is known already")

// fingerprintOf reads a line of authorized_keys. Options on it would be obeyed by nobody, so they are refused.
func fingerprintOf(line string) (string, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil || len(options) > 0 || len(strings.TrimSpace(string(rest))) > 0 {
		return "", badRequest("could not parse ssh public key", err)
	}
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
	case ssh.KeyAlgoRSA:
		if n := rsaBits(key); n < minRSA {
			return "", badRequest(fmt.Sprintf("the RSA key has %d bits; %d are needed", n, minRSA), nil)
		}
	default:
		return "", badRequest("ssh keys of this type are not taken", nil)
	}
	return ssh.FingerprintSHA256(key), nil
}

// Poll asks whether the login for a key has ended, as Desk.Poll does, and returns how the key is used. Should the
// answer be lost, the same client gets another user name for a short time; both are good.
func (k *SSHKeys) Poll(ctx context.Context, code secret.Text, from Origin) (mytoken.SSHLogin, error) {
	l, err := k.d.FinishFor(ctx, code, purposeSSH, from)
	if err != nil {
		return mytoken.SSHLogin{}, err
	}
	defer l.JWT.Wipe()
	// The mytoken is there, and nobody has it but us.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), k.d.o.Limits.Work)
	defer stop()
	var plan sshPlan
	if err := json.Unmarshal(l.Purpose.Data, &plan); err != nil {
		return mytoken.SSHLogin{}, fmt.Errorf("read the login of an ssh key: %w", ledger.ErrRecord)
	}
	if plan.User != l.User {
		err = refuse(http.StatusForbidden, CodeDenied, "the login was one of somebody else than whose key it is", nil)
	} else {
		err = k.keep(ctx, plan, l.Claims)
	}
	var user secret.Text
	if err == nil {
		user, err = k.hand(ctx, plan, l)
	}
	if err != nil {
		k.d.discard(ctx, &minted{jwt: l.JWT, claims: l.Claims, user: l.User})
		return mytoken.SSHLogin{}, err
	}
	return mytoken.SSHLogin{User: user, Config: secret.FromString(k.entry(plan.Name, user.Expose()))}, nil
}

// keep puts a key on the list of its person.
func (k *SSHKeys) keep(ctx context.Context, plan sshPlan, c mytoken.Claims) error {
	gone, err := k.dead(ctx, plan.User)
	if err != nil {
		return err
	}
	e := sshKey{Fingerprint: plan.Fingerprint, Name: plan.Name, MOMID: c.MOMID(), Created: k.d.now().UTC()}
	err = k.change(ctx, plan.User, func(keys []sshKey) ([]sshKey, error) {
		keys = slices.DeleteFunc(keys, func(e sshKey) bool { return slices.Contains(gone, e.MOMID) })
		for _, old := range keys {
			switch {
			case old.Fingerprint != e.Fingerprint:
			case old.MOMID == e.MOMID:
				return keys, nil
			default:
				return nil, errKeyKnown
			}
		}
		return append(keys, e), nil
	})
	if errors.Is(err, errKeyKnown) {
		return keyKnown()
	}
	return err
}

// hand puts the mytoken under a user name.
func (k *SSHKeys) hand(ctx context.Context, plan sshPlan, l Login) (secret.Text, error) {
	data, err := json.Marshal(sshUnder{
		Version: orderVersion, Fingerprint: plan.Fingerprint, User: plan.User, MOMID: l.Claims.MOMID(), SeqNo: l.Claims.SeqNo,
	})
	if err != nil {
		return secret.Text{}, fmt.Errorf("keep the mytoken of an ssh key: %w", err)
	}
	c, err := k.d.o.Ledger.MakeCode(ctx, ledger.NewCode{
		Kind: ledger.SSHCode, Length: sshUser, Data: data, Secret: l.JWT, Owner: l.Claims.MOMID(),
	})
	c.Handle.Key.Wipe()
	if err != nil {
		return secret.Text{}, fmt.Errorf("keep the mytoken of an ssh key: %w", err)
	}
	return c.Text, nil
}

// entry is the text for ~/.ssh/config that goes with a key.
func (k *SSHKeys) entry(name, user string) string {
	host := "mytoken"
	if name = hostWord(name); name != "" {
		host += "-" + name
	}
	return fmt.Sprintf("# get tokens with: ssh %s AT\nHost %s\n    HostName %s\n    Port %d\n    User %s\n"+
		"    # the private key, where it is none of those that ssh tries by itself:\n    # IdentityFile ~/.ssh/id_ed25519\n",
		host, host, k.host, k.port, user)
}

// hostWord leaves what a name of a host may have.
func hostWord(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, name), "-.")
}

// Remove takes a key off the list and ends its mytoken, with all that was made from it: whoever has the key shall have
// nothing.
func (k *SSHKeys) Remove(ctx context.Context, c Caller, fingerprint string) (*Issued, error) {
	if fingerprint == "" {
		return nil, badRequest("neither 'ssh_key_fp' nor 'ssh_key' is given", nil)
	}
	v, err := k.d.Enter(ctx, c, Need{Capability: capSSH})
	if err != nil {
		return nil, err
	}
	defer v.Cancel(ctx)
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), revokeFor+finishFor)
	defer stop()
	var gone []string
	err = k.change(ctx, v.User(), func(keys []sshKey) ([]sshKey, error) {
		gone = nil
		return slices.DeleteFunc(keys, func(e sshKey) bool {
			if e.Fingerprint == fingerprint {
				gone = append(gone, e.MOMID)
				return true
			}
			return false
		}), nil
	})
	if err != nil {
		return nil, err
	}
	if len(gone) == 0 {
		return nil, refuse(http.StatusNotFound, CodeNotFound, "there is no such ssh key", nil)
	}
	comment := "fingerprint: " + fingerprint
	v.Notice(ctx, Notice{Class: ClassSettings, Event: eventKeyRemoved, Comment: comment})
	user, issuer := v.User(), v.Claims().OIDCIssuer
	update, err := v.Done(ctx, eventKeyRemoved, comment)
	if err != nil {
		return nil, err
	}
	for _, momID := range gone {
		if err := k.end(ctx, user, momID, issuer, c.Origin); err != nil {
			return update, err
		}
	}
	return update, nil
}

// end ends the mytoken of a key. None that opens its login is in hand.
func (k *SSHKeys) end(ctx context.Context, user, momID, issuer string, from Origin) error {
	done, err := k.d.o.Ledger.Revoke(ctx, momID, true, "ssh key removed")
	if err != nil {
		return endedAlready(err)
	}
	if !done.Already {
		k.d.noticeOf(ctx, user, momID, from)
	}
	return k.d.afterwards(ctx, done, issuer, momID)
}

// RemoveLine is Remove for a line of authorized_keys.
func (k *SSHKeys) RemoveLine(ctx context.Context, c Caller, line string) (*Issued, error) {
	fingerprint, err := fingerprintOf(line)
	if err != nil {
		return nil, err
	}
	return k.Remove(ctx, c, fingerprint)
}
