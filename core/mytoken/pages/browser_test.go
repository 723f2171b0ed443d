package pages_test

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/browser"
)

var shots = flag.String("shots", "", "directory to write pictures of the pages to")

// TestBrowser goes through the pages in Chromium: one process for all of it.
func TestBrowser(t *testing.T) {
	br := browser.Start(t)
	for name, look := range map[string]browser.Look{"with_script": {}, "without_script": {NoScript: true}} {
		t.Run(name, func(t *testing.T) {
			t.Run("consent", func(t *testing.T) { browseConsent(t, br.Open(t, look)) })
			t.Run("decline", func(t *testing.T) { browseDecline(t, br.Open(t, look)) })
			t.Run("home", func(t *testing.T) { browseHome(t, br.Open(t, look)) })
			t.Run("create", func(t *testing.T) { browseCreate(t, br.Open(t, look)) })
			t.Run("settings", func(t *testing.T) { browseSettings(t, br.Open(t, look)) })
		})
	}
	t.Run("forged", func(t *testing.T) { browseForged(t, br.Open(t, browser.Look{})) })
	t.Run("https", func(t *testing.T) { browseHTTPS(t, br.Open(t, browser.Look{NoScript: true})) })
	t.Run("every_page", func(t *testing.T) { browseAll(t, br) })
	t.Run("keyboard", func(t *testing.T) { browseKeyboard(t, br.Open(t, browser.Look{})) })
	if *shots != "" {
		t.Run("pictures", func(t *testing.T) { takePictures(t, br) })
	}
}

func browseConsent(t *testing.T, tab *browser.Tab) {
	b := newBed(t)
	tab.Goto(b.url + "/c/ordinary")
	tab.Want("mytoken client on node17", "Did you start this yourself")
	tab.Click("summary:has-text('Change it before')")
	tab.Click("button:has-text('Remove way 2')")
	tab.Want("What you would allow", "Remove way 1")
	tab.Fill("[name='c0.usages_AT']", "50")
	tab.Fill("[name='c0.exp']", "2026-11-23T10:30")
	tab.Click("button[value=accept]")
	tab.Want("This is more than was asked for", "goes beyond")
	if len(b.accepted) != 0 {
		t.Fatal("accepted without being asked again")
	}
	tab.Fill("[name='c0.usages_AT']", "3")
	tab.Click("button[value=accept]")
	tab.Want("gets the mytoken now")
	if got := b.accepted; len(got) != 1 || len(got[0].Restrictions) != 1 || *got[0].Restrictions[0].UsagesAT != 3 {
		t.Errorf("accepted %+v", got)
	}
	if got := b.arrivals[0].Binding.Expose(); got != "bound-ordinary" {
		t.Errorf("came back from the provider with %q", got)
	}
	tab.Quiet()
}

func browseDecline(t *testing.T, tab *browser.Tab) {
	b := newBed(t)
	tab.Goto(b.url + "/c/hostile")
	tab.Click("button[value=decline]")
	tab.Want("gets no mytoken", "<script>window.hacked=1</script>")
	if len(b.declined) != 1 {
		t.Error("not declined")
	}
	if status := tab.Goto(b.url + "/c/unknown"); status != 404 {
		t.Errorf("status %d", status)
	}
	tab.Want("This request is not there any more")
	tab.Quiet("404")
}

func browseHome(t *testing.T, tab *browser.Tab) {
	b := newBed(t)
	tab.Goto(b.url + "/home")
	tab.Want("Choose where you have an account")
	tab.Click("button:has-text('Example AAI')") // through the provider, which is another site, and back
	tab.Want("2 usable, 1 ended", "night run")
	tab.Click("article:has-text('night run') >> text=History")
	tab.Want("an access token was got", "<script>")
	tab.Click("text=Back to your mytokens")
	tab.Check("[name=ended]", true)
	tab.Check("[name=view]", true)
	tab.Click("button:has-text('Show')")
	tab.Want("last week", "revoked")
	tab.Goto(b.url + "/home")
	tab.Click("article:has-text('night run') >> text=End it")
	tab.Want("1 usable mytoken was made from it")
	tab.Click("button:has-text('End it')")
	tab.Want("The mytoken has ended")
	if len(b.revoked) != 1 || b.revoked[0] != "one+/== true" {
		t.Errorf("revoked %q", b.revoked)
	}
	tab.Click("button:has-text('Log out')")
	tab.Want("You are logged out")
	var cookies string
	tab.Eval("document.cookie", &cookies)
	if cookies != "" {
		t.Errorf("scripts see the cookies %s", cookies)
	}
	tab.Quiet()
}

