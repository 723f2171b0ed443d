#!/bin/sh
# start.sh DIR USER   xrootd with DIR/xrootd.cfg as USER, in a mount namespace of its own where DIR/bundle.pem is the
# system's list of authorities: libscitokens 0.7 knows no other place. Every step is an exec, so the process that was
# started is xrootd in the end.
set -eu
dir=$1 user=$2
exec unshare --mount sh -c 'mount --bind "$1/bundle.pem" /etc/ssl/certs/ca-certificates.crt &&
	exec setpriv --reuid="$2" --regid="$2" --init-groups --pdeathsig=KILL \
		env HOME="$1" XDG_CACHE_HOME="$1/cache" LD_PRELOAD="$1/bindlo.so" xrootd -c "$1/xrootd.cfg" -n test' start "$dir" "$user"
