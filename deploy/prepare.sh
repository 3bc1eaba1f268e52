#!/bin/sh
# Makes what a suite has before its first start, in folders that outlive it, and nothing that is there already:
# the suite's key, certificates, users. Run as root in a container of the image, by compose.yaml.
#   /etc/barker      the suite's key and certificates: its services'
#   /etc/authority   what makes more of them: nobody else's
#   /etc/front       nginx's certificate, and the authority's, by which those in front know the suite
#   /var/lib/barker  users
# HOSTS: by which names services are reached; BARKER_NAME: by which browsers reach the page; USERS: how many.
set -eu
umask 077

if [ ! -e /etc/authority/authority.pem ]; then
    # shellcheck disable=SC2086 # Several words.
    barker certs init /etc/authority $(printf -- '--host %s ' $HOSTS)
    barker certs add /etc/authority --service nginx --host "$BARKER_NAME"
fi
mkdir -p /etc/barker/tls
cp /etc/authority/*.pem /etc/barker/tls
rm /etc/barker/tls/service-nginx.pem
[ -e /etc/barker/key ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >/etc/barker/key
cp /etc/authority/service-nginx.pem /etc/authority/authority.pem /etc/front
chmod 755 /etc/front
chmod 644 /etc/front/authority.pem
[ -e /var/lib/barker/users.sqlite3 ] || barker users make --users "$USERS" --data /var/lib/barker
chown -R barker: /etc/barker /var/lib/barker