func browseCreate(t *testing.T, tab *browser.Tab) {
	b := newBed(t)
	tab.Goto(b.url + "/create")
	tab.Fill("[name=name]", "from the browser")
	tab.Check("[name=cap][value=create_mytoken]", true)
	tab.Fill("[name='c0.scope']", "compute.read")
	tab.Click("button:has-text('Add a way')")
	tab.Fill("[name='c1.exp']", "2020-01-01T00:00")
	tab.Click("button[value=create]")
	tab.Want("Some of what you wrote cannot be", "This way cannot be")
	tab.Click("button:has-text('Remove way 2')")
	tab.Click("button[value=create]")
	tab.Want("It is shown once")
	tab.Click("button:has-text('Show it')")
	tab.Want("has not ended yet")
	tab.Click("button:has-text('Show it')")
	var text string
	tab.Eval("document.querySelector('textarea.secret').value", &text)
	if text != "the.new.mytoken" {
		t.Errorf("the page shows %q", text)
	}
	if got := b.accepted[0]; got.Name != "from the browser" || !slices.Contains(got.Capabilities, "create_mytoken") ||
		len(got.Restrictions) != 1 || got.Restrictions[0].Scope != "compute.read" {
		t.Errorf("made with %+v", got)
	}
	tab.Quiet("422")
}

func browseSettings(t *testing.T, tab *browser.Tab) {
	b := newBed(t)
	tab.Cookie(b.url, "mytoken-session", sessionToken())
	tab.Goto(b.url + "/settings")
	tab.Fill("#email", "eve@example.org")
	tab.Click("section:has(#mail) button:has-text('Save')")
	tab.Want("Mails go to eve@example.org, which is not confirmed yet")
	tab.Click("button:has-text('Switch ssh on')")
	tab.Fill("#ssh_key", "ssh-ed25519 AAAA me")
	tab.Click("button:has-text('Go on')")
	tab.Want("for an ssh key")
	tab.Click("button[value=accept]")
	tab.Click("button:has-text('Show it')")
	tab.Goto(b.url + "/settings")
	tab.Want("SHA256:abc")
	tab.Click("button:has-text('Subscribe')")
	tab.Want("confirm your mail address first")
	tab.Fill("#calendar", "runs")
	tab.Click("button:has-text('Make a calendar')")
	tab.Click("text=Look at it")
	tab.Want("Feed for calendar programs", "<script>")
	tab.Quiet("422")
}

// browseForged has another site send forms here.
func browseForged(t *testing.T, tab *browser.Tab) {
	b := newBed(t)
	tab.Cookie(b.url, "mytoken-session", sessionToken())
	tab.Goto(b.url + "/home") // with the cookie of its forms
	for path, fields := range map[string]string{
		"/home/revoke": "mom_id=one+/==", "/c/ordinary": "do=accept",
		"/logout": "",
	} {
		name, value, _ := strings.Cut(fields, "=")
		tab.Goto(b.foreign(path, name, value))
		tab.Click("button")
		tab.Want("Nothing was done")
	}
	if len(b.revoked) != 0 || len(b.accepted) != 0 {
		t.Errorf("revoked %v, accepted %v", b.revoked, b.accepted)
	}
	tab.Goto(b.url + "/home")
	tab.Want("night run")
	tab.Goto(b.frame())
	var inside string
	tab.Eval("document.querySelector('iframe').contentDocument?.body?.innerText ?? ''", &inside)
	if strings.Contains(inside, "night run") {
		t.Error("the page lets itself be framed")
	}
}

