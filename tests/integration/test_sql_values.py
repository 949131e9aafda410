"""The database sink on real databases: what fits no column, what is wrong from the start."""

from __future__ import annotations

import json
import math
import pickle
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from crawls import SHOP, check_same
from scrapy.settings import Settings
from sqlalchemy import make_url
from tables import SECRET, check_no_secret, letters, settings_of
from web import serving

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.settings import Config
from scrapy_resilience.sql import read_pages
from scrapy_resilience.sql.checks import check_database

pytestmark = pytest.mark.integration

TYPED = {
    "postgresql": """
        CREATE TABLE items (item_id text PRIMARY KEY, name text NOT NULL, short varchar(5),
        narrow varchar(20), small integer, wanted integer NOT NULL, price numeric(6,2),
        ratio double precision, at timestamptz, local timestamp, day date, data jsonb,
        raw bytea)
    """,
    "mariadb": """
        CREATE TABLE items (item_id varchar(255) PRIMARY KEY, name varchar(99) NOT NULL,
        short varchar(5), narrow varchar(20) CHARACTER SET utf8mb3, small integer,
        wanted integer NOT NULL, price decimal(6,2), ratio double, at datetime(6),
        local datetime(6), day date, data json, raw longblob)
    """,
    "sqlite": """
        CREATE TABLE items (item_id TEXT PRIMARY KEY, name TEXT NOT NULL,
        short TEXT CHECK (length(short) <= 5), narrow TEXT, small INTEGER
        CHECK (small IS NULL OR typeof(small) = 'integer' AND small < 2147483648),
        wanted INTEGER NOT NULL, price TEXT, ratio REAL, at TIMESTAMP, local TIMESTAMP,
        day DATE, data JSON, raw BLOB)
    """,
}
ALL = {"postgresql", "mariadb", "sqlite"}
CASES = {
    "good": ({}, set()),
    "accents": ({"short": "é😀ü'\\"}, set()),
    "percent": ({"short": "%s:a?"}, set()),
    "long": ({"short": "x" * 6}, ALL),
    "range": ({"small": 2**40}, ALL),
    "type": ({"small": "many"}, ALL),
    "null": ({"wanted": None}, ALL),
    "narrow": ({"narrow": "a😀"}, {"mariadb"}),
    "nul": ({"short": "a\0b"}, {"postgresql"}),
    "surrogate": ({"short": "a\ud800"}, ALL),
    "huge": ({"small": 2**70}, ALL),
    "nan": ({"ratio": float("nan")}, {"mariadb", "sqlite"}),
    "infinite": ({"ratio": float("inf")}, {"mariadb"}),
    "decimal": ({"price": Decimal("12.30")}, set()),
    "much": ({"price": Decimal("123456.00")}, {"postgresql", "mariadb"}),
    "aware": ({"at": datetime(2026, 1, 2, 12, 0, 0, 5, timezone(timedelta(hours=2)))}, set()),
    "naive": ({"local": datetime(2026, 1, 2, 12, 0, 0, 5)}, set()),  # noqa: DTZ001 - on purpose
    "day": ({"day": date(2026, 1, 2)}, set()),
    "nested": ({"data": {"a": [1, None, "é"], "b": {"c": 1.5}}}, set()),
    "escaped": ({"data": {"a": r"\u0000", "b": r"\\u0000"}}, set()),
    "bytes": ({"raw": b"\0\xff'"}, set()),
    "unknown": ({"other": 1}, ALL),
}
VALUES = """
    import pickle
    from pathlib import Path
    import scrapy

    class Shop(scrapy.Spider):
        name = "shop"
        values = pickle.loads(Path("values").read_bytes())
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            name = response.url.rpartition("/")[2]
            yield {"name": name, "wanted": 1, **self.values[name]}
"""


def test_values(plain_crawl, database):
    """A value that its column can't hold costs that row, with a letter; all others are in."""
    database.execute(TYPED[database.kind])
    with serving(lambda *_: 200) as web:
        urls = [web.url("values.test", f"/{name}") for name in CASES]
        job = plain_crawl(VALUES, **settings_of(database), URLS=urls)
        job.configure(RESILIENCE_SQL_CREATE=False, FEEDS=None)
        job.path("values").write_bytes(pickle.dumps({n: v for n, (v, _) in CASES.items()}))

        run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    bad = {name for name, (_, kinds) in CASES.items() if database.kind in kinds}
    rows = {row["name"]: row for row in database.rows()}
    check_same([*rows], set(CASES) - bad)
    found = {letter["url"].rpartition("/")[2]: letter for letter in letters(job)}
    check_same([*found], bad)
    for name, letter in found.items():
        assert letter["kind"] == "pipeline", letter
        (column,) = CASES[name][0]
        words = (column, "too long", "out of range", "overflow")
        assert any(word in letter["reason"] for word in words), letter["reason"]
    for name in rows:
        for column, value in CASES[name][0].items():
            assert same(rows[name][column], value), name
    check_no_secret(job)


