"""Where users and their words come from when nobody real is there: dogs, whom they follow, what they bark."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from random import Random

STAR = "ark3"
"""The user who reads the web page: follows many, and many follow it. No autobark barks as this one."""

DOGS = (
    *("rex", "bella", "max", "luna", "rocky", "daisy", "duke", "molly", "bruno", "lola"),
    *("zeus", "ruby", "buddy", "nala", "oscar", "penny", "jack", "rosie", "toby", "sadie"),
    *("bear", "coco", "finn", "maggie", "leo", "stella", "otto", "ginger", "moose", "willow"),
)

SAMPLE = 962
"""How many people that network has whose friends were counted."""

FRIENDS = (1, 2, 6, 8, 11, 14, 17, 20, 23, 26, 29, 33, 37, 43, 48, 54, 62, 72, 87, 108, 313)
"""How many friends people have: the fewest, then those of each who is a twentieth of all people further on.

Counted at a college (Traud, Mucha and Porter, "Social structure of Facebook networks", 2012: Reed, of 962
people)."""

_OPENERS = ("Honestly,", "Breaking:", "Hot take:", "Today I learned:", "Note to self:", "Fun fact:", "So")
_DOERS = (
    "the cat next door",
    "my human",
    "the vacuum cleaner",
    "a suspicious squirrel",
    "the mailman",
    "every tennis ball",
    "the neighbour's hedge",
    "my tail",
    "the good couch",
    "an entire sausage",
    "the bathtub",
    "that one puddle",
)
_DEEDS = (
    "is back and nobody told me",
    "will pay for this",
    "went behind the shed again",
    "smells like Tuesday",
    "has been staring at me since breakfast",
    "deserves a second chance",
    "is faster than it looks",
    "moved. I saw it move",
    "must be guarded at all times",
    "tastes better when it is stolen",
    "cannot be trusted",
    "is mine now",
)
_CLOSERS = (
    "",
    "",
    "",
    " No further questions.",
    " Film at eleven.",
    " 10/10 would chase again.",
    " More soon.",
)
_WOOFS = ("Woof", "Arf", "Yip", "Ruff", "Bow wow", "Awooo", "Grrr")


def dogs(count: int) -> list[str]:
    """`count` users' names: :data:`STAR`, then dogs with a number."""
    names = [STAR]
    number = 0
    while len(names) < count:
        names.append(f"{DOGS[number % len(DOGS)]}{number // len(DOGS) + 1}")
        number += 1
    return names[:count]


def friendships(names: Sequence[str], chance: Random) -> Iterator[tuple[str, str]]:
    """Who follows whom, as (follower, followee): a few are followed by many, most by some.

    The star follows a quarter of all and is followed by half of them.
    """
    others = [name for name in names if name != STAR]
    # Popularity falls with rank, as it does among people (Zipf's law).
    weights = [1 / (rank + 1) for rank in range(len(others))]
    chance.shuffle(weights)
    for name in others:
        follows = set(chance.choices(others, weights, k=min(12, len(others)))) - {name}
        yield from ((name, other) for other in sorted(follows))
        if STAR in names and chance.random() < 0.5:
            yield name, STAR
    if STAR in names:
        yield from ((STAR, other) for other in chance.sample(others, len(others) // 4))


def acquaintances(names: Sequence[str], chance: Random) -> Iterator[tuple[str, str]]:
    """Friendships as people have them, as (follower, followee), both ways: the first name has the most.

    Each pair is drawn with the weights of both (Chung and Lu, "Connected components in random graphs with
    given expected degree sequences", 2002); how many each has is as in :data:`FRIENDS`.
    """
    wanted = sorted((_friends_at(chance.random()) for _ in names[1:]), reverse=True)
    weights = list(itertools.accumulate([FRIENDS[-1], *wanted]))
    pairs: set[tuple[int, int]] = set()
    most = len(names) * (len(names) - 1) // 2
    numbers = range(len(names))
    while len(pairs) < min(weights[-1] // 2, most // 2):
        one, other = chance.choices(numbers, cum_weights=weights, k=2)
        if one != other:
            pairs.add((min(one, other), max(one, other)))
    for one, other in sorted(pairs):
        yield names[one], names[other]
        yield names[other], names[one]


def _friends_at(share: float) -> int:
    """How many friends somebody has of whom this share of all (0 to 1) has fewer."""
    place = share * (len(FRIENDS) - 1)
    below = min(int(place), len(FRIENDS) - 2)
    return round(FRIENDS[below] * (FRIENDS[below + 1] / FRIENDS[below]) ** (place - below))


def sentence(chance: Random, users: Sequence[str]) -> str:
    """Something a dog would bark; now and then it mentions one of `users`."""
    kind = chance.random()
    if kind < 0.15:
        text = f"{' '.join([chance.choice(_WOOFS)] * chance.randint(1, 4))}!"
    elif kind < 0.45:
        text = f"{chance.choice(_OPENERS)} {chance.choice(_DOERS)} {chance.choice(_DEEDS)}."
    else:
        doer = chance.choice(_DOERS)
        text = f"{doer[0].upper()}{doer[1:]} {chance.choice(_DEEDS)}.{chance.choice(_CLOSERS)}"
    if users and chance.random() < 0.2:
        text = f"{text} What do you say, @{chance.choice(users)}?"
    return text
