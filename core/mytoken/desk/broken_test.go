package desk_test

import (
	"errors"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/secret"
)

// brokenMinter makes nothing.
type brokenMinter struct{}

func (brokenMinter) Issue(mint.Order) (secret.Text, mytoken.Claims, error) {
	return secret.Text{}, mytoken.Claims{}, errors.New("the key is broken")
}
