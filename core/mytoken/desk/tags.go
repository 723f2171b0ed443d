package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/sorted"
)

// Events of tags.
const (
	eventTagsListed   = "tags_listed"
	eventTagCreated   = "tag_created"
	eventTagUpdated   = "tag_updated"
	eventTagDeleted   = "tag_deleted"
	eventTagged       = "tag_added_to_token"
	eventTaggedOther  = "tag_added_to_other_token"
	eventUntagged     = "tag_removed_from_token"
	eventUntaggedElse = "tag_removed_from_other_token"
)

// Bounds of the tags of one person: all of them are one record.
const (
	settingTags  = "tags"
	maxTags      = 100
	maxTagLen    = 64 // characters
	maxTagsBytes = 48 << 10
	defaultColor = "#6c757d"
)

// tagRecord is what a person has marked mytokens with. A tag has a number, so that its name can change.
type tagRecord struct {
	Next int                 `json:"next,omitzero"`
	Tags map[string]tagEntry `json:"tags,omitempty"` // by number
	// On says which mytokens have which tags, and whether those made from them have them, too. A mytoken is named by the
	// beginning of its mom_id: 96 bits, among those of one person.
	On map[string]map[string]bool `json:"on,omitempty"`
}

type tagEntry struct {
	Name  string `json:"n"`
	Color string `json:"c"`
}

// MarkedTag is a tag on a mytoken.
type MarkedTag struct {
	mytoken.Tag
	IncludeChildren bool
}

const tagKeyLen = 16

func tagKey(momID string) string { return momID[:min(len(momID), tagKeyLen)] }

