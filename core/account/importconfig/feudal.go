package importconfig

import (
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
)

// feudal is feudal_adapter.conf, feudal.conf or ldf_adapter.conf.
type feudal struct {
	backend           string
	primary, fallback string
	additional        []string
	approval          bool
	mail              oldMail
	assurance         oldAssurance
	pooled            bool
	poolPrefix        string
	poolDigits        int
	topOnly           bool
	groups            oldGroups
	login             []pair
	sshHost           string
	unix              oldUnix
	ldap              oldLDAP
	bwidm             oldBWIDM
	preferExisting    bool
}

type pair struct{ key, text string }

type oldMail struct {
	server         string
	port           int
	tls            bool
	from, admin    string
	password       secret.Text
	hasPassword    bool
	passwordPlaced value
}

type oldAssurance struct {
	prefix, require string
	skip            bool
	at              value
}

type oldGroups struct {
	listed, regex        bool
	mapping              []string
	entitlements, values []string
}

type oldUnix struct {
	shell, limited, restricted, home, hook, names string
	keys                                          bool
}

type oldLDAP struct {
	mode, host, user, userBase, groupBase, idAttribute, nameAttribute, shell, home, hook string
	port                                                                                 int
	tls                                                                                  bool
	password                                                                             secret.Text
	minUID, maxUID, minGID, maxGID                                                       int
}

type oldBWIDM struct {
	url, org, user, service, hook string
	password                      secret.Text
}

// skipPhrase is what switched assurance off on purpose.
const skipPhrase = "Yes, do as I say!"

func readFeudal(r *reader) feudal {
	s := r.file.section("ldf_adapter")
	f := feudal{
		backend: r.text(s, "backend", "local_unix"), primary: r.text(s, "primary_group", ""),
		fallback: r.text(s, "fallback_group", ""), additional: r.words(s, "additional_groups"),
		preferExisting: r.boolean(s, "backend_supports_preferring_existing_user", false),
	}
	if f.preferExisting {
		r.note(r.at(s, "backend_supports_preferring_existing_user"), "backend_supports_preferring_existing_user",
			"an account that is mapped to the identity always keeps its name; that is not a setting here")
	}
	if r.boolean(s, "interactive", false) {
		r.note(r.at(s, "interactive"), "interactive", "nobody is asked while an account is made; the first group is taken")
	}
	a := r.file.section("approval")
	f.approval = r.boolean(a, "enabled", false)
	for _, key := range []string{"user_db_location", "notifier"} {
		if v, ok := r.raw(a, key); ok && f.approval {
			r.note(v, "[approval] "+key, "requests that wait are part of the encrypted state, and told of by mail; those that "+
				"wait in the old database are not taken over")
		}
	}
	f.mail = readMail(r)
	f.assurance = readAssurance(r)
	n := r.file.section("username_generator")
	f.pooled = r.text(n, "mode", "friendly") != "friendly"
	f.poolPrefix, f.poolDigits = r.text(n, "pool_prefix", ""), r.number(n, "pool_digits", 3)
	f.topOnly = r.boolean(n, "strip_sub_groups", false)
	f.groups = readGroups(r)
	readLogin(r, &f)
	f.unix, f.ldap, f.bwidm = readUnix(r), readLDAP(r), readBWIDM(r)
	readRest(r)
	return f
}

func readMail(r *reader) oldMail {
	s := r.file.section("notifier.email")
	if s == nil {
		s = r.file.section("approval.email")
	}
	m := oldMail{
		server: r.text(s, "smtp_server", "localhost"), port: r.number(s, "smtp_port", 25), tls: r.boolean(s, "use_ssl", false),
		from: r.text(s, "sent_from", "admin@localhost"), admin: r.text(s, "admin_email", "admin@localhost"),
	}
	if v, ok := r.raw(s, "sent_from_password"); ok {
		m.password, m.hasPassword, m.passwordPlaced = secret.FromString(v.text), true, v
	}
	if v, ok := r.raw(s, "templates_dir"); ok {
		r.note(v, "templates_dir", "templates are read from there when approval.templates names the directory; the variables are "+
			"the same but for the commands (user_cmd, groups_cmd, memberships_cmd), which are empty: nothing is stored as a command")
	}
	if v, ok := r.raw(r.file.section("notifier.courier"), "api_key"); ok {
		r.note(v, "[notifier.courier] api_key", "there is mail alone")
	}
	return m
}

func readAssurance(r *reader) oldAssurance {
	s := r.file.section("assurance")
	a := oldAssurance{
		prefix: r.text(s, "prefix", "https://refeds.org/assurance/"), require: r.text(s, "require", "profile/cappuccino"),
		at: r.at(s, "require"),
	}
	if v, ok := r.raw(s, "skip"); ok {
		a.skip = v.text == skipPhrase || slices.Contains([]string{"true", "yes", "1", "on"}, strings.ToLower(v.text))
		if a.skip {
			a.at = v
		}
	}
	if v, ok := r.raw(s, "verified_undeploy"); ok {
		r.note(v, "verified_undeploy", "accounts are taken away by an administrator alone")
	}
	return a
}

