# Brings what `make test-scale` needs and this machine lacks: as root, on Debian and its like. Installs nothing twice.
set -eu

lacking=""
command -v ip >/dev/null || lacking="$lacking iproute2"
[ -n "$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || lacking="$lacking postgresql"

if [ -n "$lacking" ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "make test-scale needs:$lacking. Install them first (it does so itself as root, on Debian and its like)" >&2
        exit 1
    fi
    echo "Installing:$lacking"
    apt-get update -qq
    # shellcheck disable=SC2086 # Several words.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $lacking >/dev/null
fi

# Debian had no RabbitMQ 4 before its release 13: that, in a folder of its own, on whatever there is.
rabbitmq=${BARKER_RABBITMQ:-$HOME/.rabbitmq4}
if [ ! -x "$rabbitmq/usr/lib/rabbitmq/bin/rabbitmq-server" ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "make test-scale needs RabbitMQ 4 below $rabbitmq, and can put it there as root, on Debian and its like" >&2
        exit 1
    fi
    echo "Installing RabbitMQ 4 below $rabbitmq (a minute or more)"
    if ! command -v debootstrap >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
    fi
    # One that was cut off is begun anew; what is mounted in it is not its own.
    if [ -d "$rabbitmq" ]; then
        ! mountpoint -q "$rabbitmq/proc" || umount "$rabbitmq/proc"
        rm -rf --one-file-system "$rabbitmq"
    fi
    debootstrap --variant=minbase trixie "$rabbitmq" >/dev/null
    cp /etc/resolv.conf "$rabbitmq/etc/" # As this machine reaches Debian, so does that.
    find /etc/apt/apt.conf.d -name '*proxy*' -exec cp {} "$rabbitmq/etc/apt/apt.conf.d/" \;
    # Its packages start nothing.
    printf '#!/bin/sh\nexit 101\n' >"$rabbitmq/usr/sbin/policy-rc.d"
    chmod +x "$rabbitmq/usr/sbin/policy-rc.d"
    mount -t proc proc "$rabbitmq/proc"
    DEBIAN_FRONTEND=noninteractive chroot "$rabbitmq" apt-get install -y -qq --no-install-recommends rabbitmq-server >/dev/null
fi
# Erlang looks up there what the machine has.
mountpoint -q "$rabbitmq/proc" || mount -t proc proc "$rabbitmq/proc"
