package desk

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Issued is a mytoken, or what stands for one, as it is answered with.
type Issued struct {
	Kind         string      // mytoken.KindToken, KindShortToken or KindTransferCode
	Token        secret.Text // empty with a transfer code
	TransferCode secret.Text
	MOMID        string
	// Expires is the end of the mytoken, or of the transfer code; zero: never. Now is when it is answered with.
	Expires, Now time.Time
	Capabilities mytoken.Capabilities
	Restrictions mytoken.Restrictions
	Rotation     *mytoken.Rotation
	// Update is what the mytoken that was used is from now on, nil where it did not change.
	Update *Issued
}

// ExpiresIn is the number of seconds left, 0 for what does not expire. It is never 0 for what does.
func (i *Issued) ExpiresIn() int64 {
	if i.Expires.IsZero() {
		return 0
	}
	return max(1, i.Expires.Unix()-i.Now.Unix())
}

// wire is the object of the API, in its order.
type wire struct {
	Mytoken      string               `json:"mytoken,omitzero"`
	Kind         string               `json:"mytoken_type"`
	TransferCode string               `json:"transfer_code,omitzero"`
	ExpiresIn    int64                `json:"expires_in,omitzero"`
	Restrictions mytoken.Restrictions `json:"restrictions,omitempty"`
	Capabilities mytoken.Capabilities `json:"capabilities,omitempty"`
	Rotation     *mytoken.Rotation    `json:"rotation,omitempty"`
	MOMID        string               `json:"mom_id"`
	Update       *Issued              `json:"token_update,omitempty"`
}

// MarshalJSON writes the mytoken response object, secrets included: it is what goes to the client.
func (i *Issued) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(wire{
		Mytoken: i.Token.Expose(), Kind: i.Kind, TransferCode: i.TransferCode.Expose(), ExpiresIn: i.ExpiresIn(),
		Restrictions: i.Restrictions, Capabilities: i.Capabilities, Rotation: i.Rotation, MOMID: i.MOMID, Update: i.Update,
	})
	if err != nil {
		return nil, fmt.Errorf("write a mytoken response: %w", err)
	}
	return b, nil
}

// Wipe clears the secrets; there may be no Issued at all.
func (i *Issued) Wipe() {
	if i == nil {
		return
	}
	i.Token.Wipe()
	i.TransferCode.Wipe()
	i.Update.Wipe()
}
