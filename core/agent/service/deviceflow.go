package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// deviceObject is oidc_device on the socket.
type deviceObject struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code,omitempty"` // a mytoken server has none
	VerificationURI string `json:"verification_uri"`
	Complete        string `json:"verification_uri_complete,omitempty"`
	ExpiresIn       int64  `json:"expires_in"`
	Interval        int64  `json:"interval"`
}

// deviceFlow begins a device flow. The client shows the code, waits, and asks with "device".
func (s *Service) deviceFlow(ctx context.Context, st setup) (proto.Reply, error) {
	if st.md.DeviceAuthorizationEndpoint == "" && !st.cfg.DeviceEndpointSetByUser {
		return proto.Reply{}, fail(proto.TextNoDeviceFlow, "")
	}
	st, err := st.kept()
	if err != nil {
		return proto.Reply{}, err
	}
	cl, err := s.clientAt(ctx, st.cfg, st.md, words(st.cfg.Audience))
	if err != nil {
		return proto.Reply{}, err
	}
	dev, err := cl.StartDevice(ctx, st.request())
	if err != nil {
		return proto.Reply{}, err
	}
	now := s.opts.Now()
	until := dev.Expires
	if until.IsZero() || until.After(now.Add(waitingLife)) {
		until = now.Add(waitingLife)
	}
	s.pending.put(&waiter{key: deviceKey(dev.Code), setup: st, expires: until, device: dev, client: cl})
	text, err := deviceText(dev, until.Sub(now))
	return proto.Reply{Status: proto.StatusAccepted, Device: text}, err
}

// deviceKey names a device code without keeping it.
func deviceKey(code secret.Text) string { return "device " + code.ID() }

func deviceText(dev flow.Device, left time.Duration) (secret.Text, error) {
	b, err := json.Marshal(deviceObject{
		DeviceCode: dev.Code.Expose(), UserCode: dev.UserCode, VerificationURI: dev.URI,
		Complete: dev.URIComplete, ExpiresIn: int64(left / time.Second),
		Interval: int64(dev.Interval / time.Second),
	})
	if err != nil {
		return secret.Text{}, fmt.Errorf("encode the device code: %w", err)
	}
	return secret.New(b), nil
}

// readDevice takes the object apart; the caller wipes the code.
func readDevice(t secret.Text) (o deviceObject, code secret.Text, err error) {
	err = t.Use(func(b []byte) error { return json.Unmarshal(b, &o) })
	code, o.DeviceCode = secret.FromString(o.DeviceCode), ""
	if err != nil || code.Empty() {
		return deviceObject{}, secret.Text{}, badRequest("oidc_device is not usable")
	}
	return o, code, nil
}

// device asks the provider once whether the person has approved.
func (s *Service) device(ctx context.Context, r proto.Request) (proto.Reply, error) {
	_, code, err := readDevice(r.Device)
	if err != nil {
		return proto.Reply{}, err
	}
	defer code.Wipe()
	w, ok := s.pending.get(deviceKey(code))
	if !ok {
		return proto.Reply{}, fail(proto.TextWrongDeviceCode, "No login waits for this code; it may have waited too long.")
	}
	return s.pollDevice(ctx, w)
}

func (s *Service) pollDevice(ctx context.Context, w *waiter) (proto.Reply, error) {
	if w.consent != nil {
		return s.pollConsent(ctx, w)
	}
	if !w.begin() {
		return proto.Reply{}, fail(proto.TextPending, "")
	}
	toks, err := w.client.PollDevice(ctx, w.device)
	switch {
	case errors.Is(err, flow.ErrSlowDown):
		w.again()
		return proto.Reply{}, fail(proto.TextSlowDown, "")
	case errors.Is(err, flow.ErrIDToken): // the code is used up, even where only the keys were out of reach
	case errors.Is(err, flow.ErrAuthorizationPending), err != nil && flow.Temporary(err):
		w.again()
		return proto.Reply{}, fail(proto.TextPending, "")
	}
	s.pending.remove(w.key)
	if err != nil {
		toks.Wipe()
		return proto.Reply{}, err
	}
	out, err := s.conclude(ctx, w.setup, toks)
	if err != nil {
		return proto.Reply{}, err
	}
	return s.outcomeReply(out)
}
