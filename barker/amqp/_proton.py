"""Proton's C interface, `cproton_ffi` inside python-qpid-proton: every name of it that Barker calls, checked.

Proton's own Python classes wrap every event in five objects and cost 25 to 43 µs a message a side; one C call
each, as in `link.py` and `connection.py`, costs about 3. They are used where speed is no matter: for maps,
symbols and conditions.

Tested with 0.39.0 and 0.40.0 (``make test-proton``); Barker runs on 0.40.0. What the next, 0.41, will do
otherwise is held off here: it decodes strings that are no UTF-8 to surrogates (:func:`owned`), and some lists
inside a map crash its encoder (:func:`write_map`).
"""

from __future__ import annotations

import logging
import threading
from types import ModuleType
from typing import Any

from cproton import msgid2py
from cproton_ffi import ffi as _ffi
from cproton_ffi import lib as _lib
from proton import Array, Described, symbol, ulong, ushort
from proton._data import dat2obj, obj2dat

from barker.amqp.handlers import Condition

log = logging.getLogger(__name__)

_NAMES = tuple(
    """
    PN_ACCEPTED PN_CONNECTION_REMOTE_CLOSE PN_CONNECTION_REMOTE_OPEN PN_COORDINATOR PN_DELIVERY
    PN_DIST_MODE_COPY PN_LINK_FLOW PN_LINK_REMOTE_CLOSE PN_LINK_REMOTE_DETACH PN_LINK_REMOTE_OPEN
    PN_LOCAL_UNINIT PN_MAP PN_MODIFIED PN_NULL PN_REJECTED PN_RELEASED PN_REMOTE_CLOSED
    PN_SESSION_REMOTE_CLOSE PN_SESSION_REMOTE_OPEN PN_SND_SETTLED PN_SND_UNSETTLED PN_STRING
    PN_UNSPECIFIED pn_collector pn_collector_free pn_collector_peek pn_collector_pop
    pn_collector_release pn_condition_get_description pn_condition_get_name pn_condition_info
    pn_condition_is_set pn_condition_set_description pn_condition_set_name pn_connection
    pn_connection_close pn_connection_collect pn_connection_condition pn_connection_open
    pn_connection_properties pn_connection_release pn_connection_remote_condition
    pn_connection_remote_container pn_connection_remote_properties pn_connection_set_container
    pn_connection_set_hostname pn_connection_state pn_data_enter pn_data_get_map pn_data_get_string
    pn_data_next pn_data_rewind pn_data_type pn_decref pn_delivery pn_delivery_aborted pn_delivery_local
    pn_delivery_partial pn_delivery_pending pn_delivery_remote pn_delivery_remote_state
    pn_delivery_settle pn_delivery_settled pn_delivery_update pn_disposition_condition
    pn_disposition_is_undeliverable pn_disposition_set_failed pn_disposition_set_undeliverable
    pn_event_delivery pn_event_link pn_event_session pn_event_type pn_link_advance
    pn_link_close pn_link_condition
    pn_link_credit pn_link_current pn_link_drained pn_link_flow pn_link_free pn_link_get_drain
    pn_link_is_sender pn_link_name pn_link_open pn_link_properties pn_link_queued pn_link_recv
    pn_link_remote_condition pn_link_remote_max_message_size pn_link_remote_properties
    pn_link_remote_rcv_settle_mode pn_link_remote_snd_settle_mode pn_link_remote_source
    pn_link_remote_target pn_link_send pn_link_session pn_link_set_max_message_size
    pn_link_set_rcv_settle_mode pn_link_set_snd_settle_mode pn_link_source pn_link_state pn_link_target
    pn_message pn_message_body pn_message_clear pn_message_decode pn_message_free
    pn_message_get_creation_time pn_message_get_id pn_message_get_subject pn_message_properties
    pn_receiver pn_sender pn_session pn_session_close pn_session_free
    pn_session_open pn_session_outgoing_bytes pn_session_remote_condition pn_session_state
    pn_terminus_copy pn_terminus_filter pn_terminus_get_address pn_terminus_get_distribution_mode
    pn_terminus_get_type pn_terminus_is_dynamic pn_terminus_set_address
    pn_terminus_set_distribution_mode pn_terminus_set_type pn_transport pn_transport_bind
    pn_transport_capacity pn_transport_condition pn_transport_get_remote_idle_timeout pn_transport_peek
    pn_transport_pending pn_transport_pop pn_transport_push pn_transport_set_channel_max
    pn_transport_set_idle_timeout pn_transport_set_max_frame pn_transport_set_server pn_transport_tick
    pn_transport_unbind
    """.split()  # noqa: SIM905 - a name a line would be six pages
)
"""All of Proton's C interface that Barker uses."""

_missing = [name for name in _NAMES if not hasattr(_lib, name)]
if _missing:
    raise ImportError(
        f"this python-qpid-proton lacks {', '.join(_missing)}: install the version in requirements.txt"
    )

