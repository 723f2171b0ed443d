package sshlogin

import "strings"

// Question is one of ssh's, as an askpass program gets it.
type Question struct {
	Prompt string
	Kind   string // SSH_ASKPASS_PROMPT: "" for a secret, "confirm", "none"
}

// Asks says which host asks for the secret of a login: ssh from release 8.5 on puts "(user@host) " in front of what
// the server says. named is false for a prompt without that. ok is false for every other question: for a passphrase of
// a key, for a yes about a host key, for a second factor.
func (q Question) Asks() (user, host string, named, ok bool) {
	if q.Kind != "" {
		return "", "", false, false
	}
	prompt := q.Prompt
	if inner, rest, cut := strings.Cut(strings.TrimPrefix(prompt, "("), ") "); cut && prompt[0] == '(' {
		if at := strings.LastIndexByte(inner, '@'); at > 0 && !strings.ContainsAny(inner, " \t\n()") {
			user, host, named, prompt = inner[:at], inner[at+1:], true, rest
		}
	}
	return user, host, named, asksForSecret(prompt)
}

// asksForSecret: the prompt of pam_oidc_token is "Access Token:", that of PAM "Password:". What a server says in front
// of it, a banner or a hint, stands on lines of its own.
func asksForSecret(prompt string) bool {
	prompt = strings.TrimRight(prompt, " \t\r\n")
	if nl := strings.LastIndexAny(prompt, "\r\n"); nl >= 0 {
		prompt = strings.TrimLeft(prompt[nl+1:], " \t")
	}
	return prompt == "Access Token:" || prompt == "Password:"
}

// Visible reports whether the answer may be seen while it is typed: a yes is no secret.
func (q Question) Visible() bool {
	return q.Kind == "confirm" || strings.Contains(q.Prompt, "(yes/no")
}
