package login

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sorted"
)

const (
	issuerFile = "issuer.config"

	// maxFiles bounds how many files of issuer.config.d are read, maxIssuerURL the length of an issuer.
	maxFiles     = 500
	maxIssuerURL = 2048
)

// Issuer is what the files of issuers say about one of them. It suggests; an account's own configuration wins.
type Issuer struct {
	URL            string
	Name           string   // for people; may be empty
	Accounts       []string // short names
	DefaultAccount string   // for requests by issuer; the first of Accounts where the files name none

	PubClient  *Client // public client of the project
	UserClient *Client // registered by the person, goes before dynamic registration

	ConfigEndpoint string
	DeviceEndpoint string
	CertPath       string
	Register       string // page where clients are registered by hand
	Contact        string

	StorePassword  bool // keep the encryption password in the agent
	OAuth2         bool
	LegacyAudience bool // send "audience" instead of RFC 8707 "resource"

	// AudienceStyle is how the provider wants to hear for whom a token is meant, one of the Audience constants, or ""
	// when that is not known. An entry with legacy_aud_mode and no style of its own has AudienceJoined.
	AudienceStyle string
}

// Values of Issuer.AudienceStyle. AudienceFixed is a prefix: the rest is the one audience that the provider knows.
const (
	AudienceResource = "resource"          // RFC 8707, one parameter for each value
	AudienceParam    = "audience"          // the parameter audience, in the form the provider's kind takes
	AudienceJoined   = "audience-joined"   // one parameter audience, blanks between the values
	AudienceRepeated = "audience-repeated" // one parameter audience for each value
	AudienceNone     = "none"              // the provider has no way
	AudienceFixed    = "fixed:"
)

// Client is a client registration that a file suggests.
type Client struct {
	ID           string
	Secret       secret.Text
	Scope        string
	Flows        []string
	RedirectURIs []string
}

// SameIssuer compares issuers as oidc-agent does, ignoring one slash at the end. It is for finding entries in files
// that people write; the issuer of a token is compared byte for byte.
func SameIssuer(a, b string) bool {
	return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/")
}

// LoadIssuers reads issuer.config and issuer.config.d of each directory, the person's first, "" for none. Where files
// speak of one issuer, the earlier goes before the later, member by member. The result is sorted by the number of
// accounts, most first. Files and entries that cannot be read are left out and named in the error, which wraps
// ErrIssuers; what could be read is returned beside it.
func LoadIssuers(dirs ...string) ([]Issuer, error) {
	var (
		entries []issuerEntry
		faults  []error
	)
	for i, dir := range dirs {
		list, err := issuersIn(dir, i > 0)
		entries, faults = append(entries, list...), append(faults, err)
	}
	list, err := merge(entries)
	if err := errors.Join(append(faults, err)...); err != nil {
		return list, fmt.Errorf("%w: %w", ErrIssuers, err)
	}
	return list, nil
}

// issuersIn reads the files of one directory, in their order. There is nothing in "".
func issuersIn(dir string, system bool) ([]issuerEntry, error) {
	if dir == "" {
		return nil, nil
	}
	var (
		all    []issuerEntry
		faults []error
	)
	drop := filepath.Join(dir, issuerFile+".d")
	names, err := newestFirst(drop)
	if err != nil {
		faults = append(faults, err)
	}
	for _, path := range slices.Insert(names, 0, filepath.Join(dir, issuerFile)) {
		b, err := readPlain(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var list []issuerEntry
		if err == nil {
			list, err = parseIssuers(b, system)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
		}
		all = append(all, list...)
	}
	return all, errors.Join(faults...)
}

// newestFirst lists the files of a directory by the time of their last change: the person's latest word counts.
func newestFirst(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var infos []fs.FileInfo
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || strings.HasSuffix(e.Name(), "~") {
			continue
		}
		if info, err := e.Info(); err == nil && len(infos) < maxFiles {
			infos = append(infos, info)
		}
	}
	sorted.By(infos, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	var paths []string
	for _, i := range infos {
		paths = append(paths, filepath.Join(dir, i.Name()))
	}
	return paths, nil
}

// readPlain reads a file that holds no secrets of an account; links are followed.
func readPlain(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, ErrUnsafe
	case info.Size() > MaxFile:
		return nil, ErrTooLarge
	}
	return os.ReadFile(path)
}

// issuerEntry is what one file says about one issuer, as a JSON object.
type issuerEntry struct {
	issuer  string
	members json.RawMessage
}

// parseIssuers reads one file in either format. In the old one the words after an issuer mean a short name in a
// person's file, and where to register or whom to ask in the system's.
func parseIssuers(b []byte, system bool) ([]issuerEntry, error) {
	text := withoutComments(string(b))
	if text == "" {
		return nil, nil
	}
	switch text[0] {
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return nil, errors.New("broken JSON")
		}
		return issuerObjects(list)
	case '{':
		return issuerObjects([]json.RawMessage{json.RawMessage(text)})
	default:
		return issuerLines(text, system)
	}
}

