"""Dates from text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from cost import passes
from hypothesis import example, given
from hypothesis import strategies as st
from normalize_tables import documented

from benchmarks import cldr
from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError
from scrapy_resilience.normalize import normalize_date

DAY = {"iso": "2024-01-15", "timestamp": 1705276800, "ambiguous": False}
MOMENT = {"iso": "2024-01-15T10:30:00+00:00", "timestamp": 1705314600, "ambiguous": False}
NOW = datetime(2024, 3, 31, 12, tzinfo=timezone.utc)


def read(text, **hints):
    """The result without the text, or None."""
    found = normalize_date(text, **hints)
    if found is not None:
        assert found.pop("raw") == text
    return found


def iso(text, **hints):
    """What is read, if it is not ambiguous."""
    found = read(text, **hints)
    return found and not found["ambiguous"] and found["iso"]


@pytest.mark.parametrize(("text", "hints", "expected"), documented("normalize_date"))
def test_the_documented_table(text, hints, expected):
    """Each row of the table in the reference is so."""
    assert read(text, **hints) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-15", "2024/01/15", "2024.01.15", "15.01.2024", "15.1.2024", "15/01/2024",
        "01/15/2024", "15-Jan-2024", "15/Jan/2024", "15-Jan-24", "Jan 15 '24",
        "January 15, 2024",
        "15 January 2024", "15th of January 2024", "Monday, 15 January 2024", "Mon Jan 15 2024",
        "Last updated on 15 Jan 2024", "Veröffentlicht: 15. Januar 2024", "15 janvier 2024",
        "le lundi 15 janvier 2024", "15 de enero de 2024", "15 января 2024 г.", "15 Ocak 2024",
        "2024年1月15日", "2024年1月15日(月)", "2024년 1월 15일 월요일", "24. 1. 15.",
        "15 tháng 1, 2024",
        "१५ जनवरी २०२४", "15 يناير 2024", "lun. 15 janv. 2024",
    ],
)  # fmt: skip
def test_one_day(text):
    """A day is read in the forms and languages of the web."""
    assert read(text) == DAY


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-15T10:30:00Z", "2024-01-15 10:30", "2024-01-15T10:30:00+00:00",
        "2024-01-15T12:30+0200", "Mon, 15 Jan 2024 10:30:00 +0000", "15 Jan 2024 10:30:00 GMT",
        "Mon Jan 15 10:30:00 UTC 2024", "Jan 15, 2024 10:30 AM", "Jan 15, 2024 at 10:30 a.m.",
        "Jan 15, 2024 5:30 AM EST", "15.01.2024 11:30 CET", "15 janvier 2024 à 10h30",
        "15.01.2024. u 10:30", "15 студзеня 2024 года у 10:30", "15 January, 2024 @ 10:30 am",
        "10:30, 15 January 2024", "10:30 JAN 15 2024", "15 Jan 2024 | 10:30 (UTC)",
        "20240115T103000Z", "Updated Jan 15, 2024 5:30 AM ET", "By A. Doe | 15 Jan 2024 10:30",
        "15 Jan 2024 10:30 by A. Doe", "15.01.2024 в 10:30", "Stand: 15.01.2024 10:30",
        "Mon, 15 Jan 2024 12:30:00 +0200 (EET)", "15/01/2024 10:30",
    ],
)  # fmt: skip
def test_one_moment(text):
    """A day with a time is a moment in UTC."""
    assert read(text) == MOMENT


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("01/15/2024 9:05 p. m.", 21), ("15.01.2024 9:05 p.\u202fm.", 21),
        ("2024년 1월 15일 오전 9시 5분", 9), ("2024年1月15日下午9:05", 21),
        ("2024年1月15日 21時05分", 21),
        ("15.1.2024 klo 21.05", 21), ("15.01.2024 21.05", 21), ("15.1.2024 г., 21:05 ч.", 21),
        ("15 Ocak 2024 saat 21.05", 21), ("15. Januar 2024, 21.05 Uhr", 21),
        ("15 janvier 2024 à 21 h 05 min", 21), ("15. ledna 2024 ● 21:05", 21),
        ("9:05 du soir, 15 janvier 2024", 21), ("PM 9:05 15 Jan 2024", 21),
    ],
)  # fmt: skip
def test_times_of_other_languages(text, hour):
    """A time is read with its word for the part of the day, before or behind it."""
    assert iso(text) == f"2024-01-15T{hour:02}:05:00+00:00"


@pytest.mark.parametrize(
    "words", ["at evening", "em", "EST pm", ", pm", "noon", "AM/PM", "a", "vespera", "| pm"]
)
def test_words_beside_a_time(words):
    """A word that may be one for a part of the day is never skipped."""
    assert read(f"15 Jan 2024 9:05 {words}") is None


def test_fractions():
    """Fractions of a second are in both."""
    found = read("2024-01-15T10:30:00.25Z")

    assert found["iso"] == "2024-01-15T10:30:00.250000+00:00"
    assert found["timestamp"] == 1705314600.25


@pytest.mark.parametrize(
    "text",
    [
        "de", "N/A", "12", "2024", "10:30", "January 2024", "Jan 15", "1.2.3", "192.168.1.1",
        "$19.99", "$19.99 2024", "iPhone 15 Pro 2024", "Version 2.1 of 2024", "31/02/2024",
        "2024-02-30", "2024-13-01", "99/99/9999", "2024-01-15T25:00:00Z",
        "15 Jan 2024 13:00 PM",
        "1705276800", "۱۴۰۲/۱۰/۲۵", "2 days", "3 hours", "01 02 2024", "555-123-4567",
        "Add to cart",
        "2024-W54-1", "5 Jan 2024 | 6 Jan 2024", "15/01/2567", "2024-01-15 10:00 XYZ",
        "5 listopada 2024", "0001-01-01", "9999-12-31T23:59:59Z", "1-3 days ago", "-3 days ago",
        "vor 2-3 Tagen", "कल",
    ],
)  # fmt: skip
def test_none_rather_than_a_guess(text):
    """What is not a date, has a part missing or two meanings of a word, is None."""
    assert read(text, now=NOW) is None


@pytest.mark.parametrize("text", ["03/04/2024", "3/4/24", "03-04-2024", "03.04.12"])
def test_ambiguous(text):
    """A date that may be another day is marked, and order settles it."""
    assert read(text)["ambiguous"]
    day = iso(text, order="DMY")
    assert day in {"2024-04-03", "2012-04-03"}
    assert iso(text, order="MDY") not in {day, None, False}


@pytest.mark.parametrize(
    ("text", "hints", "expected"),
    [
        ("03/04/2024", {"locale": "en-US"}, "2024-03-04"),
        ("03/04/2024", {"locale": "en-GB"}, "2024-04-03"),
        ("03/04/2024", {"locale": "en-GB", "order": "MDY"}, "2024-03-04"),
        ("15/01/2024", {"locale": "en-US"}, "2024-01-15"),
        ("24/1/5", {"order": "YMD"}, None),
        ("15.1.24", {}, False),
        ("15.1.24", {"locale": "de"}, "2024-01-15"),
        ("24.01.15", {"order": "YMD"}, "2024-01-15"),
        ("15.1.44", {}, "2044-01-15"),
        ("15 ม.ค. 67", {}, False),
        ("15 ม.ค. 24", {}, "2024-01-15"),
        ("24/1/05", {"order": "YMD"}, "2024-01-05"),
        ("2024 01 05", {"order": "YMD"}, "2024-01-05"),
        ("05 01 2024", {"order": "DMY"}, "2024-01-05"),
        ("2024 01 05", {}, None),
        ("15/01/2567", {"locale": "th"}, "2024-01-15"),
        ("5 listopada 2024", {"languages": ["hr"]}, "2024-10-05"),
        ("5 listopada 2024", {"locale": "hr", "languages": "pl"}, "2024-11-05"),
        ("15. Januar 2024", {"locale": "xx"}, "2024-01-15"),
    ],
)
def test_hints(text, hints, expected):
    """Hints settle the order and the language, and nothing that the text says."""
    assert iso(text, **hints) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", "2024-03-31"),
        ("yesterday", "2024-03-30"),
        ("3 days ago", "2024-03-28"),
        ("Posted 3 days ago", "2024-03-28"),
        ("a week ago", "2024-03-24"),
        ("1 month ago", "2024-02-29"),
        ("13 months ago", "2023-02-28"),
        ("4 months ago", "2023-11-30"),
        ("3 months ago", "2023-12-31"),
        ("1 year ago", "2023-03-31"),
        ("just now", "2024-03-31T12:00:00+00:00"),
        ("2h ago", "2024-03-31T10:00:00+00:00"),
        ("an hour ago", "2024-03-31T11:00:00+00:00"),
        ("yesterday at 10:30", "2024-03-30T10:30:00+00:00"),
        # by dateparser
        ("gestern", "2024-03-30"),
        ("hace 2 días", "2024-03-29"),
        ("Publié il y a 2 mois", "2024-01-31"),
        ("vor 3 Stunden", "2024-03-31T09:00:00+00:00"),
        ("3 дня назад", "2024-03-28"),
        ("2 gün önce", "2024-03-29"),
        ("3日前", "2024-03-28"),
        ("2시간 전", "2024-03-31T10:00:00+00:00"),
        ("in 2 days", "2024-04-02"),
    ],
)
def test_relative(text, expected):
    """A relative date counts from the time of the fetch, and is None without it."""
    assert iso(text, now=NOW) == expected
    assert iso(text, now=NOW.timestamp()) == expected
    assert iso(text, now=NOW.astimezone(timezone(timedelta(hours=9)))) == expected
    assert iso(text, now=NOW.replace(tzinfo=None)) == expected
    assert read(text) is None


def test_relative_in_another_language():
    """A language hint is for dateparser too, and settles words of two languages."""
    assert iso("před rokem", now=NOW) is None
    assert iso("před rokem", now=NOW, locale="cs") == "2023-03-31"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 month 1 day ago", "2014-07-31"),
        ("1 year, 1 month, 1 week ago", "2013-07-25"),
        ("1 year and 2 months ago", "2013-07-01"),
        ("vor 1 Monat und 1 Tag", "2014-07-31"),
        ("hace 1 año, 2 meses", "2013-07-01"),
        ("1年2か月前", "2013-07-01"),
        ("2 months and 3 hours ago", "2014-07-01T09:00:00+00:00"),
        ("1h 30m ago", "2014-09-01T10:30:00+00:00"),
        ("vor 24 Stunden", "2014-08-31T12:00:00+00:00"),
        ("Edited 3 years ago", "2011-09-01"),
        ("Bearbeitet vor 3 Jahren", "2011-09-01"),
        ("gestern um 10:30", "2014-08-31T10:30:00+00:00"),
        ("2001 years ago", None),
        ("9999 months ago", None),
        ("1 day 1 day ago", None),
        ("1.5 years ago", None),
        ("over 3 years ago", None),
    ],
)
def test_months_then_days(text, expected):
    """Months are counted by the calendar, then days; years outside of the range are None."""
    assert iso(text, now=datetime(2014, 9, 1, 12, tzinfo=timezone.utc)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15 enero del año 2024", "2024-01-15"),
        ("1er aout 2024", "2024-08-01"),
        ("15. Jänner 2024", "2024-01-15"),
        ("15 дек. 2024 в 10:30", "2024-12-15T10:30:00+00:00"),
    ],
)
def test_what_dateparser_knows(text, expected):
    """Words that the CLDR does not write are read by dateparser."""
    assert iso(text) == expected


def test_today_is_that_of_the_time_zone():
    """Yesterday is a day on the clocks of the time zone."""
    assert iso("yesterday", now=NOW, timezone="Pacific/Auckland") == "2024-03-31"


def test_midnight_of_a_time_zone():
    """A day begins at midnight of the time zone."""
    assert read("2024-01-15", timezone="+02:00")["timestamp"] == DAY["timestamp"] - 7200


@pytest.mark.parametrize(
    "hints", [{"timezone": "Mars/Base"}, {"timezone": "../x"}, {"order": "dmy"}]
)
def test_wrong_hints(hints):
    """A time zone or order that does not exist is an error that names it."""
    with pytest.raises(ConfigurationError, match=next(iter(hints))):
        normalize_date("2024-01-15", **hints)


def test_without_dateparser(monkeypatch):
    """Where dateparser is needed and missing, the error names the extra."""
    monkeypatch.setitem(sys.modules, "dateparser.date", None)
    with pytest.raises(MissingLibraryError, match="quality"):
        normalize_date("před měsícem", now=NOW, languages=["cs"])
    assert normalize_date("Jan 15, 2024")["iso"] == "2024-01-15"


def test_the_time_zone_of_the_machine():
    """All results are the same wherever the crawl runs."""
    texts = ["Jan 15, 2024", "2024-01-15 10:30", "vor 3 Stunden", "yesterday", "gestern"]
    code = (
        "import json, sys\nfrom scrapy_resilience.normalize import normalize_date\n"
        "texts = json.loads(sys.argv[1])\n"
        "print(json.dumps([normalize_date(text, now=1711886400) for text in texts]))"
    )
    found = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", code, json.dumps(texts)],
                env={**os.environ, "TZ": zone},
                capture_output=True,
                check=True,
            ).stdout
        )
        for zone in ("Asia/Tokyo", "America/Los_Angeles")
    ]

    assert found[0] == found[1] == [normalize_date(text, now=1711886400) for text in texts]
    assert None not in found[0]


@pytest.fixture(scope="module")
def dates():
    """The dates of the CLDR."""
    found = list(cldr.dates())
    assert len(found) == 512
    return found


def test_cldr_with_locale(dates):
    """Of the dates of the CLDR, none is wrong with its locale, and all but 1 % are right."""
    found = [(iso(date.text, locale=date.locale), str(date.day)) for date in dates]

    assert not [one for one in found if one[0] not in {None, one[1]}]
    assert sum(one == day for one, day in found) >= 0.99 * len(dates)


def test_cldr_without_locale(dates):
    """Without it none is wrong but those marked as ambiguous, which are few."""
    found = [(read(date.text), str(date.day)) for date in dates]
    wrong = [one for one in found if one[0] is not None and one[0]["iso"] != one[1]]

    assert all(one[0]["ambiguous"] for one in wrong)
    assert sum(one[0] is not None for one in found) - len(wrong) >= 0.9 * len(dates)


TEXTS = st.text() | st.text("0123456789./-: TZWapmJanFebago年月日,+Mär\u00a0th", max_size=30)


@given(TEXTS, st.sampled_from([None, "de", "en", "th"]))
@example("1 year ago 9999 years ago", None)
@example("9999 years ago", None)
@example("2024-01-15T10:30:00+99:99", None)
@example("\ud8002024-01-15", None)
def test_any_text(text, locale):
    """No text raises; iso is read again as it is, and as the same moment."""
    found = normalize_date(text, now=NOW, locale=locale)

    if found is not None:
        again = normalize_date(found["iso"])
        assert (again["iso"], again["timestamp"]) == (found["iso"], found["timestamp"])


@given(st.datetimes(datetime(1600, 1, 1), datetime(2190, 1, 1)), st.integers(-14, 14))  # noqa: DTZ001
def test_any_moment(moment, hours):
    """The ISO form of any moment is this moment."""
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))

    found = normalize_date(aware.isoformat())

    assert datetime.fromisoformat(found["iso"]) == aware
    assert found["timestamp"] == aware.timestamp()


@pytest.mark.parametrize(
    "unit",
    ["1", "1,", "1 ", " ", "a", "jan ", "10:30 ", "2024-01-15", "½", "a: ", "年月日", "1/1/1 "],
)
def test_hostile_texts(unit):
    """100,000 characters cost as much as to read them: dateparser needs many seconds."""
    text = unit * (100_000 // len(unit))

    assert passes(lambda number: normalize_date(f"{text}{number}", now=NOW)) < 2


@pytest.mark.parametrize(
    "label",
    [
        "Letzte Aktualisierung", "Zuletzt geändert am", "Veröffentlichung", "Erstellt am",
        "Dernière mise à jour le", "Modifié le", "Date de publication", "Créé le",
        "Última actualización", "Publicado el", "Fecha de publicación", "Ultimo aggiornamento",
        "Pubblicata il", "Data di pubblicazione", "Última atualização", "Atualizado em",
        "Laatst bijgewerkt op", "Gepubliceerd op", "Laatste wijziging", "Ostatnia aktualizacja",
        "Data publikacji", "Dodano", "Последнее обновление", "Дата публикации", "Создано",
        "Senast uppdaterad", "Publicerad", "Sidst opdateret", "Offentliggjort",
        "Sist oppdatert", "Poslední aktualizace", "Zveřejněno", "Son güncelleme",
        "Yayın tarihi", "Päivitetty", "Julkaistu", "Utolsó frissítés", "Ultima actualizare",
        "Τελευταία ενημέρωση", "First published", "Last reviewed", "Issued", "Submitted on",
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["{} 15.01.2024", "{}: 2024-01-15", "{} 15/01/2024"])
def test_words_before_a_date(label, form):
    """What sites put before a date is left out, with a hint or without."""
    assert iso(form.format(label)) == "2024-01-15"


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        ("Atualizado por Victória Sbrogio em 15/01/2024 10:30", {"locale": "pt"}),
        ("Von Max Müller am 15.01.2024, 10:30 Uhr", {"locale": "de"}),
        ("Por Juan Pérez el 15 de enero de 2024 10:30", {}),
        ("Par Jean-Luc Dupont le 15 janvier 2024 à 10h30", {}),
        ("Posted by John Doe on Jan 15, 2024 10:30", {}),
    ],
)
def test_who_wrote_it(text, hints):
    """The name of an author before the date is left out."""
    assert iso(text, **hints) == MOMENT["iso"]


@pytest.mark.parametrize(
    "text",
    [
        "20240115103000",
        "2024011510:30",
        "2024 年 1 月 15 日 10 時 30 分",
        "2024 年 1 月 15 日 10 时 30 分",
        "15 Jan 2024 12:30:00 +02",
        "15 Jan 2024 05:30:00 -0500 EST",
        "Mon, 15 Jan 2024 05:30:00 -0500 EST (EST)",
        "Mon, 15 Jan 2024 05:30:00 -0500 (EST)",
    ],
)
def test_more_forms_of_one_moment(text):
    """Without spaces, with spaces around signs, and with the zone in numbers and letters."""
    assert iso(text) == MOMENT["iso"]


@pytest.mark.parametrize(
    "text",
    [
        "15 January 2024 at 18h", "January 15, 2024 18h", "15 janvier 2024 à 18h",
        "15/01/2024 18h", "2024-01-15 18 h", "15.01.2024, 18h",
    ],
)  # fmt: skip
def test_an_hour_without_minutes(text):
    """Behind a date."""
    assert iso(text) == "2024-01-15T18:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("二〇一四年十月四日", "2014-10-04"),
        ("二零二四年十二月三十一日", "2024-12-31"),
        ("令和六年一月十五日", "2024-01-15"),
        ("二〇二四年一月二十日 10:30", "2024-01-20T10:30:00+00:00"),
    ],
)
def test_chinese_numerals(text, expected):
    """As formal dates have them."""
    assert iso(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "15 Jan 2024 09:00-10:00", "15.01.2024 18:00-20:00", "15/01/2024 18:00–20:00",
        "15 Jan 2024 9:00 -10:00", "2024-01-15 09:00-10:00", "2024-01-15 18:00-20:00",
        "15 Jan 2024 22:00-04:00",
    ],
)  # fmt: skip
def test_from_one_time_to_another(text):
    """Two times are not one with its zone."""
    assert read(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-15T09:00-10:00", "2024-01-15T19:00:00+00:00"),
        ("2024-01-15 09:00:00-10:00", "2024-01-15T19:00:00+00:00"),
        ("2024-01-15 09:00-05:00", "2024-01-15T14:00:00+00:00"),
        ("Jan 15, 2024 09:00 -05:00", "2024-01-15T14:00:00+00:00"),
        ("15 Jan 2024 09:00 -0500", "2024-01-15T14:00:00+00:00"),
        ("15 Jan 2024 09:00+02:00", "2024-01-15T07:00:00+00:00"),
    ],
)
def test_a_time_with_its_zone(text, expected):
    """What can only be a zone is one."""
    assert iso(text) == expected


@pytest.mark.parametrize(
    ("text", "locale", "expected"),
    [
        ("pred 2 hodinami", "sk", "2024-03-31T10:00:00+00:00"),
        ("pred 3 dňami", None, "2024-03-28"),
        ("dziś o 11:00", "pl", "2024-03-31T11:00:00+00:00"),
        ("きのう", None, "2024-03-30"),
    ],
)
def test_distances_that_look_like_labels(text, locale, expected):
    """``pred`` is no English word that ends in -ed."""
    assert iso(text, locale=locale, now=NOW) == expected


def test_the_order_of_named_days():
    """The order that is given says which of two numbers is the year."""
    assert iso("16 july 13", order="YMD") == "2016-07-13"
    assert iso("16 july 13", order="DMY") == "2013-07-16"


def test_a_date_that_the_order_contradicts():
    """It is marked, where the year has two digits."""
    assert read("12/13/10", order="DMY")["ambiguous"]
    assert iso("12/13/2010", order="DMY") == "2010-12-13"


@pytest.mark.parametrize(
    ("text", "locale"),
    [
        ("2 saat əvvəl 5 dəqiqə əvvəl", "az"),
        ("prije 2 sata prije 5 minuta", "hr"),
        ("2 hours ago 5 minutes ago", None),
        ("před 2 hodinami 5 minutami", "cs"),
    ],
)
def test_the_word_for_ago_at_each_unit(text, locale):
    """It says no more than one."""
    assert iso(text, locale=locale, now=NOW) == "2024-03-31T09:55:00+00:00"


@pytest.mark.parametrize(
    "text",
    [
        "around 2 hours ago", "approximately 2 hours ago", "vor ca. 2 Stunden",
        "vor ungefähr 2 Stunden", "hace aproximadamente 2 horas", "hace unas 2 horas",
        "hace alrededor de 2 horas", "ongeveer 2 uur geleden", "około 2 godzin temu",
        "för cirka 2 timmar sedan", "ca. 2 timer siden", "约 2 小时前", "약 2시간 전",
        "asi před 2 hodinami", "noin 2 tuntia sitten", "около 2 часов назад",
        "il y a environ 2 heures", "circa 2 ore fa", "há cerca de 2 horas", "প্রায় 2 ঘন্টা আগে",
    ],
)  # fmt: skip
def test_about_so_long_ago(text):
    """It is as long ago as the text says."""
    assert iso(text, now=NOW) == "2024-03-31T10:00:00+00:00"


@pytest.mark.parametrize("text", ["15 Jan 2024 at noon", "January 15, 2024, noon"])
def test_noon(text):
    """It is a time."""
    assert iso(text) == "2024-01-15T12:00:00+00:00"


def test_spaces_between_numbers():
    """With a locale, a year, a month and a day of two digits, and nothing else, are a date."""
    assert iso("2024 01 15", locale="en-GB") == "2024-01-15"
    assert read("2024 1 15", locale="en-GB") is None
    assert read("15 01 2024", locale="en-GB") is None
    assert read("2024 01 15") is None
