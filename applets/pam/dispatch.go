package pam

import "strconv"

// What modules return, in the words of pam.conf(5).
const (
	retSuccess = "success"
	retIgnore  = "ignore"
	retAuthErr = "auth_err"
	retCredErr = "cred_err"
	retDenied  = "perm_denied"
	retExpired = "acct_expired"
	retUnknown = "must_fail" // what a stack gives in which nobody had an opinion
)

// verdict is the state of a stack that is being gone through.
type verdict struct {
	decided, failed bool
	status          string
}

// dispatch goes through a stack as Linux-PAM does and returns what the application is told: each module returns what
// returned says of it.
func dispatch(rules []rule, returned func(rule) string) string {
	v := verdict{status: retUnknown}
	v.run(rules, returned)
	if !v.decided || v.status == "" {
		return retUnknown
	}
	return v.status
}

// run goes through one level; what ends a substack ends no more than that.
func (v *verdict) run(rules []rule, returned func(rule) string) {
	before := *v
	for i := 0; i < len(rules); i++ {
		r := rules[i]
		if r.sub != nil {
			v.run(r.sub, returned)
			continue
		}
		ret := returned(r)
		action := r.control.action(ret)
		switch action {
		case "ok", "done":
			v.agree(ret)
			if action == "done" && v.decided && !v.failed {
				return
			}
		case "bad", "die":
			v.refuse(ret)
			if action == "die" {
				return
			}
		case "reset":
			*v = before
		case "ignore":
		default:
			skip, _ := strconv.Atoi(action)
			i += skip
		}
	}
}

// agree is Linux-PAM's "ok": the first opinion counts, and success gives way to any other.
func (v *verdict) agree(ret string) {
	if ret == retIgnore || v.decided && v.status != retSuccess {
		return
	}
	v.decided, v.status = true, ret
}

// refuse is "bad": the first failure counts.
func (v *verdict) refuse(ret string) {
	if v.failed {
		return
	}
	if ret == retIgnore || ret == retSuccess {
		ret = retUnknown
	}
	v.decided, v.failed, v.status = true, true, ret
}
