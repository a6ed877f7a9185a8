from __future__ import annotations

import pytest

from rescore_db.masking import masked, masked_url

URLS = [
    ("sqlite:///rescore.db", "sqlite:///rescore.db"),
    ("sqlite:////my folder/a:b@c.db", "sqlite:////my folder/a:b@c.db"),
    ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
    ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
    ("postgresql://:secret@host/db", "postgresql://:***@host/db"),
    ("postgresql://me@firm:secret@host/db", "postgresql://me@firm:***@host/db"),
    ("postgresql://me:s%65cret%40x@host/db", "postgresql://me:***@host/db"),
    ("postgresql://me:se:c@ret@host/db", "postgresql://me:***@host/db"),
    ("postgresql://me:se/cret@host/db", "postgresql://me:***@host/db"),
    ("postgresql://me:secret?@host/db", "postgresql://me:***@host/db"),
    ("postgresql://h/db?user=me&password=secret", "postgresql://h/db?user=me&password=***"),
    ("postgresql://h/db?PassWord=secret&port=1", "postgresql://h/db?PassWord=***&port=1"),
    ("postgresql://h/db?pass%77ord=secret", "postgresql://h/db?pass%77ord=***"),
    ("postgresql://h/db?password=sec=ret%26", "postgresql://h/db?password=***"),
    ("postgresql://h/db?sslpassword=secret&sslmode=a", "postgresql://h/db?sslpassword=***&sslmode=a"),
    ("postgresql://h/db?passfile=/secret", "postgresql://h/db?passfile=***"),
    ("postgresql://h/db?oauth_client_secret=secret", "postgresql://h/db?oauth_client_secret=***"),
    ("postgresql://h/db?scram_client_key=secret", "postgresql://h/db?scram_client_key=***"),
    ("postgresql://a:secret@h/db?password=secret", "postgresql://a:***@h/db?password=***"),
    ("mysql://me:secret@host:99x/db", "mysql://me:***@host:99x/db"),
]  # fmt: skip


MISTYPED = [
    ("x://me:se cret@h/db", "x://me:***@h/db"),
    ("postgresql:/me:secret@h", "postgresql:/me:***@h"),
    ("postgresql:me:secret@h", "postgresql:me:***@h"),
    ("postgresql//me:secret@h", "postgresql//me:***@h"),
    ("postgresql:///me:secret@h/db", "postgresql:///me:***@h/db"),
    ("postgresql+psycopg:/me:se:c@ret@h", "postgresql+psycopg:/me:***@h"),
    ("me:secret@h/db", "me:***@h/db"),
    ("me:/secret@h/db", "me:***@h/db"),
    (":secret@h/db", ":***@h/db"),
    ("sqlite:/a:b@c.db", "sqlite:/a:b@c.db"),
    ("sqlite:///:a@b.db", "sqlite:///:a@b.db"),
]


@pytest.mark.parametrize(("url", "shown"), [*URLS, *MISTYPED])
def test_a_url_shows_all_but_its_passwords(url: str, shown: str) -> None:
    assert masked_url(url) == shown
    assert masked_url(shown) == shown


@pytest.mark.parametrize(("url", "shown"), URLS)
@pytest.mark.parametrize(
    "around", ["the store {} fails", "--db '{}'; mail me@host", '("{}").', "{}"]
)
def test_a_text_keeps_what_stands_around_a_url(url: str, shown: str, around: str) -> None:
    assert masked(around.format(url)) == around.format(shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("host=h password=secret user=me", "host=h password=*** user=me"),
        ("host=h password='sec ret' user=me", "host=h password=*** user=me"),
        ("password authentication failed", "password authentication failed"),
        ("a://me:secret@h b://you:other@h", "a://me:***@h b://you:***@h"),
    ],
)
def test_what_a_driver_says_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "url", ["x://me:s%65cret@h/db", "x://me:secret@h/db", "x://h/db?sslpassword=s%65cret"]
)
def test_a_urls_own_secrets_are_masked_wherever_they_stand(url: str) -> None:
    assert masked("no pg_hba entry for 'secret'", url=url) == "no pg_hba entry for '***'"
