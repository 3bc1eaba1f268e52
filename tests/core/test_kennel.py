"""Who is there when nobody real is."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from barker.core.kennel import FRIENDS, SAMPLE, STAR, acquaintances, dogs
from tests.seed import seeded


@pytest.fixture
def pairs() -> list[tuple[str, str]]:
    return list(acquaintances(dogs(SAMPLE), seeded()))


def test_friends_are_mutual_and_each_once(pairs: list[tuple[str, str]]) -> None:
    assert len(set(pairs)) == len(pairs)
    assert {(other, one) for one, other in pairs} == set(pairs)
    assert all(one != other for one, other in pairs)


def test_they_are_as_many_as_people_have(pairs: list[tuple[str, str]]) -> None:
    friends = Counter(one for one, _ in pairs)
    counts = sorted(friends.values())
    for share in (0.25, 0.5, 0.75):
        real = FRIENDS[round(share * 20)]
        assert counts[int(share * len(counts))] == pytest.approx(real, rel=0.4), "by chance, a third off"
    assert friends[STAR] > 1.5 * FRIENDS[-2], "the star has the most, or nearly"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_are_no_trouble(count: int) -> None:
    assert len(list(acquaintances(dogs(count), Random(1)))) <= count * (count - 1)
