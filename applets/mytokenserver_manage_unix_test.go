//go:build unix

package applets

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestMytokenManage: tags and calendars, our client and our server as processes, with a mytoken in a file.
func TestMytokenManage(t *testing.T) {
	s := newMytokenSite(t, "")
	everything := []string{
		"--capability", "AT", "--capability", "tokeninfo", "--capability", "create_mytoken", "--capability", "settings",
		"--capability", "manage_mytokens",
	}
	mt := s.login(append(everything, "--restrictions", `[{"exp":4102444800}]`)...)
	must := func(args ...string) string {
		t.Helper()
		o := s.client(mt, args...)
		if o.code != 0 {
			t.Fatalf("%q: %+v", args, o)
		}
		return o.out
	}
	must("info", "--check")

	must("settings", "tags", "create", "grid jobs", "--color", "#112233")
	must("MT", "tags", "add", "grid jobs")
	if list := must("settings", "tags", "list"); !strings.Contains(list, "grid jobs") {
		t.Errorf("tags: %s", list)
	}
	must("MT", "tags", "remove", "grid jobs")
	must("settings", "tags", "update", "grid jobs", "--new-name", "jobs")

	feed := strings.TrimSpace(must("calendars", "create", "work"))
	must("calendars", "subscribe", "work", "--comment", "renew it")
	read := func() string {
		t.Helper()
		resp, err := http.Get(feed)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %v", resp.Status, err)
		}
		return string(b)
	}
	if text := read(); !strings.Contains(text, "BEGIN:VEVENT") {
		t.Errorf("the feed:\n%s", text)
	}
	var list []struct{ ID, Name string }
	if err := json.Unmarshal([]byte(must("--json", "calendars", "list")), &list); err != nil || len(list) != 1 || list[0].ID == "" {
		t.Fatalf("%v %+v", err, list)
	}
	if told := must("info", "notifications"); !strings.Contains(told, "work") {
		t.Errorf("info notifications: %s", told)
	}
	must("calendars", "update", list[0].ID, "--description", "play")
	must("calendars", "unsubscribe", list[0].ID)
	if text := read(); strings.Contains(text, "BEGIN:VEVENT") {
		t.Errorf("the feed afterwards:\n%s", text)
	}
	must("calendars", "delete", "--force", list[0].ID)
	if out := must("--json", "calendars", "list"); strings.Contains(out, "play") {
		t.Errorf("%s", out)
	}
	must("settings", "tags", "delete", "jobs")
}
