package provisioner

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
)

// TestAsk: an issuer that calls itself otherwise, by a slash, is a fault of the configuration; one that is silent is not.
func TestAsk(t *testing.T) {
	op := httptest.NewServer(nil)
	defer op.Close()
	op.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q, "response_types_supported": ["code"]}`, op.URL, op.URL+"/jwks")
	})
	silent := httptest.NewServer(nil)
	silent.Close()
	for name, c := range map[string]struct {
		url           string
		faults, notes int
		want          string
	}{
		"right":  {op.URL, 0, 0, ""},
		"slash":  {op.URL + "/", 1, 0, "byte for byte"},
		"silent": {silent.URL, 0, 1, "could not be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(least, "https://op.example", c.url, 1)
			s, err := parseSettings(filepath.Join(exampleDir(t), "c.yaml"), []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			notes, err := s.ask(t.Context(), &cli.Env{Getenv: func(string) string { return "" }})
			faults := faultsOf(err)
			if len(faults) != c.faults || len(notes) != c.notes {
				t.Fatalf("faults %v, notes %v", faults, notes)
			}
			for _, f := range append(faults, notes...) {
				if !strings.Contains(f.Text, c.want) || f.Line == 0 {
					t.Errorf("%v, want %q and a line", f, c.want)
				}
			}
		})
	}
}

// TestExplain: every refusal of the server has an exit code and says what to do.
func TestExplain(t *testing.T) {
	for code, want := range map[string]struct {
		exit int
		hint string
	}{
		codeUnknown:  {cli.NotFound, "admin list"},
		codeNoJob:    {cli.NotFound, "admin jobs"},
		codeSettled:  {cli.NotFound, "admin pending"},
		codeAccounts: {cli.Temporary, "provisioner-worker"},
		codeNobody:   {cli.No, "approval"},
		codeFailed:   {cli.Temporary, "journalctl"},
	} {
		err := explain(refusal(http.StatusConflict, []byte(`{"error":"`+code+`","error_description":"x"}`)))
		var e *cli.Error
		if !errors.As(err, &e) || e.Code != want.exit || !strings.Contains(e.Hint, want.hint) || strings.Contains(e.Error(), "ask the server") {
			t.Errorf("%s: %v", code, err)
		}
	}
}