// withoutComments drops the lines that begin with #: files in JSON have some too. The lines that stay keep their number.
func withoutComments(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			lines[i] = ""
		}
	}
	joined := strings.Join(lines, "\n")
	if first := strings.TrimSpace(joined); first == "" || first[0] == '[' || first[0] == '{' {
		return first
	}
	return joined
}

func issuerObjects(list []json.RawMessage) ([]issuerEntry, error) {
	var (
		entries []issuerEntry
		faults  []error
	)
	for i, raw := range list {
		var name struct {
			Issuer    string `json:"issuer"`
			IssuerURL string `json:"issuer_url"`
		}
		err := json.Unmarshal(raw, &name)
		iss := cmp.Or(name.Issuer, name.IssuerURL)
		if err != nil || !plausible(iss) {
			faults = append(faults, fmt.Errorf("entry %d names no issuer", i+1))
			continue
		}
		entries = append(entries, issuerEntry{iss, raw})
	}
	return entries, errors.Join(faults...)
}

// oldEntry is what lines of the old format say about one issuer.
type oldEntry struct {
	Issuer   string   `json:"issuer"`
	Accounts []string `json:"accounts,omitempty"`
	Register string   `json:"register,omitempty"`
	Contact  string   `json:"contact,omitempty"`
}

func (e *oldEntry) add(word string, system bool) {
	switch {
	case !system && CheckName(word) == nil && !slices.Contains(e.Accounts, word):
		e.Accounts = append(e.Accounts, word)
	case system && e.Register == "" && strings.Contains(word, "://"):
		e.Register = word
	case system && e.Contact == "":
		e.Contact = word
	}
}

func issuerLines(text string, system bool) ([]issuerEntry, error) {
	var (
		old    []*oldEntry
		faults []error
	)
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if !plausible(words[0]) {
			faults = append(faults, fmt.Errorf("line %d names no issuer", i+1))
			continue
		}
		// A person's file has a line for each account.
		at := slices.IndexFunc(old, func(o *oldEntry) bool { return SameIssuer(o.Issuer, words[0]) })
		if at < 0 {
			at, old = len(old), append(old, &oldEntry{Issuer: words[0]})
		}
		for _, w := range words[1:] {
			old[at].add(w, system)
		}
	}
	var entries []issuerEntry
	for _, o := range old {
		raw, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		entries = append(entries, issuerEntry{o.Issuer, raw})
	}
	return entries, errors.Join(faults...)
}

func orNull(b json.RawMessage) json.RawMessage {
	if b == nil {
		return json.RawMessage("null")
	}
	return b
}

func plausible(issuer string) bool {
	if len(issuer) > maxIssuerURL {
		return false
	}
	u, err := url.Parse(issuer)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

// merge joins entries of one issuer, the earlier over the later.
func merge(entries []issuerEntry) ([]Issuer, error) {
	merged := map[string]json.RawMessage{}
	var order []string
	for _, e := range slices.Backward(entries) {
		key := strings.TrimSuffix(e.issuer, "/")
		if _, ok := merged[key]; !ok {
			merged[key] = json.RawMessage("{}")
			order = append(order, key)
		}
		merged[key] = patch(merged[key], e.members, 0)
	}
	slices.Reverse(order)
	var (
		list   []Issuer
		faults []error
	)
	for _, key := range order {
		i, err := readIssuer(merged[key])
		if err != nil {
			faults = append(faults, fmt.Errorf("issuer %s: %w", cutText(key, 100), err))
			continue
		}
		list = append(list, i)
	}
	sorted.By(list, func(a, b Issuer) int { return len(b.Accounts) - len(a.Accounts) })
	return list, errors.Join(faults...)
}

// maxPatch bounds the depth to which objects are merged; no known member has more than two.
const maxPatch = 8

// patch is JSON merge patch (RFC 7396): the members of top go over those of base, null removes.
func patch(base, top json.RawMessage, depth int) json.RawMessage {
	var over map[string]json.RawMessage
	if depth > maxPatch || json.Unmarshal(top, &over) != nil || over == nil {
		return top
	}
	under := map[string]json.RawMessage{}
	if json.Unmarshal(base, &under) != nil || under == nil {
		under = map[string]json.RawMessage{}
	}
	for name, v := range over {
		if string(v) == "null" {
			delete(under, name)
			continue
		}
		under[name] = patch(orNull(under[name]), v, depth+1)
	}
	out, err := json.Marshal(under)
	if err != nil {
		return top
	}
	return out
}
