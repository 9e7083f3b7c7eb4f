#!/usr/bin/env bash
# Runs the `peers` benchmark: installs the other servers (Debian's packages, if run as root), starts them on loopback with
# their data in a temporary folder, and stops them. Arguments go to the benchmark: tests/benches/peers.sh --quick
set -euo pipefail
cd "$(dirname "$0")/../.."

packages=(mosquitto nats-server rabbitmq-server strace)
PATH=$PATH:/usr/sbin

missing=()
for package in "${packages[@]}"; do
    command -v "$package" >/dev/null || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        # Debian starts what it installs, but for whoever forbids it.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then
            printf '#!/bin/sh\nexit 101\n' >$policy
            chmod +x $policy
        else
            policy=
        fi
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${missing[@]}"; } >/dev/null ||
            echo "cannot be installed here: ${missing[*]}" >&2
        [ -z "$policy" ] || rm $policy
    else
        echo "not here: ${missing[*]}. As root: apt install ${missing[*]}" >&2
    fi
fi

cargo build --release --locked --workspace --bins
cargo bench --locked -p tacit-tests --bench peers --no-run

home=$(mktemp -d)
started=()
stop() {
    trap - EXIT
    for process in "${started[@]}"; do
        kill "$process" 2>/dev/null || true
    done
    wait || true
    rm -rf "$home"
}
trap stop EXIT
trap 'exit 1' INT TERM

# Ports below those that the system gives to outgoing connections.
next=$((20000 + RANDOM % 8000))
port() {
    while (: <"/dev/tcp/127.0.0.1/$next") 2>/dev/null; do
        next=$((next + 1))
    done
    eval "$1=$next"
    next=$((next + 1))
}

# Waits until somebody listens.
wait_for() {
    for _ in $(seq 600); do
        if (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
            return 0
        fi
        sleep 0.1
    done
    echo "$2 does not start; its log:" >&2
    tail -n 20 "$home/$2.log" >&2
    exit 1
}

peers=()

if command -v mosquitto >/dev/null; then
    port tcp
    port websocket
    # As Debian configures it: saved on disk each half hour and at its end. Beyond the defaults: as many messages on their
    # way to a receiver as it likes, and no waiting for more to fill a segment.
    cat >"$home/mosquitto.conf" <<END
listener $tcp 127.0.0.1
listener $websocket 127.0.0.1
protocol websockets
socket_domain ipv4
allow_anonymous true
persistence true
persistence_location $home/
max_inflight_messages 0
set_tcp_nodelay true
log_dest file $home/mosquitto.log
END
    [ "$(id -u)" = 0 ] && echo "user root" >>"$home/mosquitto.conf"
    mosquitto -c "$home/mosquitto.conf" >/dev/null 2>&1 &
    started+=($!)
    peers+=(--mosquitto "$tcp:$!" --mosquitto-websocket "$websocket:$!")
    wait_for "$tcp" mosquitto
    mosquitto -h | head -n 1 || true
fi

if command -v nats-server >/dev/null; then
    port nats
    # Its defaults. This version has no option to sync before it acks.
    cat >"$home/nats.conf" <<END
listen: "127.0.0.1:$nats"
jetstream { store_dir: "$home/nats" }
END
    nats-server -c "$home/nats.conf" >"$home/nats.log" 2>&1 &
    started+=($!)
    peers+=(--nats "$nats:$!")
    wait_for "$nats" nats
    nats-server --version
fi

rabbitmq=$(echo /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server)
if [ -x "$rabbitmq" ]; then
    port amqp
    port epmd
    port dist
    mkdir "$home/rabbitmq"
    cat >"$home/rabbitmq.conf" <<END
listeners.tcp.1 = 127.0.0.1:$amqp
END
    : >"$home/enabled_plugins"
    epmd -address 127.0.0.1 -port "$epmd" >/dev/null 2>&1 &
    started+=($!)
    (
        export HOME=$home ERL_EPMD_PORT=$epmd
        export RABBITMQ_NODENAME=peers@localhost RABBITMQ_DIST_PORT=$dist RABBITMQ_CONFIG_FILE=$home/rabbitmq.conf
        export RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_ENABLED_PLUGINS_FILE=$home/enabled_plugins
        export RABBITMQ_MNESIA_BASE=$home/rabbitmq RABBITMQ_LOG_BASE=$home/rabbitmq RABBITMQ_PID_FILE=$home/rabbitmq.pid
        # Its guide: on a machine that does other work too, no scheduler waits by spinning.
        export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
        exec "$rabbitmq"
    ) >"$home/rabbitmq.log" 2>&1 &
    wait_for "$amqp" rabbitmq
    process=$(cat "$home/rabbitmq.pid")
    started+=("$process")
    peers+=(--rabbitmq "$amqp:$process")
    basename "$(dirname "$(dirname "$rabbitmq")")"
fi

cargo bench --locked -p tacit-tests --bench peers -- "${peers[@]}" "$@"
