package applets

import (
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
)

// compatLines is a day with oidc-agent. "~" is a blank inside a word.
func compatLines() []compatLine {
	var all []compatLine
	for _, part := range [][]compatLine{startLines(), genLines(), tokenLines(), addLines(), troubleLines(), endLines()} {
		all = append(all, part...)
	}
	return all
}

// plainLines are those that need nobody.
func plainLines(lines ...string) []compatLine {
	var out []compatLine
	for _, l := range lines {
		out = append(out, compatLine{line: l})
	}
	return out
}

func startLines() []compatLine {
	return plainLines(
		"oidc-agent --no-autoreauthenticate",
		"oidc-agent --status",
		"oidc-agent --bogus",
		"oidc-add -l",
		"oidc-add -a",
		"oidc-gen -l",
		"oidc-token nobody",
		"oidc-token",
		"oidc-token --bogus one",
	)
}

const genQuietly = " --prompt=none --no-url-call --confirm-default --pw-file=DIR/pw"

func genLines() []compatLine {
	return plainLines(
		"oidc-gen one --iss=ISSUER/ --scope=openid~profile~offline_access~storage.read:/ -w code"+genQuietly,
		"oidc-gen two -m --iss=ISSUER/ --client-id=web --client-secret=web-secret -w device"+
			" --redirect-uri=http://localhost:8080"+
			" --dae=ISSUER/device_authorization --scope=openid~offline_access"+genQuietly,
		"oidc-gen three -m --iss=ISSUER/ --client-id=web --client-secret=web-secret --redirect-uri=http://localhost:4242"+
			" --rt-env=RT --scope=openid~profile~offline_access~storage.read:/"+genQuietly,
		"oidc-gen four -m --iss=ISSUER/ --client-id=web --client-secret=wrong --redirect-uri=http://localhost:4242"+
			" --rt-env=RT --scope=openid~offline_access"+genQuietly,
		"oidc-gen five -m --iss=http://127.0.0.1:9/ --client-id=web --client-secret=web-secret --rt-env=RT"+
			" --redirect-uri=http://localhost:4242 --scope=openid"+genQuietly,
		"oidc-gen six --prompt=none --pw-file=DIR/pw",
		"oidc-gen -l",
		"oidc-gen -p three --pw-file=DIR/badpw",
		"oidc-gen -p nobody --pw-file=DIR/pw",
		"oidc-gen -u three"+genQuietly,
		"oidc-gen two --reauthenticate -w device"+genQuietly,
		"oidc-add -l",
		"oidc-add -a",
	)
}

func tokenLines() []compatLine {
	return plainLines(
		"oidc-token one",
		"oidc-token one",
		"oidc-token -f one",
		"oidc-token -t 60 one",
		"oidc-token -t 999999 one",
		"oidc-token --scope=openid one",
		"oidc-token --scope=profile one",
		"oidc-token --scope=profile one",
		"oidc-token -s storage.read:/a -s profile one",
		"oidc-token -s storage.create:/ one",
		"oidc-token --aud=https://se.example.org one",
		"oidc-token --aud=https://se.example.org -s storage.read:/x one",
		"oidc-token -i one",
		"oidc-token -e one",
		"oidc-token -c one",
		"oidc-token -a one",
		"oidc-token -oAT -iISS one",
		"oidc-token --name=rucio two",
		"oidc-token ISSUER/",
		"oidc-token https://nowhere.example.org",
		"c-client one ISSUER/",
		"c-client nobody https://nowhere.example.org/",
		"go-client one ISSUER/",
		"go-client nobody https://nowhere.example.org/",
	)
}

func addLines() []compatLine {
	lock := []string{"password", "open sesame", "onfirm", "open sesame"}
	lines := plainLines(
		"oidc-add -r two",
		"oidc-add -r two",
		"oidc-add -a",
		"oidc-add --pw-file=DIR/pw two",
		"oidc-add --pw-env=PW -t 3600 two",
		"oidc-add --pw-cmd=cat~DIR/pw one",
		"oidc-add --pw-file=DIR/pw nobody",
		"oidc-add -p --pw-file=DIR/badpw two",
		"oidc-agent --status",
	)
	lines = append(lines,
		compatLine{line: "oidc-add -x", typed: lock},
		compatLine{line: "oidc-token one"},
		compatLine{line: "oidc-add -a"},
		compatLine{line: "c-client one ISSUER/"},
		compatLine{line: "go-client one ISSUER/"},
		compatLine{line: "oidc-add -X", typed: []string{"password", "wrong"}},
		compatLine{line: "oidc-add -X", typed: []string{"password", "open sesame"}},
		compatLine{line: "oidc-add -X", typed: []string{"password", "open sesame"}},
	)
	return append(lines, plainLines(
		"oidc-token -t 1 one",
		"oidc-gen three --rename=drei"+genQuietly,
		"oidc-gen -l",
		"oidc-add -R",
		"oidc-add -a",
		"oidc-add --pw-file=DIR/pw two",
	)...)
}

// troubleLines are those where the provider is not as it should be.
func troubleLines() []compatLine {
	fault := func(f issuer.Fault) func(w *compatWorld) {
		return func(w *compatWorld) { w.op.Fault(f) }
	}
	revoked := func(w *compatWorld) {
		w.op.ClearFaults()
		w.op.Fault(issuer.Fault{
			Path: "/token", Status: http.StatusBadRequest, Times: 1,
			Body: `{"error":"invalid_grant","error_description":"the login has ended"}`,
		})
	}
	return []compatLine{
		{line: "oidc-token -f two"},
		{line: "oidc-token -f two", before: fault(issuer.Fault{
			Path: "/token", Status: http.StatusInternalServerError, Times: 1,
		})},
		{line: "oidc-token -f two", before: fault(issuer.Fault{
			Path: "/token", Status: http.StatusServiceUnavailable, Body: `{"error":"temporarily_unavailable"}`,
		}), quiet: true},
		{line: "oidc-token -f two", before: fault(issuer.Fault{Path: "/token", Delay: 100 * time.Millisecond}), quiet: true},
		{line: "oidc-token -f two", before: revoked},
		{line: "oidc-token one", before: func(w *compatWorld) { w.op.ClearFaults() }}, // not loaded, and nobody to ask
		{line: "oidc-gen two -d --pw-file=DIR/pw --confirm-yes --prompt=none"},
		{line: "oidc-gen -l"},
		{line: "oidc-token -f drei", before: func(w *compatWorld) { w.op.Stop() }, quiet: true},
	}
}

func endLines() []compatLine {
	lines := []compatLine{{line: "oidc-agent -k"}, {line: "oidc-agent --status", before: (*compatWorld).agentGone}}
	return append(lines, plainLines(
		"oidc-token one",
		"oidc-add -a",
		"c-client one ISSUER/",
		"go-client one ISSUER/",
		"oidc-agent -k",
	)...)
}
