package importconfig

import (
	"slices"
	"strings"
)

// motley is motley_cue.conf.
type motley struct {
	docs                        bool
	otp                         bool
	privacyContact, privacyFile string
	ops                         []op
}

// op is one section [authorisation.NAME].
type op struct {
	name, url string
	scopes    []string
	audience  []string

	all    bool
	users  []string
	vos    []string
	claim  string
	match  string
	admins []string
	anyOP  bool // its admins may act on users of all providers

	tiers tiers
}

// tiers are the expressions that choose a shell.
type tiers struct {
	prefix                    string
	claims                    []string
	full, limited, restricted string
	otherwise, most           string
}

func (t tiers) on() bool { return t.full != "" || t.limited != "" || t.restricted != "" }

// authorisationSection begins the name of every section about a provider.
const authorisationSection = "authorisation."

func readMotley(r *reader) motley {
	mapper, otp, privacy := r.file.section("mapper"), r.file.section("mapper.otp"), r.file.section("privacy")
	m := motley{
		docs: r.boolean(mapper, "enable_docs", false), otp: r.boolean(otp, "use_otp", true),
		privacyContact: r.text(privacy, "privacy_contact", ""),
		privacyFile:    r.text(privacy, "privacy_file", ""),
	}
	readMapper(r, mapper, otp)
	for _, s := range r.file.sections {
		name, ok := strings.CutPrefix(s.name, authorisationSection)
		if !ok {
			continue
		}
		o := readOP(r, s, name)
		if o.url == "" {
			r.warn(value{line: s.line}, "["+s.name+"]", "has no op_url and was left out, as before")
			continue
		}
		if i := slices.IndexFunc(m.ops, func(other op) bool { return canonical(other.url) == canonical(o.url) }); i >= 0 {
			r.warn(value{line: s.line}, "["+s.name+"]", "is about the same provider as [%s%s]: the later one counts, as before",
				authorisationSection, m.ops[i].name)
			m.ops = slices.Delete(m.ops, i, i+1)
		}
		m.ops = append(m.ops, o)
	}
	return m
}

// readMapper says what becomes of the settings of the old service itself.
func readMapper(r *reader, mapper, otp *section) {
	for key, text := range map[string]string{
		"log_level": "the log has one level; -v says more", "log_file": "logs go to standard error, for systemd to keep",
		"docs_url": "there is /openapi.json alone", "redoc_url": "there is /openapi.json alone",
		"api_version": "the interface is served below /, /api and /api/v1",
	} {
		if v, ok := r.raw(mapper, key); ok {
			r.note(v, "[mapper] "+key, "%s", text)
		}
	}
	for _, key := range []string{"backend", "db_location", "keyfile"} {
		if v, ok := r.raw(otp, key); ok {
			r.note(v, "[mapper.otp] "+key, "one-time passwords are part of the encrypted state")
		}
	}
}

func readOP(r *reader, s *section, name string) op {
	return op{
		name: name, url: r.text(s, "op_url", ""),
		scopes: r.brackets(s, "scopes", false), audience: r.brackets(s, "audience", true),
		all: r.boolean(s, "authorise_all", false), users: r.brackets(s, "authorised_users", false),
		vos: r.brackets(s, "authorised_vos", false), claim: r.text(s, "vo_claim", "eduperson_entitlement"),
		match: r.text(s, "vo_match", "one"), admins: r.brackets(s, "authorised_admins", false),
		anyOP: r.boolean(s, "authorise_admins_for_all_ops", false), tiers: readTiers(r, s),
	}
}

// readTiers reads what chooses a shell: in [DEFAULT] and the sections, or in [assurance] as releases of early 2026 had it.
func readTiers(r *reader, s *section) tiers {
	const long = "assurance_based_shell_"
	t := tiers{
		prefix: r.text(s, "assurance_prefix", ""), claims: r.brackets(s, "assurance_claims", true),
		full: r.text(s, long+"tier_full", ""), limited: r.text(s, long+"tier_limited", ""),
		restricted: r.text(s, long+"tier_restricted", ""), otherwise: r.text(s, long+"default_tier", ""),
		most: r.text(s, long+"max_tier", r.text(s, "max_tier", "")),
	}
	if old := r.file.section("assurance"); old != nil && !t.on() {
		t.full, t.limited = r.text(old, "tier_full", ""), r.text(old, "tier_limited", "")
		t.restricted, t.otherwise = r.text(old, "tier_restricted", ""), r.text(old, "default_tier", "")
		t.prefix = r.text(old, "assurance_prefix", t.prefix)
		if claims := r.brackets(old, "assurance_claims", true); claims != nil {
			t.claims = claims
		}
	}
	return t
}

// canonical is how the old service compares URLs of providers.
func canonical(url string) string {
	url = strings.ToLower(url)
	if _, rest, ok := strings.Cut(url, "://"); ok {
		url = rest
	}
	return strings.TrimSuffix(strings.TrimPrefix(url, "www."), "/")
}
