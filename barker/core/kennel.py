"""Where users and their words come from when nobody real is there: dogs, whom they follow, what they bark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

STAR = "ark3"
"""The user whose timeline the page shows: follows many, and many follow it."""

DOGS = (
    *("rex", "bella", "max", "luna", "rocky", "daisy", "duke", "molly", "bruno", "lola"),
    *("zeus", "ruby", "buddy", "nala", "oscar", "penny", "jack", "rosie", "toby", "sadie"),
    *("bear", "coco", "finn", "maggie", "leo", "stella", "otto", "ginger", "moose", "willow"),
)

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
