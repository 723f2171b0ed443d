package desk

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/profiles"
	"github.com/oidcbox/oidcbox/core/sorted"
)

// Bounds of what one group keeps of one kind: it is one record.
const (
	maxTemplates     = 100
	maxTemplateBytes = 48 << 10
	maxTemplate      = 8 << 10
	lookupFor        = 5 * time.Second
)

// Templates are the profiles and templates that groups keep on the server, in front of those every server has. Methods
// that change something are for who has shown to be of the group.
type Templates struct {
	ledger *ledger.Ledger
	now    func() time.Time
	log    *slog.Logger
}

// NewTemplates returns the templates that are kept in a ledger. now and log may be nil.
func NewTemplates(l *ledger.Ledger, now func() time.Time, log *slog.Logger) *Templates {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Templates{ledger: l, now: now, log: log}
}

// Lookup finds what a request names, for Options.Templates.
func (t *Templates) Lookup(kind string, name profiles.Name) ([]byte, bool, error) {
	ctx, stop := context.WithTimeout(context.Background(), lookupFor)
	defer stop()
	kept, err := t.kept(ctx, name.Group, kind)
	if err != nil {
		return nil, false, err
	}
	if i := slices.IndexFunc(kept, func(k mytoken.Template) bool { return k.Name == name.Name }); i >= 0 {
		return kept[i].Payload, true, nil
	}
	return profiles.LookupShipped(kind, name)
}

// templateKinds are the kinds there are.
func templateKinds() []string {
	return []string{mytoken.Profiles, mytoken.CapabilityTemplates, mytoken.RestrictionTemplates, mytoken.RotationTemplates}
}

// TemplateKind reports whether there is such a kind of template.
func TemplateKind(kind string) bool { return slices.Contains(templateKinds(), kind) }

func settingTemplates(group, kind string) string { return "templates " + kind + " " + group }

func (t *Templates) kept(ctx context.Context, group, kind string) ([]mytoken.Template, error) {
	raw, err := t.ledger.Shared(ctx, settingTemplates(group, kind))
	if err != nil {
		return nil, err
	}
	return parseTemplates(raw)
}

func parseTemplates(raw json.RawMessage) (all []mytoken.Template, err error) {
	if raw == nil {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("read templates: %w", ledger.ErrRecord)
	}
	return all, nil
}