// on returns the tags of a mytoken, its own and those of the ones it was made from, by name.
func (r tagRecord) on(t ledger.Token) []MarkedTag {
	found := make(map[string]bool)
	for _, id := range t.Path {
		for n, children := range r.On[tagKey(id)] {
			if children {
				found[n] = true
			}
		}
	}
	maps.Copy(found, r.On[tagKey(t.MOMID)])
	var out []MarkedTag
	for n, children := range found {
		if e, ok := r.Tags[n]; ok {
			out = append(out, MarkedTag{mytoken.Tag{Name: e.Name, Color: e.Color}, children})
		}
	}
	sorted.By(out, func(a, b MarkedTag) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (r tagRecord) number(name string) (string, bool) {
	for n, e := range r.Tags {
		if e.Name == name {
			return n, true
		}
	}
	return "", false
}

// put makes a tag, or gives one that there is the color; "" leaves it.
func (r *tagRecord) put(name, color string) (string, error) {
	if n, ok := r.number(name); ok {
		if color != "" {
			r.Tags[n] = tagEntry{name, color}
		}
		return n, nil
	}
	if len(r.Tags) >= maxTags {
		return "", badRequest(fmt.Sprintf("there are %d tags already", maxTags), nil)
	}
	if color == "" {
		color = defaultColor
	}
	if r.Tags == nil {
		r.Tags = make(map[string]tagEntry)
	}
	r.Next++
	n := strconv.Itoa(r.Next)
	r.Tags[n] = tagEntry{name, color}
	return n, nil
}

func (r *tagRecord) drop(n string) {
	delete(r.Tags, n)
	for id, tags := range r.On {
		if delete(tags, n); len(tags) == 0 {
			delete(r.On, id)
		}
	}
}

func (r *tagRecord) mark(momID, n string, children bool) {
	if r.On == nil {
		r.On = make(map[string]map[string]bool)
	}
	id := tagKey(momID)
	if r.On[id] == nil {
		r.On[id] = make(map[string]bool)
	}
	r.On[id][n] = children
}

func (r *tagRecord) unmark(momID, n string) {
	id := tagKey(momID)
	if delete(r.On[id], n); len(r.On[id]) == 0 {
		delete(r.On, id)
	}
}

// keep forgets marks on mytokens that are not kept any more.
func (r *tagRecord) keep(all []ledger.Token) {
	kept := make(map[string]bool, len(all))
	for _, t := range all {
		kept[tagKey(t.MOMID)] = true
	}
	maps.DeleteFunc(r.On, func(id string, _ map[string]bool) bool { return !kept[id] })
}

func noTag() *Error { return refuse(http.StatusNotFound, CodeNotFound, "there is no such tag", nil) }

// checkTag refuses what cannot be shown as a tag, or be a part of a path.
func checkTag(name, color string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar || r == '/' }
	if name == "" || len([]rune(name)) > maxTagLen || strings.ContainsFunc(name, bad) || strings.TrimSpace(name) != name ||
		name == "." || name == ".." {
		return badRequest("a tag has 1 to "+strconv.Itoa(maxTagLen)+" printable characters", nil)
	}
	if color != "" && !isColor(color) {
		return badRequest("a color is #rgb, #rrggbb or a name of letters", nil)
	}
	return nil
}

func isColor(s string) bool {
	hex, ok := strings.CutPrefix(s, "#")
	if ok {
		_, err := strconv.ParseUint(hex, 16, 32)
		return err == nil && (len(hex) == 3 || len(hex) == 6)
	}
	return len(s) <= 24 && !strings.ContainsFunc(s, func(r rune) bool { return r < 'a' || r > 'z' })
}

func (d *Desk) readTags(ctx context.Context, user string) (tagRecord, error) {
	raw, err := d.o.Ledger.Setting(ctx, user, settingTags)
	if err != nil {
		return tagRecord{}, err
	}
	return parseTags(raw)
}

// TagNames returns what tells the tags of each mytoken of a person, for what is subscribed by tag. Who asks has been let
// in before, or is the server itself.
func (d *Desk) TagNames(ctx context.Context, user string) (func(ledger.Token) []string, error) {
	r, err := d.readTags(ctx, user)
	if err != nil {
		return nil, err
	}
	return func(t ledger.Token) (names []string) {
		for _, m := range r.on(t) {
			names = append(names, m.Name)
		}
		return names
	}, nil
}

func parseTags(raw json.RawMessage) (r tagRecord, err error) {
	if raw == nil {
		return r, nil
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("read the tags of a person: %w", ledger.ErrRecord)
	}
	return r, nil
}

// editTags changes the tags of a person. What is too much is tried once more without what is not needed any more.
func (d *Desk) editTags(ctx context.Context, user string, edit func(*tagRecord) error) error {
	full := errors.New("the record of tags is full")
	var all []ledger.Token
	change := func() error {
		return d.o.Ledger.ChangeSetting(ctx, user, settingTags, func(raw json.RawMessage) (json.RawMessage, error) {
			r, err := parseTags(raw)
			if err != nil {
				return nil, err
			}
			if all != nil {
				r.keep(all)
			}
			if err := edit(&r); err != nil {
				return nil, err
			}
			out, err := json.Marshal(r)
			if err == nil && len(out) > maxTagsBytes {
				err = full
			}
			return out, err
		})
	}
	err := change()
	if !errors.Is(err, full) {
		return err
	}
	if all, err = d.o.Ledger.List(ctx, user); err != nil {
		return err
	}
	if err = change(); errors.Is(err, full) {
		return badRequest("too many mytokens have tags", err)
	}
	return err
}

// Tags lists the tags of the person, by name.
func (d *Desk) Tags(ctx context.Context, c Caller) ([]mytoken.Tag, *Issued, error) {
	v, err := d.Enter(ctx, c, Need{Capability: rules.ReadOnly + rules.TagSettings})
	if err != nil {
		return nil, nil, err
	}
	defer v.Cancel(ctx)
	r, err := d.readTags(ctx, v.User())
	if err != nil {
		return nil, nil, err
	}
	out := make([]mytoken.Tag, 0, len(r.Tags))
	for _, e := range r.Tags {
		out = append(out, mytoken.Tag{Name: e.Name, Color: e.Color})
	}
	sorted.By(out, func(a, b mytoken.Tag) int { return strings.Compare(a.Name, b.Name) })
	update, err := v.Done(ctx, eventTagsListed, "")
	return out, update, err
}

// AddTag makes a tag. One of that name that there is gets the color.
func (d *Desk) AddTag(ctx context.Context, c Caller, t mytoken.Tag) (*Issued, error) {
	if err := checkTag(t.Name, t.Color); err != nil {
		return nil, err
	}
	return d.changeTags(ctx, c, eventTagCreated, func(r *tagRecord) error {
		_, err := r.put(t.Name, t.Color)
		return err
	})
}

// ChangeTag gives a tag another name or color; what is "" stays.
func (d *Desk) ChangeTag(ctx context.Context, c Caller, name string, to mytoken.Tag) (*Issued, error) {
	if to.Name == "" {
		to.Name = name
	}
	if err := checkTag(to.Name, to.Color); err != nil {
		return nil, err
	}
	return d.changeTags(ctx, c, eventTagUpdated, func(r *tagRecord) error {
		n, ok := r.number(name)
		if !ok {
			return noTag()
		}
		if other, taken := r.number(to.Name); taken && other != n {
			return refuse(http.StatusConflict, CodeRequest, "there is a tag of that name already", nil)
		}
		e := tagEntry{to.Name, to.Color}
		if e.Color == "" {
			e.Color = r.Tags[n].Color
		}
		r.Tags[n] = e
		return nil
	})
}

// RemoveTag deletes a tag, and takes it off all mytokens.
func (d *Desk) RemoveTag(ctx context.Context, c Caller, name string) (*Issued, error) {
	return d.changeTags(ctx, c, eventTagDeleted, func(r *tagRecord) error {
		n, ok := r.number(name)
		if !ok {
			return noTag()
		}
		r.drop(n)
		return nil
	})
}

func (d *Desk) changeTags(ctx context.Context, c Caller, event string, edit func(*tagRecord) error) (*Issued, error) {
	v, err := d.Enter(ctx, c, Need{Capability: rules.TagSettings})
	if err != nil {
		return nil, err
	}
	defer v.Cancel(ctx)
	if err := d.editTags(ctx, v.User(), edit); err != nil {
		return nil, err
	}
	return v.Done(ctx, event, "")
}

// Tag puts a tag on a mytoken, or takes it off: the one in hand, or another of the person. A tag that there is not yet
// is made.
func (d *Desk) Tag(ctx context.Context, c Caller, t mytoken.Tagging) (*Issued, error) {
	if err := checkTag(t.Tag, ""); err != nil {
		return nil, err
	}
	var ids, which []string
	if t.MOMID != "" {
		ids = []string{t.MOMID}
	}
	v, err := d.enter(ctx, c, func(b *bearer) (err error) {
		which, err = d.chosen(ctx, b, ids, capabilityPair{rules.Tags, rules.TagsOfAny})
		return err
	})
	if err != nil {
		return nil, err
	}
	defer v.Cancel(ctx)
	if err := d.editTags(ctx, v.User(), func(r *tagRecord) error { return r.apply(t, which) }); err != nil {
		return nil, err
	}
	return v.Done(ctx, tagEvent(t.Remove, slices.Equal(which, []string{v.MOMID()})), d.cut("tag: "+t.Tag))
}

func (r *tagRecord) apply(t mytoken.Tagging, which []string) error {
	if t.Remove {
		n, ok := r.number(t.Tag)
		if !ok {
			return noTag()
		}
		for _, id := range which {
			r.unmark(id, n)
		}
		return nil
	}
	n, err := r.put(t.Tag, "")
	if err != nil {
		return err
	}
	for _, id := range which {
		r.mark(id, n, t.IncludeChildren)
	}
	return nil
}

func tagEvent(remove, own bool) string {
	switch {
	case remove && own:
		return eventUntagged
	case remove:
		return eventUntaggedElse
	case own:
		return eventTagged
	}
	return eventTaggedOther
}

// maxWishedTags is how many tags a new mytoken can be asked for with.
const maxWishedTags = 20

// wishedTags reads the tags that a new mytoken is to have: [{"tag", "include_children"}].
func wishedTags(raw json.RawMessage) ([]mytoken.Tagging, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var all []struct {
		Tag      string `json:"tag"`
		Children bool   `json:"include_children"`
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, errors.New("tags is no array of objects with a tag in each")
	}
	if len(all) > maxWishedTags {
		return nil, fmt.Errorf("more than %d tags", maxWishedTags)
	}
	out := make([]mytoken.Tagging, 0, len(all))
	for _, t := range all {
		if err := checkTag(t.Tag, ""); err != nil {
			return nil, errors.New("a tag is empty, too long or cannot be shown")
		}
		out = append(out, mytoken.Tagging{Tag: t.Tag, IncludeChildren: t.Children})
	}
	return out, nil
}

// tagNew gives a new mytoken the tags it was asked for with. It is there without them, too.
func (d *Desk) tagNew(ctx context.Context, n *minted, raw json.RawMessage) {
	wanted, err := wishedTags(raw)
	if err == nil && len(wanted) > 0 {
		err = d.editTags(context.WithoutCancel(ctx), n.user, func(r *tagRecord) error {
			for _, t := range wanted {
				if err := r.apply(t, []string{n.claims.MOMID()}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		d.o.Log.WarnContext(ctx, "a new mytoken has not the tags it was asked for with", "err", err)
	}
}
