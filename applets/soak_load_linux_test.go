package applets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
)

// actors are the clients, each at a modest rate of its own.
func (s *soak) actors() []func(ctx context.Context, n int) {
	return []func(context.Context, int){
		s.cached, s.cached, s.cached, s.cached, s.forced, s.forced, s.scoped, s.silent, s.silent, s.silent,
		s.curious, s.guests, s.passersBy, s.locker,
	}
}

func (s *soak) cached(ctx context.Context, n int) {
	for pause(ctx, 40*time.Millisecond) {
		at, begin := s.now(), time.Now()
		err := s.token(n%2 == 0, proto.Request{Account: s.anyLogin()}, "cached tokens")
		if took := time.Since(begin); err == nil && s.calmSince(at) {
			s.mu.Lock()
			s.took = append(s.took, took)
			s.mu.Unlock()
		}
	}
}

func (s *soak) forced(ctx context.Context, n int) {
	for pause(ctx, 400*time.Millisecond) {
		_ = s.token(n%2 == 0, proto.Request{Account: s.anyLogin(), MinValid: proto.ForceNew}, "forced refreshes")
	}
}

// scoped asks for more different tokens than a cache should keep.
func (s *soak) scoped(ctx context.Context, n int) {
	for i := 0; pause(ctx, 300*time.Millisecond); i++ {
		req := proto.Request{
			Account: s.anyLogin(), Scope: fmt.Sprintf("storage.read:/d%d", i%500),
			Audience: fmt.Sprintf("https://se%d.example", i%7),
		}
		_ = s.token(n%2 == 0, req, "tokens of own scope and audience")
	}
}

func (s *soak) anyLogin() string { return s.logins[rand.IntN(len(s.logins))] }

// token asks for one and judges the answer: what fails while the provider is well and the agent unlocked is a fault of
// ours, and so is a login that has ended for good.
func (s *soak) token(plain bool, req proto.Request, kind string) error {
	req.Type = proto.TypeAccessToken
	at := s.now()
	err := s.call(plain, req)
	if !needsLogin(err) {
		s.judge(at, err, kind)
		return err
	}
	s.count("said that the login has ended: " + firstWords(err))
	for range 10 {
		if s.logInAgain(req.Account) {
			return err
		}
		time.Sleep(time.Second) // the provider is down, or says no once more
	}
	s.t.Errorf("login %s has ended: %v", req.Account, err)
	return err
}

// judge counts what became of a request that began at a moment.
func (s *soak) judge(at moment, err error, kind string) {
	switch {
	case err == nil:
		s.count(kind)
	case strings.Contains(strings.ToLower(err.Error()), strings.ToLower(proto.TextLocked)) && s.lockedSince(at):
		s.count("refused by the locked agent")
	case s.calmSince(at):
		s.t.Errorf("%s, with a provider that is well: %v", kind, err)
	default:
		s.count("failed with the provider: " + firstWords(err))
	}
}