// List returns the templates of a kind in a group, as they are now: expanded, with times counted from now. One that
// names what is not there any more is left out. An unknown group has none.
func (t *Templates) List(ctx context.Context, group, kind string) ([]mytoken.Template, error) {
	kept, err := t.kept(ctx, group, kind)
	if err != nil {
		return nil, err
	}
	if group == mytoken.DefaultGroup {
		for _, s := range profiles.ShippedOf(kind) {
			if !slices.ContainsFunc(kept, func(k mytoken.Template) bool { return k.Name == s.Name }) {
				kept = append(kept, mytoken.Template{
					ID: shippedID(kind, s.Name), Name: s.Name, Payload: json.RawMessage(s.Payload),
				})
			}
		}
	}
	out := make([]mytoken.Template, 0, len(kept))
	for _, k := range kept {
		payload, err := profiles.Payload(kind, k.Payload, t.Lookup, t.now())
		if err != nil {
			t.log.WarnContext(ctx, "a template cannot be expanded", "group", group, "kind", kind, "err", err)
			continue
		}
		k.Payload = payload
		out = append(out, k)
	}
	sorted.By(out, func(a, b mytoken.Template) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Add keeps a new template, and returns it.
func (t *Templates) Add(ctx context.Context, group, kind string, n mytoken.Template) (mytoken.Template, error) {
	n.ID = uuidOf(randomBytes())
	return n, t.change(ctx, group, kind, n, func(all []mytoken.Template) ([]mytoken.Template, error) {
		if slices.ContainsFunc(all, func(k mytoken.Template) bool { return k.Name == n.Name }) {
			return nil, refuse(http.StatusConflict, CodeRequest, "there is a template of that name already", nil)
		}
		return append(all, n), nil
	})
}

// Replace changes a template, which is named by its id; what is empty stays. One that every server has can be replaced
// in the default group.
func (t *Templates) Replace(ctx context.Context, group, kind string, n mytoken.Template) (mytoken.Template, error) {
	old, err := t.find(ctx, group, kind, n.ID)
	if err != nil {
		return n, err
	}
	if n.Name == "" {
		n.Name = old.Name
	}
	if len(n.Payload) == 0 {
		n.Payload = old.Payload
	}
	return n, t.change(ctx, group, kind, n, func(all []mytoken.Template) ([]mytoken.Template, error) {
		if slices.ContainsFunc(all, func(k mytoken.Template) bool { return k.Name == n.Name && k.ID != n.ID }) {
			return nil, refuse(http.StatusConflict, CodeRequest, "there is a template of that name already", nil)
		}
		i := slices.IndexFunc(all, func(k mytoken.Template) bool { return k.ID == n.ID })
		if i < 0 {
			return append(all, n), nil
		}
		all[i] = n
		return all, nil
	})
}

func noTemplate() *Error {
	return refuse(http.StatusNotFound, CodeNotFound, "there is no such template", nil)
}

func (t *Templates) find(ctx context.Context, group, kind, id string) (mytoken.Template, error) {
	kept, err := t.kept(ctx, group, kind)
	if err != nil {
		return mytoken.Template{}, err
	}
	if i := slices.IndexFunc(kept, func(k mytoken.Template) bool { return k.ID == id }); i >= 0 {
		return kept[i], nil
	}
	if group == mytoken.DefaultGroup {
		for _, s := range profiles.ShippedOf(kind) {
			if shippedID(kind, s.Name) == id {
				return mytoken.Template{ID: id, Name: s.Name, Payload: json.RawMessage(s.Payload)}, nil
			}
		}
	}
	return mytoken.Template{}, noTemplate()
}

// Remove deletes a template by its id. One that every server has comes back where it was replaced, and stays else.
func (t *Templates) Remove(ctx context.Context, group, kind, id string) error {
	return t.edit(ctx, group, kind, func(all []mytoken.Template) ([]mytoken.Template, error) {
		n := len(all)
		all = slices.DeleteFunc(all, func(k mytoken.Template) bool { return k.ID == id })
		if len(all) == n {
			return nil, noTemplate()
		}
		return all, nil
	})
}

// change checks a template and stores it.
func (t *Templates) change(
	ctx context.Context, group, kind string, n mytoken.Template,
	put func([]mytoken.Template) ([]mytoken.Template, error),
) error {
	if err := t.check(kind, n); err != nil {
		return err
	}
	return t.edit(ctx, group, kind, put)
}

func (t *Templates) check(kind string, n mytoken.Template) error {
	switch {
	case !profiles.Valid(n.Name):
		return badRequest("this cannot be the name of a template", profiles.ErrName)
	case len(n.Payload) == 0:
		return badRequest("required parameter 'payload' is missing", nil)
	case len(n.Payload) > maxTemplate:
		return badRequest("the payload is too large", nil)
	}
	if err := profiles.CheckTemplate(kind, n.Payload, t.Lookup, t.now()); err != nil {
		return badRequest(cutTo(err.Error(), maxReasons), err)
	}
	return nil
}

func (t *Templates) edit(
	ctx context.Context, group, kind string, put func([]mytoken.Template) ([]mytoken.Template, error),
) error {
	return t.ledger.ChangeShared(ctx, settingTemplates(group, kind), func(raw json.RawMessage) (json.RawMessage, error) {
		all, err := parseTemplates(raw)
		if err != nil {
			return nil, err
		}
		if all, err = put(all); err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, nil
		}
		out, err := json.Marshal(all)
		if err == nil && (len(all) > maxTemplates || len(out) > maxTemplateBytes) {
			err = badRequest("the group has too many templates of this kind", errors.New("record is full"))
		}
		return out, err
	})
}

// shippedID is the id of a template that every server has: the same everywhere.
func shippedID(kind, name string) string {
	sum := sha256.Sum256([]byte("oidcbox mytoken template " + kind + "/" + name))
	return uuidOf([16]byte(sum[:16]))
}

func randomBytes() (b [16]byte) {
	rand.Read(b[:])
	return b
}

// uuidOf writes bytes as a UUID of version 8, RFC 9562 section 5.8.
func uuidOf(b [16]byte) string {
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
