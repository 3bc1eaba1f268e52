"""How users are kept in PostgreSQL: the tables, and the functions that change them.

A change is one call of a function, so one trip and one transaction: who is frozen or cut off in the midst
holds nothing that others wait for. Each writer first takes the one row of `state`: numbers of changes and
words have no gaps, and are in the order of commits. So who has read up to one has missed none.
"""

from __future__ import annotations

CHANNEL = "barker"
"""Whoever changes something notifies it (https://www.postgresql.org/docs/current/sql-notify.html)."""

LOCK = 0x6261726B
"""The advisory lock of who makes or upgrades the layout."""

_FIRST = """
CREATE SCHEMA IF NOT EXISTS barker;

CREATE TABLE barker.state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    layout integer NOT NULL,
    id text NOT NULL,
    change bigint NOT NULL DEFAULT 0,
    word bigint NOT NULL DEFAULT 0
);
COMMENT ON COLUMN barker.state.id IS 'what tells these users from others';
COMMENT ON COLUMN barker.state.change IS 'the newest of changes';
COMMENT ON COLUMN barker.state.word IS 'the newest of words';

CREATE TABLE barker.users (name text COLLATE "C" PRIMARY KEY);

CREATE TABLE barker.follows (
    follower text COLLATE "C" NOT NULL,
    followee text COLLATE "C" NOT NULL,
    PRIMARY KEY (followee, follower)
);

CREATE TABLE barker.changes (sequence bigint PRIMARY KEY, who text, whom text, wanted boolean NOT NULL);
COMMENT ON TABLE barker.changes IS
    'the last ones, for those who have read it before; who alone: exists now; nobody at all: load all anew';

CREATE TABLE barker.words (sequence bigint PRIMARY KEY, word bytea NOT NULL UNIQUE);
COMMENT ON TABLE barker.words IS 'digests of the last words of outboxes: each is done once';

CREATE FUNCTION barker.add_user(last bigint, name text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO barker.users VALUES (add_user.name) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        last := last + 1;
        INSERT INTO barker.changes VALUES (last, add_user.name, NULL, true);
    END IF;
    RETURN last;
END $$;
COMMENT ON FUNCTION barker.add_user IS 'within another: the number of the last change before, and after';

CREATE FUNCTION barker.set_follow(last bigint, who text, whom text, wanted boolean)
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF NOT wanted THEN
        DELETE FROM barker.follows WHERE follower = who AND followee = whom;
    ELSIF who <> whom THEN
        INSERT INTO barker.follows VALUES (who, whom) ON CONFLICT DO NOTHING;
    ELSE
        RETURN last;
    END IF;
    IF FOUND THEN
        last := last + 1;
        INSERT INTO barker.changes VALUES (last, who, whom, wanted);
    END IF;
    RETURN last;
END $$;
COMMENT ON FUNCTION barker.set_follow IS 'within another: the number of the last change before, and after';

CREATE FUNCTION barker.note(last_change bigint, last_word bigint, most_changes bigint, most_words bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before barker.state;
BEGIN
    SELECT * INTO STRICT before FROM barker.state;
    IF last_word > before.word THEN
        DELETE FROM barker.words WHERE sequence <= last_word - most_words;
    END IF;
    IF last_change > before.change THEN
        DELETE FROM barker.changes WHERE sequence <= last_change - most_changes;
        PERFORM pg_notify('barker', '');
    END IF;
    IF (last_change, last_word) <> (before.change, before.word) THEN
        UPDATE barker.state SET change = last_change, word = last_word;
    END IF;
END $$;
COMMENT ON FUNCTION barker.note IS 'at the end of another: the new numbers; tells those who listen';

CREATE FUNCTION barker.apply(
    words bytea[], followers text[], followees text[], wishes boolean[],
    most_changes bigint, most_words bigint
) RETURNS boolean[] LANGUAGE plpgsql AS $$
DECLARE
    last_change bigint;
    last_word bigint;
    there boolean;
    known boolean[] := '{}';
BEGIN
    SELECT change, state.word INTO STRICT last_change, last_word FROM barker.state FOR UPDATE;
    FOR at IN 1 .. cardinality(followers) LOOP
        there := EXISTS (SELECT FROM barker.users WHERE name = followees[at]);
        known := known || there;
        CONTINUE WHEN NOT there;
        INSERT INTO barker.words VALUES (last_word + 1, words[at]) ON CONFLICT (word) DO NOTHING;
        CONTINUE WHEN NOT FOUND;
        last_word := last_word + 1;
        IF wishes[at] THEN
            last_change := barker.add_user(last_change, followers[at]);
        END IF;
        last_change := barker.set_follow(last_change, followers[at], followees[at], wishes[at]);
    END LOOP;
    PERFORM barker.note(last_change, last_word, most_changes, most_words);
    RETURN known;
END $$;
COMMENT ON FUNCTION barker.apply IS
    'do what users have said, in order, each word once; of each, whether whom it names exists';

CREATE FUNCTION barker.unfollow(who text, whom text, most_changes bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before barker.state;
BEGIN
    SELECT * INTO STRICT before FROM barker.state FOR UPDATE;
    PERFORM barker.note(barker.set_follow(before.change, who, whom, false), before.word, most_changes, 0);
END $$;

CREATE FUNCTION barker.add(
    names text[], followers text[], followees text[], one_by_one boolean, most_changes bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before barker.state;
    last bigint;
    new bigint;
BEGIN
    SELECT * INTO STRICT before FROM barker.state FOR UPDATE;
    last := before.change;
    IF one_by_one THEN
        FOR at IN 1 .. cardinality(names) LOOP
            last := barker.add_user(last, names[at]);
        END LOOP;
        FOR at IN 1 .. cardinality(followers) LOOP
            last := barker.set_follow(last, followers[at], followees[at], true);
        END LOOP;
    ELSE
        WITH made AS (
            INSERT INTO barker.users SELECT unnest(names) ON CONFLICT DO NOTHING RETURNING 1
        ), joined AS (
            INSERT INTO barker.follows SELECT * FROM unnest(followers, followees)
            ON CONFLICT DO NOTHING RETURNING 1
        ) SELECT (SELECT count(*) FROM made) + (SELECT count(*) FROM joined) INTO new;
        IF new > 0 THEN
            last := last + 1;
            INSERT INTO barker.changes VALUES (last, NULL, NULL, false);
        END IF;
    END IF;
    PERFORM barker.note(last, before.word, most_changes, 0);
END $$;
COMMENT ON FUNCTION barker.add IS
    'users, and who follows whom; very many not one by one: then all is to be loaded anew';

CREATE FUNCTION barker.remember(new bytea[], most_words bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before barker.state;
    last bigint;
BEGIN
    SELECT * INTO STRICT before FROM barker.state FOR UPDATE;
    last := before.word;
    FOR at IN 1 .. cardinality(new) LOOP
        INSERT INTO barker.words VALUES (last + 1, new[at]) ON CONFLICT (word) DO NOTHING;
        IF FOUND THEN
            last := last + 1;
        END IF;
    END LOOP;
    PERFORM barker.note(before.change, last, 0, most_words);
END $$;
COMMENT ON FUNCTION barker.remember IS 'words that were done elsewhere, in order';
"""

LAYOUTS = (_FIRST,)
"""What brings each layout to the next, from none to the first on: what was published is never changed."""
