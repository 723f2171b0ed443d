package pam

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// finding is one thing that was looked at.
type finding struct {
	About  string `json:"about"`  // sshd, stack, helper, socket, accounts, test
	Result string `json:"result"` // ok, note or bad
	Text   string `json:"text"`
	Hint   string `json:"hint,omitempty"`
}

const (
	fine    = "ok"
	notable = "note"
	bad     = "bad"
)

// isHelper reports whether a rule calls us, by pam_exec or by the module.
func isHelper(r rule) bool {
	switch r.module {
	case "pam_oidcbox", "pam_oidc_token":
		return true
	case "pam_exec":
		path, _ := execCommand(r)
		return strings.HasPrefix(filepath.Base(path), "oidcbox")
	}
	return false
}

// execCommand is what pam_exec runs: its own options come first.
func execCommand(r rule) (path string, args []string) {
	for i, a := range r.args {
		switch {
		case slices.Contains([]string{"debug", "expose_authtok", "seteuid", "quiet", "quiet_log", "stdout"}, a):
		case strings.HasPrefix(a, "log="), strings.HasPrefix(a, "type="):
		default:
			return a, r.args[i+1:]
		}
	}
	return "", nil
}

// neutral are modules that say nothing about who somebody is.
func neutral(module string) bool {
	return slices.Contains([]string{
		"pam_cap", "pam_echo", "pam_env", "pam_faildelay", "pam_group", "pam_keyinit", "pam_limits", "pam_loginuid",
		"pam_mail", "pam_mkhomedir", "pam_motd", "pam_namespace", "pam_nologin", "pam_selinux", "pam_sepermit",
		"pam_shells", "pam_systemd", "pam_systemd_home", "pam_umask", "pam_warn", "pam_debug",
	}, module)
}

// secondFactor are modules that ask for something besides.
func secondFactor(module string) bool {
	return slices.Contains([]string{
		"pam_oath", "pam_google_authenticator", "pam_u2f", "pam_yubico", "pam_duo", "pam_privacyidea", "pam_radius_auth",
	}, module)
}

// scenario says what the modules of a stack return in it.
type scenario struct{ helper, second, others, deny string }

func (s scenario) returned(r rule) string {
	switch {
	case isHelper(r):
		return s.helper
	case r.module == "pam_permit":
		return retSuccess
	case r.module == "pam_deny":
		return s.deny
	case neutral(r.module), r.module == "pam_exec":
		return retIgnore
	case secondFactor(r.module):
		return s.second
	}
	return s.others
}

// helperIn finds the first rule that calls us, in substacks too.
func helperIn(rules []rule) (rule, bool) {
	for _, r := range rules {
		if isHelper(r) {
			return r, true
		}
		if found, ok := helperIn(r.sub); ok {
			return found, true
		}
	}
	return rule{}, false
}

// examineAuth goes through the auth stack as a login would.
func examineAuth(rules []rule) []finding {
	const about = "stack"
	h, ok := helperIn(rules)
	if !ok {
		return []finding{{about, bad, "no auth line calls oidcbox-pam", "oidcbox pam config --install puts it there"}}
	}
	all := []finding{{about, fine, fmt.Sprintf("%s: auth line with %s", h, h.module), ""}}
	if h.module == "pam_exec" && !slices.Contains(h.args, "expose_authtok") {
		all = append(all, finding{about, bad, h.String() + ": without expose_authtok no secret reaches the helper", ""})
	}
	say := func(broken bool, text, hint, good string) {
		if broken {
			all = append(all, finding{about, bad, text, hint})
			return
		}
		all = append(all, finding{about, fine, good, ""})
	}
	token := scenario{helper: retSuccess, second: retSuccess, others: retAuthErr, deny: retAuthErr}
	say(dispatch(rules, token.returned) != retSuccess,
		"a good one-time password does not get through: modules beside the helper refuse it",
		"let the helper stand in front of them as sufficient", "a good one-time password gets through")
	wrong := scenario{helper: retDenied, second: retAuthErr, others: retAuthErr, deny: retAuthErr}
	say(dispatch(rules, wrong.returned) == retSuccess,
		"ANYBODY gets in: the stack succeeds although every module refuses", "", "a wrong secret does not get through")
	cred := scenario{helper: retIgnore, second: retSuccess, others: retSuccess, deny: retCredErr}
	if h.module != "pam_exec" {
		cred.helper = retSuccess
	}
	say(dispatch(rules, cred.returned) != retSuccess,
		"sshd ends the session after a good login (Failure setting user credentials): pam_exec has no opinion then, and no "+
			"other module says yes",
		"add a line 'auth required pam_permit.so' behind the helper, and let no pam_deny come first",
		"credentials can be set after a login")
	return all
}

// examineAccount asks whether a suspended user stays out, and everybody else gets in.
func examineAccount(rules []rule) []finding {
	const about = "stack"
	_, has := helperIn(rules)
	suspended := scenario{helper: retDenied, second: retSuccess, others: retSuccess, deny: retDenied}
	expired := scenario{helper: retSuccess, second: retSuccess, others: retExpired, deny: retDenied}
	usual := scenario{helper: retSuccess, second: retSuccess, others: retSuccess, deny: retDenied}
	asked := has && dispatch(rules, suspended.returned) != retSuccess
	unix := dispatch(rules, expired.returned) != retSuccess
	var all []finding
	switch {
	case asked:
		all = append(all, finding{about, fine, "the account phase keeps suspended users out", ""})
	case unix:
		all = append(all, finding{
			about, notable, "the account phase knows suspended users by the expiry of their account alone",
			"add a line 'account required pam_exec.so quiet /path/to/oidcbox-pam'",
		})
	default:
		all = append(all, finding{
			about, bad, "suspended users get in by key: no account line keeps them out",
			"add 'account required pam_unix.so' and the account line of oidcbox-pam",
		})
	}
	if dispatch(rules, usual.returned) != retSuccess {
		all = append(all, finding{about, bad, "nobody gets through the account phase", ""})
	}
	return all
}
