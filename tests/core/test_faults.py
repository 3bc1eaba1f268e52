"""Which faults come when, and which gaps are theirs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.faults import BROKERED_DISKS, KINDS, NODE_SECONDS, Fault, longest_gaps, schedule

SERVICES = {
    "directory-1": "directory",
    "gateway-2": "gateway",
    "inbox-3": "inbox",
    "outbox-4": "outbox",
    "outbox-5": "outbox",
    "bizlogic-6": "bizlogic",
    "bizlogic-7": "bizlogic",
}


@given(st.integers(), st.floats(1, 120), st.floats(1, 120))
def test_the_seed_makes_the_schedule(seed: int, seconds: float, per_minute: float) -> None:
    faults = schedule(seed, SERVICES, seconds, per_minute)
    assert faults == schedule(seed, SERVICES, seconds, per_minute)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    free = {(name, disk): 0.0 for name in SERVICES for disk in (False, True)}
    for fault in faults:
        assert fault.end <= seconds
        assert len(set(fault.names)) == len(fault.names)
        for name in fault.names:
            place = name, fault.kind == "full"
            assert fault.at > free[place], "nobody is hit while he is down, no disk filled while it is full"
            free[place] = fault.end
        if fault.kind == "freeze":
            assert 0.1 <= fault.seconds <= 10
        if fault.kind == "full":
            assert 0.5 <= fault.seconds <= 6
            kinds = [SERVICES[name] for name in fault.names]
            assert kinds in (["outbox"], ["inbox"], ["outbox", "inbox"]), "others have no journal"


def test_every_service_and_kind_has_its_turn() -> None:
    faults = schedule(1, SERVICES, 3600, 60)
    assert {name for fault in faults for name in fault.names} == set(SERVICES)
    labels = {fault.label for fault in faults}
    assert {"kill inbox", "freeze bizlogic", "restart gateway", "fresh outbox"} <= labels
    assert {"kill outbox and outbox", "kill directory and bizlogic"} <= labels
    assert {"full outbox", "full inbox", "full outbox and inbox"} <= labels


def test_services_are_killed_and_started_while_their_disk_is_full() -> None:
    faults = schedule(1, SERVICES, 3600, 60)
    full = [fault for fault in faults if fault.kind == "full"]
    assert any(
        disk.at < fault.at and fault.end < disk.end and set(fault.names) & set(disk.names)
        for disk in full
        for fault in faults
        if fault.kind == "kill"
    )


def test_only_kinds_that_there_are_come() -> None:
    faults = schedule(1, SERVICES, 3600, 60, [kind for kind in KINDS if kind != "full"])
    assert {fault.kind for fault in faults} == {"kill", "restart", "freeze", "fresh"}


BROKERED = {"node-1": "node", "node-2": "node", "node-3": "node"} | SERVICES


@given(st.integers(), st.floats(1, 120), st.floats(1, 120))
def test_of_a_brokers_nodes_one_at_a_time_is_struck(seed: int, seconds: float, per_minute: float) -> None:
    faults = schedule(seed, BROKERED, seconds, per_minute, (*KINDS, "cut"), BROKERED_DISKS)
    ready = 0.0
    for fault in faults:
        assert fault.end <= seconds
        kinds = [BROKERED[name] for name in fault.names]
        if "node" in kinds:
            assert len(kinds) == 1
            assert fault.kind in ("kill", "restart", "freeze", "fresh", "cut")
            assert fault.at > ready, "a majority of the others is there, and has been for a while"
            ready = fault.end + NODE_SECONDS
        else:
            assert fault.kind != "cut"


def test_every_node_and_kind_of_its_faults_has_its_turn() -> None:
    faults = schedule(1, BROKERED, 3600, 60, (*KINDS, "cut"), BROKERED_DISKS)
    struck = [(fault.kind, *fault.names) for fault in faults if fault.names[0].startswith("node")]
    assert {name for _, name in struck} == {"node-1", "node-2", "node-3"}
    assert {kind for kind, _ in struck} == {"kill", "restart", "freeze", "fresh", "cut"}
    assert {fault.names[0] for fault in faults} >= set(SERVICES), "the others have theirs, too"
    assert min(fault.seconds for fault in faults if fault.label == "restart node") >= 5


def test_with_a_broker_no_disk_of_an_outbox_is_full() -> None:
    faults = schedule(1, BROKERED, 3600, 60, KINDS, BROKERED_DISKS)
    assert {fault.label for fault in faults if fault.kind == "full"} == {"full inbox"}


def test_gaps_belong_to_the_faults_they_overlap() -> None:
    faults = [Fault(1.0, "kill", ("inbox-1",), 0.5), Fault(5.0, "freeze", ("outbox-2",), 1.0)]
    arrivals = [0.5, 0.9, 1.0, 2.4, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.1, 5.5, 9.0]
    found = longest_gaps(arrivals, faults, settle=1.0)
    alone = {label: gap.alone for label, gap in found.items()}
    assert alone == {"kill inbox": pytest.approx(1.4), "freeze outbox": pytest.approx(3.5)}
    assert all(not gap.shared and not gap.suspects for gap in found.values())


def test_a_gap_that_several_can_have_made_is_nobodys() -> None:
    faults = [
        Fault(1.0, "kill", ("inbox-1",), 0.5),
        Fault(1.1, "freeze", ("outbox-2",), 2.0),
        Fault(9.0, "kill", ("inbox-1",), 0.0),
        Fault(20.0, "restart", ("gateway-2",), 0.0),
        Fault(20.0, "fresh", ("gateway-2",), 0.0),
    ]
    arrivals = [0.9, 3.9, 4.0, 9.0, 9.2, 19.0, 20.5, 30.0]
    found = longest_gaps(arrivals, faults, settle=1.0)
    both = ("freeze outbox", "kill inbox")
    assert found["kill inbox"] == (pytest.approx(9.8), pytest.approx(3.0), both)
    assert found["freeze outbox"] == (pytest.approx(5.0), pytest.approx(3.0), both)
    unknown = (None, pytest.approx(9.5), ("fresh gateway", "restart gateway"))
    assert found["restart gateway"] == found["fresh gateway"] == unknown
    assert longest_gaps([], faults, settle=1.0)["kill inbox"] == (None, 0.0, ())


def test_there_may_be_none() -> None:
    assert schedule(1, SERVICES, 60, 0) == []
