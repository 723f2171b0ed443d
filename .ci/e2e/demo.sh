#!/usr/bin/env bash
# demo: the README's two commands from a fresh clone in an empty HOME, by a user who is nobody, and the demo once more
# with the ports taken that others like to use.
. "$(dirname "$0")/../lib.sh"
tmp=$(mktemp -d)
trap 'kill ${taken:-} 2>/dev/null || true; chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
mkdir "$tmp/home"
git clone -q "$top" "$tmp/clone"
modcache=$(go env GOMODCACHE)
as_nobody=()
if [ "$(id -u)" -eq 0 ]; then
	chmod 755 "$tmp" && chown -R 65534:65534 "$tmp/home" "$tmp/clone"
	as_nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
fi
# The module cache is served as a proxy from the file system: nothing is fetched twice, and HOME stays empty.
run() {
	(cd "$tmp/clone" && "${as_nobody[@]}" env -i HOME="$tmp/home" PATH="$PATH" TMPDIR="$tmp/home" \
		GOPROXY="file://$tmp/proxy" GOSUMDB=off GOFLAGS=-modcacherw "$@")
}
cp -r "$modcache/cache/download" "$tmp/proxy" && chmod -R a+rX "$tmp/proxy"

run go run . demo
go build -o "$tmp/ports" ./.ci/e2e/takeports
"$tmp/ports" 8080 4242 15000-15100 &
taken=$!
sleep 0.5
run go run . demo
run go test ./...