// browseHTTPS logs in where the cookies have the prefix __Host-, which browsers are strict about.
func browseHTTPS(t *testing.T, tab *browser.Tab) {
	mux := http.NewServeMux()
	b := newBedOn(t, httptest.NewTLSServer(mux), mux)
	tab.Goto(b.url + "/home")
	tab.Click("button:has-text('Example AAI')")
	tab.Want("night run")
	if got := b.arrivals[0].Binding.Expose(); got != "bound-web" {
		t.Errorf("came back from the provider with %q", got)
	}
	tab.Goto(b.url + "/c/ordinary")
	tab.Click("button[value=accept]")
	tab.Want("gets the mytoken now")
	tab.Click("button:has-text('Log out')")
	tab.Want("You are logged out")
	tab.Goto(b.url + "/home")
	tab.Want("Choose where you have an account")
	tab.Quiet()
}

// browseAll looks at every page in every way: nothing hostile runs, nothing is wider than a phone, everything can be
// read.
func browseAll(t *testing.T, br *browser.Browser) {
	b := newBed(t)
	b.grant = true
	for name, look := range map[string]browser.Look{
		"light": {Width: 320, Height: 640}, "dark": {Dark: true, Width: 1000, Height: 800},
		"phone_without_script": {NoScript: true, Width: 360, Height: 740},
	} {
		t.Run(name, func(t *testing.T) {
			tab := br.Open(t, look)
			tab.Cookie(b.url, "mytoken-session", sessionToken())
			for _, path := range sortedPages() {
				if name != "light" && !slices.Contains(telling(), path) {
					continue // one look at each page is enough, and a few see all colours
				}
				tab.Goto(b.url + path)
				var r struct {
					Hacked bool
					Wide   string
					Poor   []string
				}
				tab.Eval(lookAt, &r)
				if r.Hacked {
					t.Errorf("%s runs what a stranger wrote", path)
				}
				if r.Wide != "" {
					t.Errorf("%s is wider than the window: %s", path, r.Wide)
				}
				for _, p := range r.Poor {
					t.Errorf("%s cannot be read well: %s", path, p)
				}
			}
			tab.Quiet("status of 4", "status of 5")
		})
	}
}

// telling are pages that have between them every style there is.
func telling() []string {
	return []string{
		"/", "/c/hostile", "/c/unknown", "/create", "/home?view=list&ended=1", "/home/revoke?mom_id=one%2B/%3D%3D", "/settings",
	}
}

func sortedPages() []string {
	var all []string
	for path, status := range everyPage() {
		if status != http.StatusNotFound || path == "/c/unknown" { // the others look the same
			all = append(all, path)
		}
	}
	slices.Sort(all)
	return all
}

