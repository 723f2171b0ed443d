set shell := ["bash", "-euo", "pipefail", "-c"]
export CGO_ENABLED := "0"

# list the recipes
default:
    @just --list

# a static, stripped binary
build out="bin/oidcbox":
    go build -trimpath -ldflags "-s -w -X github.com/oidcbox/oidcbox/applets.version=$(git describe --tags --always --dirty)" -o {{out}} .

test *args:
    go test ./... {{args}}

race *args:
    CGO_ENABLED=1 go test -race ./... {{args}}

# each fuzz target for a while
fuzz t="5s":
    .ci/fuzz {{t}}

# format, vet and staticcheck
lint:
    .ci/format
    go vet ./...
    go run -modfile=.ci/tools.mod honnef.co/go/tools/cmd/staticcheck ./...

# renew the reviewed list of linked packages
deps:
    .ci/deps > .ci/deps.txt

# the walk through the main job
demo *args:
    go run . demo {{args}}

# start-up of the tiny roles beside a bare Go program
bench-start:
    go test -run '^$' -bench Start -benchtime 200x ./applets

# oidc-token and requests per second beside the original's programs
bench-agent:
    .ci/bench-agent

# token checks beside other libraries, the bare signature check and a hash; memory under a million tokens; the daemon
bench-verify *args:
    .ci/bench-verify {{args}}

# a mytoken server: access tokens and introspections per second, its start, its bytes on disk
bench-mytoken *args:
    .ci/bench-mytoken {{args}}

# logins by ssh: with a plain key, by the wrapper, and what PAM's helper takes of it (root)
bench-ssh *args:
    .ci/bench-ssh {{args}}

# the PostgreSQL store beside the same statements by hand
bench-pgstore:
    go test -run '^$' -bench BesideRaw -benchtime 1x ./store/pgstore

# play and check the session of docs/journey.txt, and record it anew (root)
record:
    .ci/record

man dir="bin/man": build
    mkdir -p {{dir}} && bin/oidcbox self man --dir {{dir}}

# everything CI does
ci:
    .ci/run

# the original's programs and ours, side by side; "show" prints all that was seen
compat *args:
    .ci/compat {{args}}

# the long kill loops
torture:
    .ci/full
