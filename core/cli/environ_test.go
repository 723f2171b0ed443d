package cli

import (
	"slices"
	"testing"
)

func TestChildEnviron(t *testing.T) {
	own := []string{
		"HOME=/home/alice", "OIDC_ENCRYPTION_PW=x", "MY_PW=x=y", "OIDC_REFRESH_TOKEN=x", "BEARER_TOKEN=x",
		"BEARER_TOKEN_FILE=f", "MY_PW_HINT=cat", "EMPTY=",
	}
	env := &Env{Environ: func() []string { return slices.Clone(own) }}
	want := []string{"HOME=/home/alice", "BEARER_TOKEN_FILE=f", "MY_PW_HINT=cat", "EMPTY="}
	if got := env.ChildEnviron("MY_PW", ""); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
