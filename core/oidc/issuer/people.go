package issuer

import (
	"encoding/hex"
	"strings"
)

// User is a person who can sign in.
type User struct {
	Name    string // what is typed at the login page, and preferred_username
	Subject string // sub, never changed
	// Groups are those of the profile's wlcg.groups that the user is in; DefaultGroups the part given without asking.
	Groups, DefaultGroups []string
	Entitlements          []string
	Assurance             []string
	FullName, Email       string
	// Refuses makes the user decline whatever is asked.
	Refuses bool
}

// SampleUsers are the people of the test provider: alice (many groups), bob (one), carol (none), and deny, who refuses.
func SampleUsers() []User {
	const ns = "urn:geant:example.org:group:"
	const raf = "https://refeds.org/assurance/"
	return []User{
		sampleUser(User{
			Name:          "alice",
			Groups:        []string{"/wlcg", "/wlcg/xfers", "/wlcg/pilots", "/cms", "/cms/uscms", "/cms/ALARM"},
			DefaultGroups: []string{"/wlcg", "/wlcg/xfers"},
			Entitlements:  []string{ns + "physics#aai.example.org", ns + "physics:role=admin#aai.example.org"},
			Assurance:     []string{raf + "IAP/medium", raf + "profile/cappuccino"},
		}),
		sampleUser(User{
			Name: "bob", Groups: []string{"/wlcg"}, DefaultGroups: []string{"/wlcg"},
			Entitlements: []string{ns + "biology#aai.example.org"}, Assurance: []string{raf + "IAP/low"},
		}),
		sampleUser(User{Name: "carol"}),
		sampleUser(User{Name: "deny", Refuses: true}),
	}
}

// sampleUser fills in what follows from the name. The subject is a fixed UUID per name, the same in every process.
func sampleUser(u User) User {
	h := hex.EncodeToString([]byte(u.Name))
	tail := strings.Repeat("0", max(0, 12-len(h))) + h
	u.Subject = (h + "00000000")[:8] + "-0000-4000-8000-" + tail[len(tail)-12:]
	u.FullName = strings.ToUpper(u.Name[:1]) + u.Name[1:] + " Tester"
	u.Email = u.Name + "@example.org"
	return u
}

func (i *Issuer) userNamed(name string) (User, bool) {
	for _, u := range i.o.Users {
		if u.Name == name {
			return u, true
		}
	}
	return User{}, false
}

func (i *Issuer) userOf(sub string) (User, bool) {
	for _, u := range i.o.Users {
		if u.Subject == sub {
			return u, true
		}
	}
	return User{}, false
}
