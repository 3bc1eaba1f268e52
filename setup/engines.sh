# Brings what `make test-scale` needs and this machine lacks: as root, on Debian and its like. Installs nothing twice,
# starts nothing, and leaves nothing mounted.
#
# Ends with 75 where it cannot be had here, and says why in one line on stderr: for a person that is a failure, for
# .ci/run a reason to leave test-scale out.
set -eu

cannot() {
    echo "$*" >&2
    exit 75
}

# bring WHAT COMMAND...: runs the command by which something comes.
bring() {
    what=$1
    shift
    said=$("$@" 2>&1 </dev/null) || cannot "$what cannot be installed here: $(echo "$said" | tail -n 1)"
}

# Have packages below $1 start nothing.
start_nothing() {
    printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
    chmod +x "$1/usr/sbin/policy-rc.d"
}

# Installs packages of this machine's Debian.
install() {
    command -v apt-get >/dev/null || cannot "$* cannot be installed here: there is no apt-get"
    echo "Installing: $*"
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        start_nothing ""
    fi
    dpkg --configure -a >/dev/null 2>&1 || true # What was cut off is gone on with.
    bring "$*" apt-get update -qq
    bring "$*" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

trap 'exit 1' HUP INT TERM
if [ "${1:-}" != apart ]; then
    [ "$(id -u)" -eq 0 ] || cannot "only root can make network namespaces, and a Debian in a folder"
    # Tried for real; then this goes on with mounts of its own, which end with it, however it ends.
    said=$(unshare --net --mount sh -ec 'mount -t proc proc /proc; chroot --userspec=1:1 / true' 2>&1) ||
        cannot "this machine lets nobody make namespaces, mount and change the root: $(echo "$said" | head -n 1)"
    exec unshare --mount --propagation private sh "$0" apart
fi

command -v ip >/dev/null || install iproute2
[ -n "$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || install postgresql

# Debian had no RabbitMQ 4 before its release 13: that, in a folder of its own, on whatever there is.
rabbitmq=${BARKER_RABBITMQ:-$HOME/.rabbitmq4}
[ ! -x "$rabbitmq/usr/lib/rabbitmq/bin/rabbitmq-server" ] || exit 0
[ -z "$(ls -A "$rabbitmq" 2>/dev/null)" ] ||
    cannot "$rabbitmq has no RabbitMQ 4, but something else: remove it, or name another folder in BARKER_RABBITMQ"
command -v debootstrap >/dev/null || install debootstrap
echo "Installing RabbitMQ 4 below $rabbitmq (a minute or more)"
rm -rf "$rabbitmq.part" # One that was cut off is begun anew.
bring "RabbitMQ 4" debootstrap --variant=minbase trixie "$rabbitmq.part"
# As this machine reaches Debian, so does that.
cp /etc/resolv.conf "$rabbitmq.part/etc/"
find /etc/apt/apt.conf.d -name '*proxy*' -exec cp {} "$rabbitmq.part/etc/apt/apt.conf.d/" \;
start_nothing "$rabbitmq.part"
mount -t proc proc "$rabbitmq.part/proc"
bring "RabbitMQ 4" chroot "$rabbitmq.part" \
    env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rabbitmq-server
umount "$rabbitmq.part/proc"
# It is there when it is whole.
bring "RabbitMQ 4" mv -T "$rabbitmq.part" "$rabbitmq"
