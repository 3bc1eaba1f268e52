"""What is chosen for a run besides its faults."""

from __future__ import annotations

from dataclasses import asdict, fields

from barker.core.capacity import DEFAULT_BOUNDS, Bounds
from barker.sim.chance import ALWAYS, PRODUCTION, RANGES, chosen


def test_a_seed_has_always_the_same_bounds_and_another_seed_others() -> None:
    assert chosen(7) == chosen(7)
    assert len({chosen(seed) for seed in range(50)}) == 50


def test_every_bound_is_chosen_within_its_range_from_few_to_much_and_often_it_is_productions() -> None:
    many = [asdict(chosen(seed)) for seed in range(400)]
    usual = asdict(PRODUCTION)
    assert set(RANGES) == set(usual)
    for name, (least, most) in RANGES.items():
        values = [bounds[name] for bounds in many if bounds[name] != usual[name]]
        assert all(least <= value <= most for value in values)
        middle = (least * most) ** 0.5
        low = sum(value < middle for value in values)
        assert 0.35 < low / len(values) < 0.65
        assert (len(values) > 390) if name in ALWAYS else len(values) in range(120, 280)


def test_productions_bounds_are_those_of_every_process() -> None:
    assert {field.name: getattr(PRODUCTION, field.name) for field in fields(Bounds)} == asdict(DEFAULT_BOUNDS)
