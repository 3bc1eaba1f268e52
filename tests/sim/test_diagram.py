"""The record of a simulated run, what it is in words, and the page that is made of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from barker.core.errors import Mistake
from barker.core.faults import Fault
from barker.sim.diagram import SCRIPTS, page, picture, write_diagram
from barker.sim.frames import Conversation, Frame
from barker.sim.plan import Plan
from barker.sim.record import Record
from barker.sim.shrink import shrink
from barker.sim.simulation import Outcome, planned, simulate
from barker.simulate import main
from tests.seed import SEED
from tests.sim.mutants import MUTANTS

FAULTS = [
    Fault(2.0, "full", ("outbox-1",), 1.0),
    Fault(2.3, "kill", ("bizlogic-1",), 0.6),
    Fault(4.0, "freeze", ("inbox-1",), 1.0),
    Fault(5.5, "cut", ("outbox-2",), 0.5),
    Fault(6.5, "reset", ("inbox-1",), 0.0),
]
PLAN = Plan(3, seconds=8, rate=20, faults=FAULTS)


@pytest.fixture(scope="module")
def run() -> tuple[Outcome, Record]:
    record = Record()
    return simulate(PLAN, record=record), record


def frames(record: Record) -> Iterator[tuple[str, str, Frame]]:
    conversations: dict[int, Conversation] = {}
    for piece in record.pieces:
        conversation = conversations.setdefault(piece.connection, Conversation())
        for frame in conversation.feed(piece.source, piece.target, piece.data):
            yield piece.source, piece.target, frame


# The record


def test_a_run_is_the_same_with_a_record() -> None:
    plan = planned(SEED, 12, 5, 60)
    without, recorded = simulate(plan), simulate(plan, record=Record())
    assert recorded.digest == without.digest, SEED
    assert (recorded.events, recorded.bytes) == (without.events, without.bytes)


def test_all_that_was_sent_is_recorded(run: tuple[Outcome, Record]) -> None:
    outcome, record = run
    assert sum(len(piece.data) for piece in record.pieces) == outcome.bytes
    for piece in record.pieces:
        assert piece.came is None or piece.came > piece.sent
        assert piece.read is None or (piece.came is not None and piece.read >= piece.came)
        assert piece.source != piece.target
    assert all(piece.read is not None for piece in record.pieces if piece.sent < 1.9)


def test_who_is_frozen_reads_later(run: tuple[Outcome, Record]) -> None:
    _, record = run
    waited = [
        piece.read - piece.came
        for piece in record.pieces
        if piece.target == "inbox-1" and piece.came and piece.read and 4.3 < piece.came < 5
    ]
    assert waited
    assert min(waited) > 0.1


def test_faults_and_commits_are_marks(run: tuple[Outcome, Record]) -> None:
    _, record = run
    for name, what in {
        "outbox-1": ["start", "full on", "failed", "full off", "commit"],
        "bizlogic-1": ["start", "kill"],
        "inbox-1": ["frozen on", "frozen off", "reset", "commit"],
        "outbox-2": ["cut on", "cut off"],
    }.items():
        told = [mark.what for mark in record.marks if mark.name == name]
        assert set(what) <= set(told), name
    times = [mark.at for mark in record.marks]
    assert times == sorted(times)


# Frames


def test_every_frame_of_a_run_with_faults_is_read() -> None:
    record = Record()
    simulate(planned(SEED, 60, 5, 60), record=record)
    kinds = Counter(frame.kind for _, _, frame in frames(record))
    assert kinds["bytes"] == 0, f"seed {SEED}"
    assert {"header", "open", "begin", "attach", "flow", "transfer", "disposition", "heartbeat"} <= set(kinds)


def test_each_bark_is_carried_and_settled_from_hop_to_hop(run: tuple[Outcome, Record]) -> None:
    outcome, record = run
    carried: dict[str, set[tuple[str, str, str]]] = {}
    for source, target, frame in frames(record):
        for bark in frame.barks:
            hop = source.partition("-")[0], target.partition("-")[0]
            carried.setdefault(bark, set()).add((frame.kind, *hop))
    assert len(carried) == outcome.figures["accepted"]
    for bark, hops in carried.items():
        for source, target in (("clients", "outbox"), ("outbox", "bizlogic"), ("bizlogic", "inbox")):
            assert ("transfer", source, target) in hops, bark
            assert ("disposition", target, source) in hops, bark
        assert ("transfer", "inbox", "clients") in hops, bark


def frame(channel: int, body: bytes, kind: int = 0) -> bytes:
    return (len(body) + 8).to_bytes(4, "big") + bytes((2, kind)) + channel.to_bytes(2, "big") + body


BEGIN = b"\x00\x53\x11\xc0\x02\x01\x40"
BEGIN_BACK = b"\x00\x53\x11\xc0\x04\x01\x60\x00\x05"
ATTACH = b"\x00\x53\x12\xc0\x14\x07\xa1\x01x\x43\x42\x50\x02\x50\x00\x40\x00\x53\x29\xc0\x04\x01\xa1\x01q"
TRANSFER = b"\x00\x53\x14\xc0\x0a\x06\x43\x52\x07\xa0\x01t\x43\x42\x42"
DISPOSITION = b"\x00\x53\x15\xc0\x0a\x05\x41\x52\x07\x40\x41\x00\x53\x24\x45"
BARK = b"\x00\x53\x73\xc0\x07\x01\xa1\x04ab:7\x00\x53\x77\xa1\x02hi"


def test_a_transfer_is_settled_by_what_comes_back_on_the_other_channel() -> None:
    conversation = Conversation()
    conversation.feed("a", "b", frame(5, BEGIN) + frame(5, ATTACH))
    conversation.feed("b", "a", frame(9, BEGIN_BACK))
    (sent,) = conversation.feed("a", "b", frame(5, TRANSFER + BARK))
    assert (sent.kind, sent.title, sent.barks) == ("transfer", "transfer 7 to q: ab:7", ["ab:7"])
    (settled,) = conversation.feed("b", "a", frame(9, DISPOSITION))
    assert (settled.title, settled.barks) == ("accepted 7: ab:7", ["ab:7"])
    (again,) = conversation.feed("b", "a", frame(9, DISPOSITION))
    assert again.barks == [], "it was settled before"


def test_frames_that_come_in_pieces_are_put_together() -> None:
    conversation = Conversation()
    data = b"AMQP\x00\x01\x00\x00" + frame(0, b"") + frame(5, BEGIN)
    told = [conversation.feed("a", "b", data[at : at + 1]) for at in range(len(data))]
    assert [each.title for some in told for each in some] == ["header: AMQP 1.0", "heartbeat", "begin"]


def test_a_delivery_of_several_frames_is_one_bark() -> None:
    conversation = Conversation()
    conversation.feed("a", "b", frame(5, BEGIN) + frame(5, ATTACH))
    more = TRANSFER[:-1] + b"\x41"
    first, last = conversation.feed("a", "b", frame(5, more + BARK[:9]) + frame(5, TRANSFER + BARK[9:]))
    assert (first.title, first.barks) == ("transfer 7 to q, 9 bytes and more to come", [])
    assert (last.title, last.barks) == ("transfer 7 to q: ab:7", ["ab:7"])


@pytest.mark.parametrize(
    ("data", "title"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "18 bytes that are no frame"),
        (frame(0, b"\x00\x53"), "a frame of 10 bytes that cannot be read"),
        (frame(0, b"\x00\x53\x99\x45"), "a frame of 12 bytes that cannot be read"),
        (frame(0, b"\x00\x53\x15\x45"), "a frame of 12 bytes that cannot be read"),
        (frame(0, b"\x00\x53\x44\xc0\x03\x01\x50\x00", kind=1), "SASL outcome"),
        (frame(0, b"\x00\x53\x18\x45"), "close"),
    ],
)
def test_what_cannot_be_read_is_so_many_bytes(data: bytes, title: str) -> None:
    assert [each.title for each in Conversation().feed("a", "b", data)] == [title]


# The page


def data_of(file: Path) -> dict[str, Any]:
    text = file.read_text(encoding="utf-8")
    return json.loads(text.partition('id="run">')[2].partition("</script>")[0])


def test_a_pictures_lanes_arrows_and_stretches(run: tuple[Outcome, Record]) -> None:
    _, record = run
    drawn = picture(record)
    assert drawn["lanes"][:3] == ["directory-1", "clients", "outbox-1"]
    assert drawn["lanes"][-1] == "inbox-1"
    assert len({len(column) for column in drawn["arrows"].values()}) == 1
    stretches = {(drawn["lanes"][lane], what) for lane, what, _, to in drawn["stretches"] if to}
    assert {
        ("bizlogic-1", "down"),
        ("inbox-1", "frozen"),
        ("outbox-1", "full"),
        ("outbox-2", "cut"),
    } <= stretches
    # A bark is put into an outbox's journal, and taken out when it is done.
    written = [(lane, text) for _, _, lane, what, text, _ in drawn["marks"] if what == "commit"]
    inserted, deleted = (
        {(lane, text.split()[1]) for lane, text in written if text.startswith(verb)}
        for verb in ("insert", "delete")
    )
    assert inserted & deleted


def test_what_is_in_a_run_cannot_end_its_script(tmp_path: Path) -> None:
    text = page({"told": ["</script><script>alert(1)</script>"]})
    assert text.count("</script>") == 2
    assert "/*INSERT" not in text
    (tmp_path / "x.html").write_text(text)
    assert data_of(tmp_path / "x.html")["told"] == ["</script><script>alert(1)</script>"]


def test_the_page_needs_nothing_else(run: tuple[Outcome, Record], tmp_path: Path) -> None:
    write_diagram(tmp_path / "run.html", PLAN, *run)
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not any(word in text for word in ("http://", "https://", "src=", "innerHTML"))
    assert len(SCRIPTS) == len(list((Path(__file__).parents[2] / "barker/sim/page").glob("*.js")))


def test_a_page_that_cannot_be_written_is_named(run: tuple[Outcome, Record], tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="No such file"):
        write_diagram(tmp_path / "none" / "run.html", PLAN, *run)


# The command


def test_the_command_draws_a_replay(tmp_path: Path) -> None:
    PLAN.write(tmp_path / "run.json")
    arguments = ["--replay", str(tmp_path / "run.json"), "--diagram", str(tmp_path / "run.html"), "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert data_of(tmp_path / "run.html")["told"] == list(PLAN.told())


def test_a_diagram_is_of_one_run(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--runs", "2", "--diagram", str(tmp_path / "run.html")])
    assert done.exit_code == 2
    assert "--diagram is of one run" in done.output
    assert not (tmp_path / "run.html").exists()


def test_a_run_that_fails_is_drawn_small_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS["a_readers_cursor_off_by_one"](monkeypatch)  # Every run finds it, and soon.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("barker.sim.told.shrink", lambda plan, fails: shrink(plan, fails, tries=3))
    arguments = ["--seed", str(SEED), "--minutes", "0.1", "--rate", "10", "--faults", "40"]
    done = CliRunner().invoke(main, [*arguments, "--diagram", "run.html"])
    assert done.exit_code == 1
    assert data_of(tmp_path / "run.html")["wrong"]
    small = data_of(tmp_path / f"simulated-{SEED}.html")
    assert small["wrong"]
    assert small["told"] != data_of(tmp_path / "run.html")["told"]