func firstWords(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// silent connects and says nothing, or half of something, for a while.
func (s *soak) silent(ctx context.Context, _ int) {
	beginnings := []string{"", "x", "{", `{"request":"access_tok`, "pOCSkrZRwni5dyxWn1+puxPZBrRqtoyd+dwrRAn4"}
	for pause(ctx, 50*time.Millisecond) {
		c, err := net.Dial("unix", s.h.socket())
		if err != nil {
			s.t.Errorf("connect: %v", err)
			return
		}
		_, _ = io.WriteString(c, beginnings[rand.IntN(len(beginnings))])
		pause(ctx, time.Duration(rand.IntN(5000))*time.Millisecond)
		c.Close()
		s.count("silent clients")
	}
}

// curious asks what costs nothing.
func (s *soak) curious(ctx context.Context, n int) {
	kinds := []string{proto.TypeLoadedAccounts, proto.TypeStatus, proto.TypeStatusJSON, proto.TypeAccountInfo}
	for i := 0; pause(ctx, 100*time.Millisecond); i++ {
		at := s.now()
		s.judge(at, s.call(i%2 == 0, proto.Request{Type: kinds[i%len(kinds)]}), "questions about the agent")
		if s.call(n%2 == 0, proto.Request{Type: "nonsense"}) == nil {
			s.t.Error("nonsense was answered with success")
		}
	}
}

// guests loads and unloads a login of the keystore.
func (s *soak) guests(ctx context.Context, _ int) {
	for pause(ctx, 700*time.Millisecond) {
		at := s.now()
		var err error
		if o := s.h.run("add", "guest"); o.code != 0 {
			err = errors.New(o.errOut)
		}
		s.judge(at, err, "logins loaded and unloaded")
		_ = s.call(false, proto.Request{Type: proto.TypeRemove, Account: "guest"})
	}
}

// passersBy adds a login over the protocol, as the original's oidc-add does, and removes it.
func (s *soak) passersBy(ctx context.Context, n int) {
	for pause(ctx, 500*time.Millisecond) {
		at := s.now()
		s.judge(at, s.call(n%2 == 0, proto.Request{Type: proto.TypeAdd, Config: s.config}), "logins added")
		at = s.now()
		err := s.call(n%2 == 1, proto.Request{Type: proto.TypeRemove, Account: "passing"})
		s.judge(at, err, "logins removed")
	}
}

// locker locks the agent, makes sure that it is, and unlocks it.
func (s *soak) locker(ctx context.Context, n int) {
	for wait := 100 * time.Millisecond; pause(ctx, wait); wait = time.Duration(10+rand.IntN(20)) * time.Second {
		s.epoch.Add(1)
		ask := func(kind, password, account string) error {
			return s.call(n%2 == 0, proto.Request{Type: kind, Password: secret.FromString(password), Account: account})
		}
		if err := ask(proto.TypeLock, "opensesame", ""); err != nil {
			s.t.Errorf("lock: %v", err)
		}
		if ask(proto.TypeAccessToken, "", s.anyLogin()) == nil {
			s.t.Error("a locked agent gave a token")
		}
		if ask(proto.TypeUnlock, "opensesam", "") == nil {
			s.t.Error("a wrong password unlocked the agent")
		}
		if err := ask(proto.TypeUnlock, "opensesame", ""); err != nil {
			s.t.Errorf("unlock: %v", err)
		}
		s.count("locked and unlocked")
		s.epoch.Add(1)
	}
}

// misfortunes lets the provider be ill and well in turn, until the time is up. A long run has minutes of forty seconds
// of illness, a short one a single illness.
func (s *soak) misfortunes(ctx context.Context, length time.Duration) {
	ill, recovery, well := 40*time.Second, 25*time.Second, 20*time.Second
	if length < time.Minute {
		ill, recovery, well = length/3, length/4, length/4
	}
	for ctx.Err() == nil {
		s.setCalm(false)
		for end := time.Now().Add(ill); time.Now().Before(end) && ctx.Err() == nil; {
			s.misfortune(ctx, length)
			pause(ctx, min(ill/8, 4*time.Second))
		}
		s.op.ClearFaults()
		if !pause(ctx, recovery) { // answers that were lost are sought for so long
			break
		}
		s.setCalm(true)
		pause(ctx, well)
	}
}

// misfortune is one of those that befall providers.
func (s *soak) misfortune(ctx context.Context, length time.Duration) {
	invalidGrant := `{"error":"invalid_grant","error_description":"of a node that has not heard of it"}`
	faults := map[string]issuer.Fault{
		"503":                           {Status: http.StatusServiceUnavailable, Times: 4},
		"503 with Retry-After":          {Status: http.StatusServiceUnavailable, RetryAfter: time.Second, Times: 3},
		"502 after the work was done":   {Status: http.StatusBadGateway, Body: "<html>gateway</html>", After: true, Times: 2},
		"429":                           {Status: http.StatusTooManyRequests, RetryAfter: time.Second, Times: 3},
		"500 and no JSON":               {Status: http.StatusInternalServerError, Body: "oops", Times: 2},
		"200 and no JSON":               {Status: http.StatusOK, Body: "<html>welcome</html>", Times: 1},
		"invalid_grant without cause":   {Status: http.StatusBadRequest, Body: invalidGrant, Times: 1},
		"answer lost":                   {Drop: true, Times: 2},
		"slow":                          {Delay: 800 * time.Millisecond, Times: 4},
		"slow, and the answer lost":     {Delay: 800 * time.Millisecond, Drop: true, Times: 1},
		"no answer within the time out": {Delay: 11 * time.Second, Times: 1},
	}
	names := make([]string, 0, len(faults)+2)
	for name := range faults {
		if length >= time.Minute || faults[name].Delay < 10*time.Second {
			names = append(names, name)
		}
	}
	names = append(names, "restart", "down, then restart")
	name := names[rand.IntN(len(names))]
	s.count("fault: " + name)
	switch name {
	case "down, then restart":
		s.op.Stop()
		pause(ctx, min(length/20, 3*time.Second))
		s.op.Restart(true)
	case "restart":
		s.op.Restart(true)
	default:
		f := faults[name]
		f.Path = "/token"
		s.op.Fault(f)
	}
}