func readGroups(r *reader) oldGroups {
	s := r.file.section("groups")
	return oldGroups{
		listed: r.text(s, "policy", "all") == "listed", regex: r.text(s, "method", "classic") == "regex",
		mapping: r.lines(s, "mapping"), entitlements: r.lines(s, "supported_entitlements"),
		values: r.lines(s, "supported_groups"),
	}
}

// readLogin reads what users are told: [login_info], or a section of the back end in older files.
func readLogin(r *reader, f *feudal) {
	names := []string{"login_info", "backend." + f.backend + ".login_info"}
	for _, s := range r.file.sections {
		if !slices.Contains(names, s.name) && !strings.HasSuffix(s.name, ".login_info") {
			continue
		}
		mine := slices.Contains(names, s.name)
		for _, key := range s.keys {
			v, ok := r.raw(s, key)
			switch {
			case !ok || !mine:
			case key == "ssh_host":
				f.sshHost = v.text
			default:
				f.login = append(f.login, pair{key, v.text})
			}
		}
	}
}

func readUnix(r *reader) oldUnix {
	s := r.file.section("backend.local_unix")
	u := oldUnix{
		shell: r.text(s, "shell", "/bin/sh"), limited: r.text(s, "shell_limited", ""), restricted: r.text(s, "shell_restricted", ""),
		home: r.text(s, "home_base", "/home"), hook: r.text(s, "post_create_script", ""),
		names: r.text(s, "shadow_compatibility_function", "default"), keys: r.boolean(s, "deploy_user_ssh_keys", true),
	}
	if r.boolean(s, "punch4nfdi", false) || u.names == "punch" {
		r.warn(r.at(s, "shadow_compatibility_function"), "punch4nfdi",
			"names of groups in the manner of PUNCH4NFDI are not made here; a table (groups.table) can give them")
		u.names = "default"
	}
	return u
}

func readLDAP(r *reader) oldLDAP {
	s := r.file.section("backend.ldap")
	l := oldLDAP{
		mode: r.text(s, "mode", "read_only"), host: r.text(s, "host", "localhost"), tls: r.boolean(s, "tls", false),
		user: r.text(s, "admin_user", ""), userBase: r.text(s, "user_base", "ou=users,dc=example"),
		groupBase: r.text(s, "group_base", "ou=groups,dc=example"), idAttribute: r.text(s, "attribute_oidc_uid", "gecos"),
		nameAttribute: r.text(s, "attribute_local_uid", "uid"), shell: r.text(s, "shell", "/bin/sh"),
		home: r.text(s, "home_base", "/home"), hook: r.text(s, "post_create_script", ""),
		minUID: r.number(s, "uid_min", 1000), maxUID: r.number(s, "uid_max", 60000),
		minGID: r.number(s, "gid_min", 1000), maxGID: r.number(s, "gid_max", 60000),
	}
	l.port = r.number(s, "port", map[bool]int{false: 1389, true: 636}[l.tls])
	if v, ok := r.raw(s, "admin_password"); ok {
		l.password = secret.FromString(v.text)
	}
	return l
}

// readBWIDM reads [backend.bwidm], and the sections that releases before 2022 had beside it.
func readBWIDM(r *reader) oldBWIDM {
	s, auth, service := r.file.section("backend.bwidm"), r.file.section("backend.bwidm.auth"), r.file.section("backend.bwidm.service")
	b := oldBWIDM{
		url: r.text(s, "url", ""), org: r.text(s, "org_id", "fdl"), hook: r.text(s, "post_create_script", ""),
		user: r.text(s, "http_user", r.text(auth, "http_user", "")),
	}
	b.service = r.text(s, "service_name", r.text(service, "name", "sshtest"))
	for _, from := range []*section{auth, s} {
		if v, ok := r.raw(from, "http_pass"); ok {
			b.password = secret.FromString(v.text)
		}
	}
	r.boolean(s, "log_outgoing_http_requests", false)
	return b
}

// readRest says what becomes of sections without an equal.
func readRest(r *reader) {
	for _, s := range r.file.sections {
		switch s.name {
		case "messages":
			for _, key := range s.keys {
				r.raw(s, key)
			}
			r.note(value{line: s.line}, "[messages]", "what is decided goes to the audit log, everything else to standard error")
		case "verbose-info-plugin":
			active := r.boolean(s, "active", false)
			r.raw(s, "filename")
			r.raw(s, "dirname")
			if active {
				r.warn(value{line: s.line}, "[verbose-info-plugin]", "claims of people are not written to files here")
			}
		}
	}
}
