package pages_test

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/approval"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/testdata/browser"
)

var shots = flag.String("shots", "", "directory to write pictures of the pages to")

// TestBrowser goes through the pages in Chromium: one process for all of it.
func TestBrowser(t *testing.T) {
	br := browser.Start(t)
	for name, look := range map[string]browser.Look{
		"with_script": {}, "without_script": {NoScript: true}, "phone": {NoScript: true, Width: 360, Height: 640, Dark: true},
	} {
		t.Run(name, func(t *testing.T) { browse(t, br.Open(t, look), look) })
	}
	t.Run("https", func(t *testing.T) {
		mux := http.NewServeMux()
		b := newBedOn(t, httptest.NewTLSServer(mux), mux)
		tab := br.Open(t, browser.Look{NoScript: true})
		tab.Goto(b.url)
		tab.Click("button:has-text('Example AAI')")
		tab.Want("You have no account on login.example.org yet")
	})
	t.Run("forged", func(t *testing.T) { browseForged(t, br.Open(t, browser.Look{})) })
	t.Run("mail", func(t *testing.T) { browseMail(t, br.Open(t, browser.Look{NoScript: true})) })
	t.Run("keyboard", func(t *testing.T) { browseKeyboard(t, br.Open(t, browser.Look{NoScript: true})) })
}

// browse is a first login, from the link in the banner of ssh to the password.
func browse(t *testing.T, tab *browser.Tab, look browser.Look) {
	b := newBed(t)
	shot := func(name string) {
		var wide bool
		tab.Eval("document.documentElement.scrollWidth > document.documentElement.clientWidth", &wide)
		if wide {
			t.Errorf("%s is wider than the window", name)
		}
		if *shots != "" {
			tab.Shot(filepath.Join(*shots, strings.ReplaceAll(t.Name(), "/", "-")+"-"+name+".png"), true)
		}
	}
	tab.Goto(b.url)
	tab.Want("Where do you have an account?")
	shot("front")
	tab.Click("button:has-text('Example AAI')") // to the provider, which is another site, and back
	tab.Want("You have no account on login.example.org yet", "Alice Tester")
	shot("none")
	tab.Click("button:has-text('Make my account')")
	tab.Want("User was created.", "alice1")
	shot("account")
	tab.Click("button:has-text('Get a password')")
	tab.Want("ssh alice1@login.example.org", "It is good for one login as alice1 on login.example.org")
	shot("password")
	var pw, cookies string
	tab.Eval("document.getElementById('password').textContent", &pw)
	if !strings.HasPrefix(pw, "oxp_") {
		t.Errorf("password %q", pw)
	}
	if tab.Eval("document.cookie", &cookies); cookies != "" {
		t.Errorf("scripts see the cookies %s", cookies)
	}
	tab.Goto(b.url + "/password") // what going back or a bookmark asks for
	tab.Want("Get a password")
	tab.Click("button:has-text('Log out')")
	tab.Want("You are logged out")
	tab.Quiet()
}

// browseForged visits pages of another site that try to act in the name of who is logged in.
func browseForged(t *testing.T, tab *browser.Tab) {
	b := newBed(t)
	b.desk.state = state.Deployed
	tab.Goto(b.url)
	tab.Click("button:has-text('Example AAI')")
	tab.Want("Get a password")
	other := strings.Replace(b.site, "127.0.0.1", "localhost", 1)
	for _, path := range []string{"/password", "/deploy", "/decide/good", "/logout"} {
		tab.Goto(other + "/evil?" + url.Values{"to": {path}}.Encode())
		tab.Click("button")
		tab.Want("This came from another site")
	}
	if len(b.desk.deployed) != 0 || len(b.office.decided) != 0 {
		t.Error("something was done")
	}
	tab.Goto(other + "/evil") // a link of another site keeps its visitor logged in
	tab.Goto(b.url + "/account")
	tab.Want("Get a password")
}

// browseMail follows the link of a mail, from a web mailer.
func browseMail(t *testing.T, tab *browser.Tab) {
	b := newBed(t)
	b.office.asked = approval.Asked{
		Name: "alice1", FullName: "<img src=x onerror=alert(1)>", Groups: []string{"vo_a", "vo_b"}, Subject: "s", Issuer: b.op.URL,
	}
	tab.Goto(b.url + "/decide/good")
	tab.Want("Somebody asks for an account", "<img src=x", "vo_a, vo_b")
	if len(b.office.decided) != 0 {
		t.Fatal("decided by looking")
	}
	tab.Click("button[value=accept]")
	tab.Want("The request is accepted")
	if len(b.office.decided) != 1 {
		t.Errorf("decided %q", b.office.decided)
	}
	if *shots != "" {
		tab.Shot(filepath.Join(*shots, "mail.png"), true)
	}
	tab.Quiet()
}

// browseKeyboard gets a password without a mouse.
func browseKeyboard(t *testing.T, tab *browser.Tab) {
	b := newBed(t)
	b.desk.state = state.Deployed
	tab.Goto(b.url)
	for range 3 { // skip link, brand, provider
		tab.Press("Tab")
	}
	tab.Press("Enter")
	tab.Want("Get a password")
	for range 4 { // skip link, brand, log out, the button
		tab.Press("Tab")
	}
	tab.Press("Enter")
	tab.Want("ssh alice1@login.example.org")
}
