package httpapi

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
)

// TestDevice logs in without a browser that comes back: our own client, and the members that RFC 8628 names.
func TestDevice(t *testing.T) {
	b := start(t, func(o *desk.Options, _ *Options) { o.Features.Device = true })
	c, ctx := b.client(), t.Context()
	w, err := c.Start(ctx, mytoken.Request{Issuer: provIssuer, Name: "headless", Device: true})
	must(t, err)
	if w.UserCode != "ABCD-EFGH" || w.URI != provIssuer+"/device" {
		t.Fatalf("%+v", w)
	}
	if _, err := c.Poll(ctx, w); !errors.Is(err, mytoken.ErrPending) {
		t.Fatalf("before the person has typed the code: %v", err)
	}
	b.op.approved.Store(true)
	if _, err := c.Poll(ctx, w); !errors.Is(err, mytoken.ErrPending) {
		t.Fatalf("the provider was asked twice in an interval: %v", err)
	}
	b.clock.move(w.Interval + time.Second)
	got, err := c.Poll(ctx, w)
	must(t, err)
	if at, err := c.AccessToken(ctx, got.Token, mytoken.AccessRequest{}); err != nil || at.Token.Empty() {
		t.Error(err)
	}
}

func TestDeviceOff(t *testing.T) {
	b := start(t, func(o *desk.Options, _ *Options) { o.Features.Device = false })
	_, err := b.client().Start(t.Context(), mytoken.Request{Issuer: provIssuer, Device: true})
	var no *mytoken.Error
	if !errors.As(err, &no) || no.Status != http.StatusBadRequest || no.Code != desk.CodeGrant {
		t.Errorf("%v", err)
	}
}
