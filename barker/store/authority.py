"""A suite's authority: makes the certificates by which services, operators and people know each other.

Its folder has ``authority.key``, which makes more of them and stays where it was made; ``authority.pem``,
which everybody needs; and, for each who has one, a file with key and certificate
(:attr:`Identity.file_name`).
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from barker.core.access import AUTHORITY, SCHEME, Identity, certified
from barker.core.admission import LOOPBACK
from barker.core.errors import Mistake

KEY = "authority.key"
"""The file with the authority's own key."""

AUTHORITY_DAYS = 3650
"""So long an authority lasts."""

EARLY_SECONDS = 3600.0
"""Certificates are good so long before they are made: not all clocks go alike."""

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class Issued(NamedTuple):
    """A certificate that was made."""

    who: Identity
    file: Path
    end: datetime
    """When it expires, in UTC."""


class Authority:
    """Who makes certificates; :meth:`make` for a new one."""

    def __init__(self, folder: Path) -> None:
        """That of the folder.

        :raises Mistake: when there is none.
        """
        self.folder = folder
        self._key, self.certificate = _key(folder / KEY), _certificate(folder / AUTHORITY)

    @staticmethod
    def make(
        folder: Path,
        who: Iterable[Identity],
        hosts: Iterable[str],
        days: int,
        now: float,
        key: Key | None = None,
    ) -> list[Issued]:
        """A new authority, and certificates of it for these; `now` in seconds since 1970.

        Their keys are of the kind of its own `key`; else of the curve P-256, which browsers know.

        :raises Mistake: when there is one already, or it cannot be written.
        """
        if (folder / AUTHORITY).exists():
            raise Mistake(
                f"{folder} has an authority already: 'barker certs add' and 'renew' make more of it"
            )
        addresses = _names(hosts)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Mistake(f"{folder}: {error.strerror}; the certificates are kept there") from None
        key = key or _new_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Barker authority")])
        certificate = (
            _builder(name, name, key.public_key(), now, _after(now, AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, _hash(key))
        )
        _write(folder / KEY, _pem(key))
        authority = Authority.__new__(Authority)
        authority.folder, authority._key, authority.certificate = folder, key, certificate
        issued = [authority._issue(one, addresses, days, now) for one in who]
        # Last: one that was cut short can be begun again.
        _write(folder / AUTHORITY, certificate.public_bytes(serialization.Encoding.PEM))
        return issued

    def add(self, who: Identity, hosts: Iterable[str], days: int, now: float) -> Issued:
        """A certificate for one more.

        :raises Mistake: when there is one for that name, or it cannot be written.
        """
        if (self.folder / who.file_name).exists():
            raise Mistake(
                f"{self.folder / who.file_name} is there already: 'barker certs renew' makes it new"
            )
        return self._issue(who, _names(hosts), days, now)

    def renew(self, hosts: Iterable[str], days: int, now: float) -> list[Issued]:
        """New keys and certificates for all who have one here, with the names that they have and `hosts`.

        :raises Mistake: when one cannot be read or written.
        """
        more = _names(hosts)
        found = [_found(file) for file in sorted(self.folder.glob("*.pem")) if file.name != AUTHORITY]
        return [self._issue(who, dict.fromkeys([*kept, *more]), days, now) for who, kept in found]

    def _issue(self, who: Identity, hosts: Iterable[x509.GeneralName], days: int, now: float) -> Issued:
        if datetime.fromtimestamp(now, UTC) >= self.certificate.not_valid_after_utc:
            raise Mistake(
                f"the authority in {self.folder} has expired: make another with 'barker certs init'"
            )
        key = _new_key(self._key)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(who))])
        serves = who.kind == "service"
        names = [x509.UniformResourceIdentifier(f"{SCHEME}{who}"), *(hosts if serves else ())]
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if serves else [])]
        end = min(_after(now, days), self.certificate.not_valid_after_utc)
        certificate = (
            _builder(name, self.certificate.subject, key.public_key(), now, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, _hash(self._key))
        )
        file = self.folder / who.file_name
        _write(file, _pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
        return Issued(who, file, certificate.not_valid_after_utc)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
    now: float,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number() | 1 << 158)  # All have the same length.
        .not_valid_before(datetime.fromtimestamp(now - EARLY_SECONDS, UTC))
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _after(now: float, days: int) -> datetime:
    return datetime.fromtimestamp(now, UTC) + timedelta(days=days)


def _found(file: Path) -> tuple[Identity, list[x509.GeneralName]]:
    """Who has the certificate in that file, and its hosts.

    :raises Mistake: when it is none that was made here.
    """
    certificate = _certificate(file)
    try:
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    uris = [name for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    who = certified({"subjectAltName": [("URI", name.value) for name in uris]})
    if who.file_name != file.name:
        raise Mistake(f"{file} is none that 'barker certs' has made here: move it elsewhere")
    return who, [name for name in names if name not in uris]


def _usage(signs_certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    """This machine's own names, and these: each a name or an address.

    :raises Mistake: for one that is neither.
    """
    return [_name(host) for host in dict.fromkeys((*LOOPBACK, *hosts))]


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise Mistake(f"--host {host!r:.100} is no name or address of a machine") from None
        return x509.DNSName(host)


def _new_key(like: Key | None = None) -> Key:
    if isinstance(like, ed25519.Ed25519PrivateKey):
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def _hash(key: Key) -> hashes.SHA256 | None:
    """What is signed with that key is hashed so first."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(file: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = file.with_name(f"{file.name}.draft")
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(data)
        draft.replace(file)
    except OSError as error:
        raise Mistake(f"{file}: {error.strerror}; it cannot be written") from None


def _key(file: Path) -> Key:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        raise Mistake(f"{file}: {error.strerror}; it is where 'barker certs init' was run") from None
    except (ValueError, TypeError):
        raise Mistake(f"{file} holds no key that can be read") from None
    if not isinstance(key, Key):
        raise Mistake(f"{file} is no key that 'barker certs init' has made")
    return key


def _certificate(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except OSError as error:
        raise Mistake(f"{file}: {error.strerror}; 'barker certs init' makes it") from None
    except ValueError:
        raise Mistake(f"{file} holds no certificate that can be read") from None
