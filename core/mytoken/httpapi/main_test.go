package httpapi

import (
	"net/http"
	"testing"
)

func TestMainPath(t *testing.T) {
	b := start(t)
	got := b.login(m{"name": "job", "capabilities": []string{"AT", "tokeninfo"}})
	mt := got["mytoken"].(string)
	r := b.want(http.StatusOK, b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": mt, "scope": "profile"}))
	if r.obj(t)["access_token"] != "access-1" {
		t.Errorf("got %s", r.body)
	}
	t.Log(r.body)
}
