#!/usr/bin/env bash
# empty-root: the binary as the only file of an otherwise empty root, read-only, as uid 65534 and as process 1: the
# provider serves, the verifier decides, orphans are collected, SIGTERM ends it within two seconds.
. "$(dirname "$0")/../lib.sh"
[ "$(id -u)" -eq 0 ] || { echo "needs root"; exit 1; }
tmp=$(mktemp -d)
pid='' holder=''
trap 'for p in $pid $holder; do kill "$p" 2>/dev/null || true; done; rm -rf "$tmp"' EXIT
root=$tmp/root
mkdir -m 755 "$root" && chmod 755 "$tmp"
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$root/oidcbox" .
: >"$root/ca.pem"

# in_root ARGUMENTS...: run the binary there as process 1 of its own namespace.
in_root() {
	unshare --mount --pid --fork --kill-child bash -c '
		mount --bind "$0" "$0" && mount --bind /etc/ssl/certs/ca-certificates.crt "$0/ca.pem"
		mount -o remount,ro,bind "$0"
		exec env -i SSL_CERT_FILE=/ca.pem /usr/sbin/chroot --userspec=65534:65534 "$0" /oidcbox "$@"' "$root" "$@"
}

port=$(go run ./.ci/e2e/freeport)
in_root issuer --listen "127.0.0.1:$port" --auto-login alice --test-controls >"$tmp/issuer.log" 2>&1 &
holder=$!
issuer=http://127.0.0.1:$port
for _ in $(seq 100); do curl -fsS "$issuer/.well-known/openid-configuration" -o "$tmp/doc" 2>/dev/null && break; sleep 0.1; done
jq -e --arg i "$issuer" '.issuer == $i' "$tmp/doc" >/dev/null || { cat "$tmp/issuer.log"; exit 1; }
pid=$holder
while child=$(pgrep -P "$pid" | head -n 1) && [ -n "$child" ]; do pid=$child; done
echo "issuer serves as process $(awk '/NSpid/ {print $NF}' "/proc/$pid/status"), uid $(awk '/^Uid/ {print $2}' "/proc/$pid/status")"
[ "$(awk '/NSpid/ {print $NF}' "/proc/$pid/status")" = 1 ]

# a token by client credentials, then yes and no from the verifier in the same empty root
curl -fsS -u service:service-secret -d grant_type=client_credentials -d scope=storage.read:/ "$issuer/token" |
	jq -r .access_token >"$tmp/token"
verify() { in_root verifier token --issuer "$issuer" --audience "$1" <"$tmp/token"; }
verify https://wlcg.cern.ch/jwt/v1/any
if verify https://other.example.org 2>"$tmp/why"; then echo "accepted for another audience"; exit 1; fi
cat "$tmp/why"

# an orphan: its parent, a process put into the namespace, is gone before it
nsenter --target "$pid" --pid bash -c '(sleep 0.3 &) ; exit 0'
sleep 0.2
pgrep -P "$pid" sleep >/dev/null || { echo "the orphan did not come to process 1"; exit 1; }
for _ in $(seq 50); do pgrep -P "$pid" >/dev/null || break; sleep 0.1; done
! pgrep -P "$pid" >/dev/null || { echo "a dead child is left"; ps --ppid "$pid"; exit 1; }
echo "orphan collected"

begin=$(date +%s%N)
kill -TERM "$pid"
while kill -0 "$pid" 2>/dev/null; do
	[ $((($(date +%s%N) - begin) / 1000000)) -lt 2000 ] || { echo "still there 2 s after SIGTERM"; exit 1; }
	sleep 0.02
done
echo "ended $((($(date +%s%N) - begin) / 1000000)) ms after SIGTERM"
