# Shared by the scripts of .ci: one line per stage with its seconds, the whole output only when it fails.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
export PATH="$PATH:/usr/local/go/bin"
out=${CI_OUT:-$(mktemp -d)}
failed=0

# stage NAME COMMAND...: runs it, prints one line, remembers a failure and goes on.
stage() {
	local name=$1 begin=$SECONDS log
	shift
	log=$out/$(tr -c 'a-z0-9\n' - <<<"$name").log
	if "$@" >"$log" 2>&1 </dev/null; then
		printf 'ok    %-28s %4d s\n' "$name" $((SECONDS - begin))
	else
		printf 'FAIL  %-28s %4d s\n' "$name" $((SECONDS - begin))
		digest "$log" | cut -c1-400 | sed 's/^/      | /'
		failed=1
	fi
}

# digest LOG: what failed comes first, because a record of this output may be cut short.
digest() {
	grep -nE '^ *--- FAIL|^FAIL|^panic:|^fatal error:|DATA RACE|^ *[a-z0-9_]+_test\.go:[0-9]+:|\.go:[0-9]+:[0-9]+:' "$1" |
		head -n 40 || true
	echo '...'
	grep -vE '^ok |no test files' "$1" | tail -n "${CI_TAIL:-120}" || true
}

finish() {
	if [ "$failed" -ne 0 ]; then echo "FAILED after $SECONDS s; logs in $out"; exit 1; fi
	echo "passed in $SECONDS s"
}
