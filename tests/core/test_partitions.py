"""Which inbox has whose timeline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.errors import Mistake
from barker.core.partitions import Partition, addresses, count_in, number_of


@given(st.text(max_size=40), st.integers(1, 20))
def test_each_name_is_in_one_partition(name: str, count: int) -> None:
    holding = [number for number in range(count) if Partition(number, count).holds(name)]
    assert holding == [number_of(name, count)]


@pytest.mark.parametrize("count", [2, 3, 4, 10])
def test_partitions_are_about_as_large_as_one_another(count: int) -> None:
    numbers = [number_of(f"user{at}", count) for at in range(50_000)]
    sizes = [numbers.count(number) for number in range(count)]
    assert max(sizes) < 1.1 * min(sizes)


@pytest.mark.parametrize("text", ["1/2", "2/2", "100/100"])
def test_what_people_write_is_what_is_shown(text: str) -> None:
    assert str(Partition.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "1", "0/2", "3/2", "1/101", "-1/2", "a/b", "1/2/3", "\u0661/\u0662", "1/0"]
)
def test_what_is_no_partition_is_said(text: str) -> None:
    with pytest.raises(Mistake, match="no partition; write it as 2/4"):
        Partition.parse(text)


def test_each_partition_has_an_address() -> None:
    assert addresses("inbox", 1) == ["inbox"]
    assert addresses("inbox", 2) == ["inbox-1-of-2", "inbox-2-of-2"]


@given(st.integers(1, 100), st.data())
def test_an_address_tells_of_how_many_it_is_one(count: int, data: st.DataObject) -> None:
    assert count_in(data.draw(st.sampled_from(addresses("inbox", count))), "inbox") == count


@pytest.mark.parametrize(
    "address",
    [
        "inbox/rex",
        "outbox",
        "outbox-1-of-2",
        "inbox-1",
        "inbox-0-of-2",
        "inbox-3-of-2",
        "inbox-1-of-1",
        "inbox-1-of-101",
    ],
)
def test_other_addresses_are_of_none(address: str) -> None:
    assert count_in(address, "inbox") == 0
