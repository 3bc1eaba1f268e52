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