// lookAt opens all that can be opened, and computes from the styles that the browser has settled on the contrast of
// every text (WCAG 2.2, 1.4.3) and of the borders of all fields (1.4.11).
const lookAt = `(() => {
	for (const d of document.querySelectorAll("details")) d.open = true;
	const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
	const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
	const lum = (c) => { const [r, g, b] = c.map((v) => linear(v / 255)); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
	const behind = (e) => { const stack = [];
		for (; e; e = e.parentElement) stack.push(parse(getComputedStyle(e).backgroundColor));
		let c = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
		for (const s of stack.reverse()) c = over(s, c);
		return c; };
	const ratio = (a, b) => { const [x, y] = [lum(a), lum(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
	const seen = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
	const poor = [];
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (texts.nextNode()) {
		const e = texts.currentNode.parentElement;
		if (!texts.currentNode.data.trim() || !seen(e) || ["SCRIPT", "OPTION", "TITLE"].includes(e.tagName)) continue;
		const s = getComputedStyle(e), under = behind(e), px = parseFloat(s.fontSize);
		const need = px >= 24 || px >= 18.66 && Number(s.fontWeight) >= 700 ? 3 : 4.5;
		const r = ratio(over(parse(s.color), under), under);
		const text = texts.currentNode.data.trim().slice(0, 40);
		if (r < need) poor.push(e.tagName + "." + e.className + " " + r.toFixed(2) + " " + text);
	}
	const fields = "input:not([type=hidden]), select, textarea, button:not(.plain):not(.default)";
	for (const e of document.querySelectorAll(fields)) {
		if (!seen(e) || ["checkbox", "radio"].includes(e.type)) continue;
		const s = getComputedStyle(e), under = behind(e.parentElement);
		const r = ratio(over(parse(s.borderTopColor), under), under);
		if (r < 3) poor.push("border of " + (e.name || e.textContent) + " " + r.toFixed(2));
		const t = ratio(over(parse(s.color), behind(e)), behind(e));
		if (t < 4.5) poor.push("text of " + (e.name || e.textContent) + " " + t.toFixed(2));
		if (e.getBoundingClientRect().height < 24) poor.push("too small to touch: " + (e.name || e.textContent));
	}
	const root = document.documentElement;
	let wide = "";
	if (root.scrollWidth > root.clientWidth) {
		const beyond = (e) => e.getBoundingClientRect().right > root.clientWidth + 1;
		const most = [...document.querySelectorAll("body *")].filter(beyond).slice(-1)[0];
		wide = root.scrollWidth + " of " + root.clientWidth + ", " + (most ? most.tagName + "." + most.className : "");
	}
	return { Hacked: window.hacked !== undefined, Wide: wide, Poor: poor };
})()`

// browseKeyboard reaches every control with the tabulator, in the order of the page, and sees where it is.
func browseKeyboard(t *testing.T, tab *browser.Tab) {
	b := newBed(t)
	b.grant = true
	tab.Cookie(b.url, "mytoken-session", sessionToken())
	for _, path := range []string{"/c/ordinary", "/create", "/home", "/settings", "/home/revoke?mom_id=one%2B/%3D%3D"} {
		tab.Goto(b.url + path)
		var controls int
		tab.Eval(`(() => {
			for (const d of document.querySelectorAll("details")) d.open = true;
			window.met = new Set(); window.order = []; window.unseen = [];
			const controls = "a[href], button, input:not([type=hidden]), select, textarea, summary";
			window.all = [...document.querySelectorAll(controls)].filter((e) => e.tabIndex >= 0 && !(e.type === "radio" && !e.checked));
			document.addEventListener("focusin", (e) => {
				if (!met.has(e.target)) order.push(all.indexOf(e.target));
				met.add(e.target);
				const s = getComputedStyle(e.target);
				if (s.outlineStyle === "none" || parseFloat(s.outlineWidth) < 2) unseen.push(e.target.outerHTML.slice(0, 80));
			});
			return all.length;
		})()`, &controls)
		var left int
		for press := 0; press < 8*controls+20; press++ {
			tab.Press("Tab")
			if press%20 == 19 {
				if tab.Eval("all.filter((e) => !met.has(e)).length", &left); left == 0 {
					break
				}
			}
		}
		var r struct {
			Missed, Unseen []string
			Ordered        bool
		}
		tab.Eval(`({ Missed: all.filter((e) => !met.has(e)).map((e) => e.outerHTML.slice(0, 80)), Unseen: unseen,
			Ordered: order.every((n, i) => n >= 0 && (i === 0 || n > order[i - 1])) })`, &r)
		if len(r.Missed) > 0 || len(r.Unseen) > 0 || !r.Ordered {
			t.Errorf("%s: not reached %q, no focus to be seen on %q, in order: %v", path, r.Missed, r.Unseen, r.Ordered)
		}
	}
	tab.Goto(b.url + "/c/ordinary")
	tab.Click("summary:has-text('Change it before')")
	tab.Fill("[name=name]", "other")
	tab.Press("Enter") // in a field: it shows what would be allowed, and allows nothing
	tab.Want("What you would allow")
	if len(b.accepted) != 0 || len(b.declined) != 0 {
		t.Error("the Enter key decides")
	}
}