lib: Any = ModuleType("lib")  # Of all objects, a module is the quickest to ask for a name.
vars(lib).update((name, getattr(_lib, name)) for name in _NAMES)
"""Proton's C functions and constants; those of :data:`_NAMES` and no others."""

ffi = _ffi
"""Between Python's memory and C's."""

NULL = ffi.NULL

ACCEPTED: int = lib.PN_ACCEPTED
REJECTED: int = lib.PN_REJECTED
RELEASED: int = lib.PN_RELEASED
MODIFIED: int = lib.PN_MODIFIED

READ_SIZE = 64 * 1024
WRITE_SIZE = 256 * 1024


class _Buffers(threading.local):
    """Where bytes are copied to and from Proton: one of each for each thread, as each has its own loop."""

    def __init__(self) -> None:
        self.read_bytes = bytearray(READ_SIZE)
        self.read = ffi.from_buffer(self.read_bytes)
        write_bytes = bytearray(WRITE_SIZE)
        self.write = ffi.from_buffer(write_bytes)
        self.written = memoryview(write_bytes)


buffers = _Buffers()


def text_at(chars: Any) -> str | None:
    """The text that a C pointer points at; None for the null pointer."""
    return None if chars == NULL else ffi.string(chars).decode("utf-8", "replace")


def utf8(text: str) -> bytes:
    """The bytes of a text for Proton; a lone surrogate, which UTF-8 has no bytes for, is a question mark."""
    return text.encode("utf-8", "replace")


def owned(value: Any) -> Any:
    """A value that Proton has decoded, in Python's own types.

    For a view of Proton's memory there are bytes, for an array a list, for what is described just that.

    :raises UnicodeEncodeError: for a string that was no UTF-8.
    """
    if isinstance(value, str):
        if not value.isascii():
            value.encode()  # Up to 0.40 Proton raises by itself; from 0.41 on it gives lone surrogates.
        return value
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, Described):
        return owned(value.value)
    if isinstance(value, Array):
        return [owned(each) for each in value.elements]
    if isinstance(value, dict):
        return {owned(key): owned(each) for key, each in value.items()}
    if isinstance(value, list):
        return [owned(each) for each in value]
    return value


def read_map(data: Any) -> dict[str, Any]:
    """A map of a peer's; empty if there is none, or one that Python has no dict for."""
    try:
        value = owned(dat2obj(data))
        return {str(key): each for key, each in value.items()} if isinstance(value, dict) else {}
    except Exception as error:
        # Proton raises whatever its C code and Python's own types do on hostile values.
        log.debug("a map that cannot be read: %s", error)
        return {}


def read_id(message: Any) -> Any:
    """A message's id: a string, a number, bytes or a UUID (AMQP 1.0 §3.2.11 to 14); None when it has none.

    :raises UnicodeError: for a string that is no UTF-8.
    """
    return owned(msgid2py(lib.pn_message_get_id(message)))


def write_map(data: Any, entries: dict[str, Any]) -> None:
    """Have a map in a field of Proton's, with symbols as keys, and text, bytes, numbers or None as values.

    Any other value is left out: Proton 0.41 may crash over a map that has a list or a map inside.
    """
    flat: dict[Any, Any] = {}
    for key, each in entries.items():
        if isinstance(each, str):
            each = utf8(each).decode()
        if each is None or isinstance(each, (str, bytes, int, float)):
            flat[symbol(key.encode("ascii", "replace").decode())] = each
    obj2dat(flat, data)


def write_filter(data: Any, filters: dict[str, str | int]) -> None:
    """Have a source's filter set: each a described symbol or ulong, by its descriptor (AMQP 1.0 §3.5.8)."""
    obj2dat(
        {
            symbol(name): Described(symbol(name), ulong(each) if isinstance(each, int) else each)
            for name, each in filters.items()
        },
        data,
    )


def has_entries(data: Any) -> bool:
    """Whether a field that is a map, or null, has anything in it."""
    lib.pn_data_rewind(data)
    if not lib.pn_data_next(data) or lib.pn_data_type(data) == lib.PN_NULL:
        return False
    return lib.pn_data_type(data) != lib.PN_MAP or lib.pn_data_get_map(data) > 0


def read_condition(condition: Any) -> Condition | None:
    """A condition of Proton's; None when it is not set."""
    if not lib.pn_condition_is_set(condition):
        return None
    return Condition(
        text_at(lib.pn_condition_get_name(condition)) or "",
        text_at(lib.pn_condition_get_description(condition)) or "",
        read_map(lib.pn_condition_info(condition)),
    )


def write_condition(condition: Any, what: Condition) -> None:
    """Have a condition in one of Proton's."""
    lib.pn_condition_set_name(condition, utf8(what.name))
    lib.pn_condition_set_description(condition, utf8(what.description))
    if what.info:
        info = {key: ushort(each) if key == "port" else each for key, each in what.info.items()}
        write_map(lib.pn_condition_info(condition), info)
