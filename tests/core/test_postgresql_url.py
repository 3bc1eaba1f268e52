"""URLs of PostgreSQL: what is taken, and that nobody sees their password."""

from __future__ import annotations

import pytest

from barker.core.errors import Mistake
from barker.core.postgresql_url import PostgresUrl, is_postgres_url, without_passwords


@pytest.mark.parametrize(
    ("text", "shown", "password"),
    [
        ("postgresql://db/barker", "postgresql://db/barker", ""),
        ("postgres://me@db:5433/barker", "postgres://me@db:5433/barker", ""),
        ("postgresql://me:s3cret@db/barker", "postgresql://me@db/barker", "s3cret"),
        ("postgresql://me:a%40b%2Fc:d@db", "postgresql://me@db", "a@b/c:d"),
        ("postgresql://me:x@[::1]:5,other:6/barker", "postgresql://me@[::1]:5,other:6/barker", "x"),
        ("postgresql:///barker?host=/run/x&port=1", "postgresql:///barker?host=/run/x&port=1", ""),
        ("postgresql://db/b?password=x%21&sslmode=require", "postgresql://db/b?sslmode=require", "x!"),
        ("postgresql://db/b?user=me&password=x", "postgresql://db/b?user=me", "x"),
        ("postgresql://db/b?sslpassword=y&password=x", "postgresql://db/b", "x"),
    ],
)
def test_the_password_is_there_for_who_connects_and_nobody_else(text: str, shown: str, password: str) -> None:
    url = PostgresUrl.parse(text)
    assert (str(url), url.password, url.secret) == (shown, password, text)
    assert repr(url) == f"{url}" == shown
    assert str(PostgresUrl.parse(shown)) == shown, "what is shown leads to the same place"


@pytest.mark.parametrize(
    "text",
    [
        "mysql://db/barker",
        "postgresql:/db",
        "postgresql://me:s3c@ret@db/barker",
        "postgresql://me:s3c/ret@db/barker",
        "postgresql://me:5/s3cret@db/barker",
        "postgresql://me:s3c?ret@db/barker",
        "postgresql://db:port/barker",
    ],
)
def test_what_is_none_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Mistake) as caught:
        PostgresUrl.parse(text)
    for part in ("s3c", "ret", "port"):
        assert f"{part}@" not in str(caught.value)
        assert f":{part}" not in str(caught.value)


def test_a_command_line_has_no_passwords() -> None:
    told = without_passwords(
        "barker bizlogic --users postgresql://me:s3cret@db/b --port 1 -x postgres://o:p@d/b?password=q&a=1"
    )
    assert told == ("barker bizlogic --users postgresql://me@db/b --port 1 -x postgres://o@d/b?a=1")
    assert not is_postgres_url(told)
    assert without_passwords("a user:pass@word b") == "a user:pass@word b"
