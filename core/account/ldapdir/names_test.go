//go:build unix

package ldapdir_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/ldapdir"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

func namesOf(t *testing.T, d *services.Directory, filter string) *ldapdir.Names {
	t.Helper()
	n, err := ldapdir.NewNames(ldapdir.NamesOptions{
		Servers: []string{d.URL}, BindDN: services.LDAPReader, Password: secret.FromString(services.LDAPReaderPassword),
		Base: services.LDAPPeople, Filter: filter, Timeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

func TestNames(t *testing.T) {
	d := services.Slapd(t)
	d.Add(services.PersonLDIF("carol", 21000, 20000, "federatedIdentity: c*(a)r\\ol", "mail: carol@example.org"))
	n := namesOf(t, d, "(&(federatedIdentity={sub})(objectClass=posixAccount))")
	for name, c := range map[string]struct {
		sub  string
		want []string
	}{
		"exact":                  {`c*(a)r\ol`, []string{"carol"}},
		"star":                   {"*", nil},
		"part":                   {"c*", nil},
		"injection":              {"x)(uid=*", nil},
		"another":                {"nobody", nil},
		"word_of_the_filter":     {"{iss}", nil},
		"zero":                   {"\x00", nil},
		"nothing":                {"", nil},
		"longer_than_a_sub_gets": {strings.Repeat("s", 300), nil},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := n.Names(t.Context(), c.sub, "https://op.example/", names.Person{})
			if err != nil || !slices.Equal(list, c.want) {
				t.Errorf("%q, %v", list, err)
			}
		})
	}
	t.Run("claim_missing", func(t *testing.T) {
		list, err := namesOf(t, d, "(|(uid={sub})(mail={email}))").Names(t.Context(), "carol", "i", names.Person{})
		if err != nil || list != nil {
			t.Errorf("%q, %v", list, err)
		}
	})
	t.Run("two_entries", func(t *testing.T) {
		list, err := namesOf(t, d, "(|(uid={sub})(uid=olduser))").Names(t.Context(), "carol", "i", names.Person{})
		if !errors.Is(err, ldapdir.ErrEntry) || list != nil {
			t.Errorf("%q, %v", list, err)
		}
	})
	t.Run("directory_down", func(t *testing.T) {
		d.Kill()
		list, err := n.Names(t.Context(), "carol", "i", names.Person{})
		if !errors.Is(err, backend.ErrUnavailable) || list != nil {
			t.Errorf("%q, %v", list, err)
		}
	})
}

func TestNamesOptions(t *testing.T) {
	for name, filter := range map[string]string{
		"same_for_all": "(uid=olduser)", "no_filter": "uid={sub}", "unknown_word": "(&(uid={sub})(mail={mail}))", "none": "",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ldapdir.NewNames(ldapdir.NamesOptions{
				Servers: []string{"ldapi://"}, Base: services.LDAPPeople, Filter: filter,
			})
			if !errors.Is(err, ldapdir.ErrOptions) {
				t.Errorf("got %v", err)
			}
		})
	}
}