def same(found, value):
    """Whether a row has what was in the item; no number is the same as itself."""
    if isinstance(value, float) and math.isnan(value):
        return math.isnan(found)
    return as_given(found, value) == value


def as_given(found, value):
    """What a row has, as it was in the item: SQLite has fewer types, and MariaDB no zones."""
    if isinstance(value, dict):
        return json.loads(found) if isinstance(found, str) else found
    if isinstance(value, Decimal):
        return Decimal(str(found))
    if isinstance(value, datetime):
        found = datetime.fromisoformat(found) if isinstance(found, str) else found
        return found.replace(tzinfo=found.tzinfo or (value.tzinfo and timezone.utc))
    if isinstance(value, date) and isinstance(found, str):
        return date.fromisoformat(found)
    return found


# --- what is wrong from the start -------------------------------------------------------


def refusal(database, **settings):
    """What is said before a crawl begins; it has no secret."""
    given = {"RESILIENCE_SQL_URL": database.url, **settings}
    with pytest.raises(ConfigurationError) as raised:
        check_database(Config.from_settings(Settings(given)))
    assert SECRET not in str(raised.value)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_wrong_server(served):
    """A wrong password, user, host, port or database: the error says which, and no secret."""
    url = make_url(served.url)

    def told(**parts):
        changed = url.set(**parts).render_as_string(hide_password=False)
        return refusal(served, RESILIENCE_SQL_URL=changed)

    assert "crawler" in told(password=f"{SECRET}-wrong")
    assert "nobody" in told(username="nobody")
    assert "nowhere.invalid" in told(host="nowhere.invalid")
    assert str(url.port) in told(port=1) or "1" in told(port=1)
    assert "no_such" in told(database="no_such")
    assert "RESILIENCE_SQL_URL" in told(drivername=f"{url.get_backend_name()}+nothing")
    assert "nothing" in told(drivername="nothing")


def test_a_refused_crawl(crawl, served):
    """Nothing is made, and one line says what is wrong; it has no secret."""
    job = crawl(SHOP, **settings_of(served))
    job.configure(RESILIENCE_SQL_URL=served.url.replace(SECRET, f"{SECRET}-wrong"))

    job.run().check_refused("RESILIENCE_SQL_URL", "crawler")

    assert not job.job.exists()
    assert not job.path("items.jsonl").exists()
    check_no_secret(job)


def test_a_wrong_table(database):
    """No such table, a column that is missing, a key that is not unique."""
    assert ("no file" if database.kind == "sqlite" else "items") in refusal(database)
    database.execute("CREATE TABLE items (sku VARCHAR(20), name VARCHAR(20))")
    assert "item_id" in refusal(database)
    told = refusal(database, RESILIENCE_SQL_KEY=["sku"])
    assert "sku" in told
    assert "unique" in told.lower()
    assert "ean" in refusal(database, RESILIENCE_SQL_KEY=["ean"])
    columns = {"RESILIENCE_SQL_COLUMNS": {"title": "heading"}, "RESILIENCE_SQL_KEY": ["sku"]}
    database.execute("CREATE UNIQUE INDEX of_sku ON items (sku)")
    assert "heading" in refusal(database, **columns)
    marks = {"RESILIENCE_SQL_MARKS": "columns", "RESILIENCE_SQL_KEY": ["sku"]}
    assert "resilience_item" in refusal(database, **marks)

    check_database(
        Config.from_settings(
            Settings({"RESILIENCE_SQL_URL": database.url, "RESILIENCE_SQL_KEY": ["sku"]})
        )
    )


def test_pages_of_a_query(database):
    """All rows come, whatever the size of a page, in the order of the key."""
    database.execute("CREATE TABLE shops (host VARCHAR(20), page INTEGER, url VARCHAR(50))")
    every = [{"host": f"h{n % 3}", "page": n // 3, "url": f"a%:s{n}"} for n in range(25)]
    database.insert("shops", every)
    query = "SELECT host, page, url FROM shops WHERE url LIKE :like AND host <> 'x%'"
    like = {"like": "a%:s%"}

    for size in (1, 7, 25, 1000):
        key = ("host", "page")
        read = read_pages(query, size, key=key, parameters=like, url=database.url)
        assert list(read) == sorted(every, key=lambda row: (row["host"], row["page"]))
    assert len(list(read_pages(query, 4, key="url", parameters=like, url=database.url))) == 25
    assert (
        list(read_pages("SELECT url FROM shops WHERE page > 99", url=database.url, key="url"))
        == []
    )
