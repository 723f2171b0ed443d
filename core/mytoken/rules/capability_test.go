package rules

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

func TestAllows(t *testing.T) {
	for _, tt := range []struct {
		held, required string
		want           bool
	}{
		{"AT", "AT", true},
		{"tokeninfo", "tokeninfo:history", true},
		{"tokeninfo:history", "tokeninfo", false},
		{"tokeninfo:history", "tokeninfo:introspect", false},
		{"settings", "read@settings:grants:ssh", true},
		{"read@settings", "read@settings:grants", true},
		{"read@settings", "settings:grants", false},
		{"read@settings", "settings", false},
		{"settings", "settings_of_others", false},
		{"manage_mytokens", "manage_mytokens:notify", true},
		{"read@manage_mytokens:notify", "manage_mytokens:notify", false},
		{"AT", "ATX", false},
		{"at", "AT", false},
		{"", "AT", false},
		{"read@", "read@settings", false},
		{"tokeninfo:", "tokeninfo:history", false},
		{"read@read@settings", "read@settings", false},
	} {
		if got := Allows(mytoken.Capabilities{tt.held}, tt.required); got != tt.want {
			t.Errorf("%q allows %q: %v", tt.held, tt.required, got)
		}
	}
	if Allows(nil, AT) {
		t.Error("nothing allows something")
	}
}

func TestSubCapabilities(t *testing.T) {
	parent := mytoken.Capabilities{AT, "tokeninfo", "read@settings"}
	for _, tt := range []struct{ name, asked, kept, dropped string }{
		{"none_asked_for", "", "AT tokeninfo read@settings", ""},
		{"as_written", "tokeninfo:history AT", "tokeninfo:history AT", ""},
		{"part", "AT settings create_mytoken", "AT", "settings create_mytoken"},
		{"read_only", "read@settings:grants settings:grants", "read@settings:grants", "settings:grants"},
		{"old_name", "tokeninfo_tree AT", "tokeninfo:subtokens AT", ""},
		{"twice", "AT AT", "AT", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kept, dropped, err := SubCapabilities(parent, words(tt.asked))
			if err != nil || !slices.Equal(kept, words(tt.kept)) || !slices.Equal(dropped, words(tt.dropped)) {
				t.Errorf("kept %q, dropped %q, %v", kept, dropped, err)
			}
		})
	}
	_, _, err := SubCapabilities(parent, mytoken.Capabilities{"settings", "nonsense"})
	if !errors.Is(err, ErrNoCapability) {
		t.Error(err)
	}
}

func words(s string) mytoken.Capabilities {
	var out mytoken.Capabilities
	for w := range strings.FieldsSeq(s) {
		out = append(out, w)
	}
	return out
}

func TestKnown(t *testing.T) {
	for _, c := range KnownCapabilities() {
		if !Known(c.Name) || Known(ReadOnly+c.Name) != c.ReadOnly || c.Description == "" {
			t.Errorf("%+v", c)
		}
	}
	for _, name := range []string{"", "read@", "nonsense", "at", "tokeninfo:nonsense", "read@AT"} {
		if Known(name) {
			t.Errorf("%q is known", name)
		}
	}
	for _, name := range []string{
		AT, CreateMytoken, Introspect, History, Subtokens, Notify, Tags, List, Revoke, HistoryOfAny, NotifyOfAny, TagsOfAny,
		Settings, Grants, SSHGrant, Email, TagSettings,
	} {
		if !Known(name) {
			t.Errorf("%s is not known", name)
		}
	}
}
