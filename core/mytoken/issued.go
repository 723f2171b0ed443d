package mytoken

import (
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Issued is a mytoken, or what stands for one, as a server hands it out.
type Issued struct {
	Kind         string      // one of the Kind constants
	Token        secret.Text // empty with KindTransferCode
	TransferCode secret.Text
	MOMID        string    // names the mytoken in lists and management calls
	Expires      time.Time // of the mytoken or of the transfer code; zero: never
	Capabilities Capabilities
	Restrictions Restrictions
	Rotation     *Rotation
	// Update is what the mytoken that was used is from now on, nil where it did not change. It has to be saved before
	// anything is done with it. It may be set although an error is returned beside it.
	Update *Issued
	// JSON is the answer without Update, secrets included.
	JSON secret.Text
}

// Wipe clears the secrets.
func (i Issued) Wipe() {
	i.Token.Wipe()
	i.TransferCode.Wipe()
	i.JSON.Wipe()
	i.Update.forget()
}

func (i *Issued) forget() {
	if i != nil {
		i.Wipe()
	}
}

// issued reads the answer to a request for a mytoken.
func (c *Client) issued(op string, a answer, salvaged secret.Text, err error) (Issued, error) {
	if err != nil {
		return Issued{Update: updateOf(salvaged)}, err
	}
	update := readUpdate(a)
	i, err := readIssued(a.Object, a.asked)
	i.Update = update
	if err != nil {
		return Issued{Update: update}, c.bad(op, err)
	}
	return i, nil
}

// updateOf is an Update of which only the token is known.
func updateOf(t secret.Text) *Issued {
	if t.Empty() {
		return nil
	}
	return &Issued{Kind: KindToken, Token: t}
}

// readUpdate takes the token_update out of an answer. It is lenient: nothing in it must cost the token.
func readUpdate(a answer) *Issued {
	o, ok, err := a.Object.Object("token_update")
	if !ok || err != nil {
		return nil
	}
	i, err := readIssued(o.WithoutNull(), a.asked)
	if err != nil {
		t, _ := o.String("mytoken")
		return updateOf(secret.FromString(t))
	}
	return &i
}

func readIssued(o jose.Object, asked time.Time) (i Issued, err error) {
	for _, m := range []struct {
		name string
		to   *secret.Text
	}{{"mytoken", &i.Token}, {"transfer_code", &i.TransferCode}} {
		s, err := o.String(m.name)
		if err != nil {
			return i, err
		}
		if s != "" {
			*m.to = secret.FromString(s)
		}
	}
	if i.Kind, err = o.String("mytoken_type"); err != nil {
		return i, err
	}
	switch {
	case !i.TransferCode.Empty() && i.Token.Empty():
		i.Kind = KindTransferCode
	case i.Token.Empty():
		return i, fmt.Errorf("%w: no mytoken in it", ErrAnswer)
	default:
		if err := usable(i.Token); err != nil {
			return i, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
	}
	if n, ok, _ := o.Int("expires_in"); ok && n > 0 {
		i.Expires = asked.Add(secondsOf(n))
	}
	if c, err := ReadClaims(i.Token); err == nil && !c.Expires.IsZero() {
		i.Expires = c.Expires // to the second
	}
	i.readLimits(o)
	b, err := o.Without("token_update").MarshalJSON()
	i.JSON = secret.New(b)
	return i, err
}

// readLimits is lenient: what is said about a mytoken must not cost it.
func (i *Issued) readLimits(o jose.Object) {
	i.MOMID, _ = o.String("mom_id")
	if raw, ok := o.Raw("capabilities"); ok {
		_ = i.Capabilities.UnmarshalJSON([]byte(raw))
	}
	if raw, ok := o.Raw("restrictions"); ok {
		_ = i.Restrictions.UnmarshalJSON([]byte(raw))
	}
	if raw, ok := o.Raw("rotation"); ok {
		if r := new(Rotation); r.UnmarshalJSON([]byte(raw)) == nil {
			i.Rotation = r
		}
	}
}
