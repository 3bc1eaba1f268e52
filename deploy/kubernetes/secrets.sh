#!/bin/sh
# Makes secrets/, which kustomization.yaml makes Secrets of: the suite's key, and a certificate for each service by the
# names that pods have. Once; later `barker certs renew secrets/tls`. Needs the program barker: pip, or the image.
# secrets/tls/authority.key makes more certificates: keep it somewhere else. None of this belongs into a repository.
set -eu
umask 077
cd "$(dirname "$0")"

domain=barker.svc.cluster.local
hosts="web.$domain web.barker.svc"
for pod in directory-0 directory-1 gateway-0 gateway-1 inbox-0 outbox-0 outbox-1 outbox-2 bizlogic-0 monitor-0; do
    hosts="$hosts $pod.${pod%-*}.$domain"
done
# shellcheck disable=SC2046,SC2086 # Several words.
barker certs init secrets/tls $(printf -- '--host %s ' $hosts)
od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >secrets/key
