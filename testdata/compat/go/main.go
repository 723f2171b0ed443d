// Command client makes every call of the original's Go library once and prints what came of it. Built and run by
// TestCompat. It is a module of its own, so that the library's dependencies do not become ours.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	agent "github.com/indigo-dc/liboidcagent-go"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "loaded" {
		names, err := agent.GetLoadedAccounts()
		show("GetLoadedAccounts", err, len(names))
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "big" {
		n, err := strconv.Atoi(os.Args[2])
		if err != nil {
			os.Exit(64)
		}
		at, err := agent.GetAccessToken(agent.TokenRequest{ShortName: "one", Audiences: []string{strings.Repeat("a", n)}})
		show("GetAccessToken", err, at)
		return
	}
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: client loaded | client big BYTES | client ACCOUNT ISSUER")
		os.Exit(64)
	}
	name, iss := os.Args[1], os.Args[2]
	for _, c := range []struct {
		what string
		req  agent.TokenRequest
	}{
		{"by name", agent.TokenRequest{ShortName: name, ApplicationHint: "client"}},
		{"by name, valid for a minute", agent.TokenRequest{ShortName: name, MinValidPeriod: 60}},
		{"by name, with scopes", agent.TokenRequest{ShortName: name, Scopes: []string{"openid", "profile"}}},
		{"by name, with audience", agent.TokenRequest{ShortName: name, Audiences: []string{"https://go.example.org"}}},
		{"by issuer", agent.TokenRequest{IssuerURL: iss}},
		{"by nothing", agent.TokenRequest{}},
	} {
		r, err := agent.GetTokenResponse(c.req)
		show("GetTokenResponse "+c.what, err, r.Token, r.Issuer, r.ExpiresAt.Unix() > 0)
	}
	at, err := agent.GetAccessToken(agent.TokenRequest{ShortName: name})
	show("GetAccessToken", err, at)
	mt, err := agent.GetMytoken(agent.MytokenRequest{ShortName: name})
	show("GetMytoken", err, mt)
	mr, err := agent.GetMytokenResponse(agent.MytokenRequest{ShortName: name, MytokenProfile: "web-default"})
	show("GetMytokenResponse", err, mr.Mytoken)
	loaded, err := agent.GetLoadedAccounts()
	slices.Sort(loaded)
	show("GetLoadedAccounts", err, loaded)
	configured, err := agent.GetConfiguredAccounts()
	slices.Sort(configured)
	show("GetConfiguredAccounts", err, configured)
	infos, err := agent.GetAccountInfos()
	show("GetAccountInfos", err, infos)
}

func show(call string, err error, values ...any) {
	if err != nil {
		kind := "error"
		if errors.As(err, new(agent.OIDCAgentError)) || errors.As(err, new(*agent.OIDCAgentError)) {
			kind = "the agent's error"
		}
		fmt.Printf("%s: %s: %v\n", call, kind, err)
		return
	}
	fmt.Print(call, ":")
	for _, v := range values {
		fmt.Printf(" %v", v)
	}
	fmt.Println()
}
