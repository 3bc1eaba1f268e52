# Brings what looks at deploy/ and is none of pip's, and this machine lacks: as root, on Debian and its like. Run by
# `make test-scale` with the folder of the linters, which Prometheus' tool is put into, without Prometheus.
set -eu
linters=$1

without() {
    echo "$*: what is not there is skipped" >&2
    exit 0
}

lacking=""
command -v debootstrap >/dev/null || lacking="$lacking debootstrap"
command -v docker-compose >/dev/null || lacking="$lacking docker-compose"
command -v kubectl >/dev/null || lacking="$lacking kubernetes-client"
command -v systemd-analyze >/dev/null || lacking="$lacking systemd"
promtool=$(command -v promtool || command -v "$linters/bin/promtool" || true)

if [ -n "$lacking" ] || [ -z "$promtool" ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        without "make test-scale looks at deploy/ with docker-compose, kubectl and others, too"
    fi
    apt-get update -qq || without "apt-get brings nothing"
fi
if [ -n "$lacking" ]; then
    echo "Installing:$lacking"
    # shellcheck disable=SC2086 # Several words.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $lacking >/dev/null ||
        without "apt-get does not bring:$lacking"
fi
if [ -z "$promtool" ]; then
    echo "Taking promtool out of the package prometheus"
    folder=$(mktemp -d)
    chmod 755 "$folder"
    (cd "$folder" && apt-get download -qq prometheus >/dev/null 2>&1 && dpkg-deb -x prometheus_*.deb .) &&
        cp "$folder/usr/bin/promtool" "$linters/bin/" || echo "It does not come, and what it looks at is skipped" >&2
    rm -r "$folder"
fi
