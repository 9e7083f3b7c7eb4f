#!/usr/bin/env bash
# Installs, runs, breaks, upgrades, removes and purges the package on a fresh Debian with a real systemd, in a container
# without a network. As root: test-deb.sh PACKAGE.deb
# A folder that debootstrap made before may be given in TACIT_TEST_ROOT: it is copied, and saves some minutes.
set -euo pipefail

package=$(realpath "$1")
for tool in debootstrap systemd-nspawn nsenter; do
    if ! command -v "$tool" >/dev/null; then
        echo "NOT TESTED: there is no $tool on this machine (apt install debootstrap systemd-container)"
        exit 0
    fi
done

work=$(mktemp --directory)
container=
end() {
    if [ -n "$container" ]; then
        kill "$container" 2>/dev/null || true
        wait "$container" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap end EXIT

root=$work/root
if [ -n "${TACIT_TEST_ROOT:-}" ]; then
    cp --archive "$TACIT_TEST_ROOT" "$root"
else
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,curl,man-db,procps bookworm "$root" >"$work/debootstrap.log"
fi
cp "$package" "$root/tacit-server.deb"

# systemd-nspawn wants a /run that can be emptied, and on a machine without systemd there is none: in this process's eyes
# only, there is.
unshare --mount bash -c '
    mount --make-rprivate /
    mkdir -p /run/systemd
    mount -t tmpfs tmpfs /run/systemd
    exec systemd-nspawn --quiet --register=no --keep-unit --boot --directory="$1" --private-network --console=pipe
' container "$root" >"$work/console" 2>&1 &
container=$!

init=
for _ in $(seq 600); do
    init=$(pgrep --parent "$container" --exact systemd || true)
    [ -n "$init" ] && break
    sleep 0.1
done
inside() {
    nsenter --target "$init" --all --wdns=/ -- env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"
}
until inside test -S /run/systemd/private; do sleep 0.1; done
inside systemctl is-system-running --wait >/dev/null || true

claim() {
    local says=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        echo "ok      $says"
    else
        echo "FAILED  $says"
        cat "$work/out"
        inside journalctl --no-pager --lines=40 --unit=tacit-server || true
        exit 1
    fi
}
not() { ! "$@"; }
becomes() {
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    "$@"
}
pid() { inside systemctl show --property=MainPID --value tacit-server; }
is_new_pid() { [ "$(pid)" != "$1" ] && inside systemctl --quiet is-active tacit-server; }
owner_is() { [ "$(inside stat --format='%U:%G %a' "$2")" = "$1" ]; }
ready() { inside curl --silent --fail http://127.0.0.1:7444/readyz; }

claim "it installs" inside dpkg --install /tacit-server.deb
claim "it brings a user of its own" inside getent passwd tacit
claim "and a data folder that nobody else enters" owner_is "tacit:tacit 700" /var/lib/tacit
claim "nothing starts yet" not inside systemctl --quiet is-active tacit-server
claim "nor at the next boot" not inside systemctl --quiet is-enabled tacit-server
claim "without a configuration it does not start" not inside systemctl start tacit-server
claim "the unit has no faults" inside systemd-analyze verify tacit-server.service
claim "the manual can be read" inside man --pager=cat tacit-server

claim "init writes the configuration" inside tacit-server init --url wss://127.0.0.1 --pinned --data /var/lib/tacit \
    --operator "Clinic Example"
claim "it can be edited" inside sed --in-place '1i metrics = "127.0.0.1:7444"' /etc/tacit/tacit.toml
claim "check-config is content" inside tacit-server check-config
claim "it starts, and systemd hears that it serves" inside systemctl enable --now tacit-server
is_own_user() { [ "$(inside ps -o user= -p "$(pid)")" = tacit ]; }
claim "as its own user" is_own_user
# All of it is read first: a grep that has found enough would end curl, and so the claim, with an error.
says() { grep --quiet "$1" <<<"$(inside curl --silent --insecure --retry 5 --retry-connrefused "$2")"; }
claim "on the port of https, its page says who runs it" says 'Clinic Example' https://127.0.0.1/
claim "it is ready" ready
claim "status reaches it" inside tacit-server status
claim "it knows how much memory there is" says '^tacit_memory_share_bytes [1-9]' http://127.0.0.1:7444/metrics
claim "root enrols, and what that leaves is the relay's" inside tacit-server enrol
all_its_own() { [ -z "$(inside find /var/lib/tacit -not -user tacit)" ]; }
claim "(it is)" all_its_own
claim "a backup is written while it runs" inside tacit-server backup /root/relay.backup
claim "its exposure is at most 1.5" inside systemd-analyze security --threshold=15 tacit-server
tail --lines=1 "$work/out"

before=$(pid)
claim "a reload is survived" inside systemctl reload tacit-server
claim "by the same process" [ "$(pid)" = "$before" ]
claim "(which is ready)" ready
claim "killed, it comes back" inside kill -9 "$before"
claim "(it does)" becomes is_new_pid "$before"
claim "and is ready" becomes ready
inside mkdir -p /run/systemd/system/tacit-server.service.d
inside sh -c 'printf "[Service]\nWatchdogSec=2s\n" >/run/systemd/system/tacit-server.service.d/test.conf'
inside systemctl daemon-reload
inside systemctl restart tacit-server
before=$(pid)
claim "frozen, it is noticed" inside kill -STOP "$before"
claim "and comes back" becomes is_new_pid "$before"
inside rm -r /run/systemd/system/tacit-server.service.d
inside systemctl daemon-reload

before=$(pid)
claim "it is upgraded while it runs" inside dpkg --install /tacit-server.deb
claim "and serves again" becomes is_new_pid "$before"
claim "(it is ready)" becomes ready
claim "with its configuration" inside grep --quiet 'Clinic Example' /etc/tacit/tacit.toml
claim "stopped, it ends in good order" inside systemctl stop tacit-server
claim "(it did)" [ "$(inside systemctl show --property=ExecMainStatus --value tacit-server)" = 0 ]
inside systemctl start tacit-server

claim "it is removed" inside dpkg --remove tacit-server
claim "nothing runs any more" not inside pgrep --exact tacit-server
claim "the program is gone" not inside test -e /usr/bin/tacit-server
claim "configuration and data stay" inside test -e /etc/tacit/tacit.toml -a -e /var/lib/tacit/spool.redb
claim "and a later version finds them" inside dpkg --install /tacit-server.deb
claim "(it starts)" inside systemctl start tacit-server
claim "it is purged" inside dpkg --purge tacit-server
nothing_left() {
    local left
    left=$(find "$root" -xdev -iname '*tacit*' -not -path "$root/tacit-server.deb" -not -path "$root/var/log/journal/*" \
        -not -path "$root/var/cache/man/*")
    echo "$left"
    [ -z "$left" ]
}
claim "nothing of it is left" nothing_left
claim "and it can be installed anew" inside dpkg --install /tacit-server.deb

if command -v lintian >/dev/null; then
    claim "lintian finds no errors" lintian --allow-root --fail-on error,warning "$package"
    cat "$work/out"
fi
echo "The package does what it should."
