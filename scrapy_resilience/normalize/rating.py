"""Ratings: ``normalize_rating("4.5/5 stars")``."""

from __future__ import annotations

import re
from typing import Any, Final

from scrapy_resilience.normalize._common import normalizer, plain

__all__ = ["normalize_rating"]

_LONGEST: Final = 200
"""Characters that are looked at: what is longer is the review itself."""

_SCALES: Final = frozenset({4, 5, 6, 7, 10, 20, 100})
"""A number out of any other (``12/31``, ``1 of 2``) is not a rating, unless *max* says so."""

_STARS: Final = 5
_BARE_LIMIT: Final = 10

_NUMBER: Final = r"(?<![\d.,/$€£¥₹-])(\d{1,3}(?:[.,]\d{1,17})?)(?![\d/]|[.,]\d)"
_MAX: Final = r"(\d{1,3})(?:[.,]0{1,2})?(?![\d/]|[.,]\d)"
_STAR: Final = (
    r"(?:stars?|stern\w*|étoiles?|estrell?as?|stell[ae]|sterren|ster|stj[äe]rn\w*|gwiazd\w*"
    r"|yıldız\w*|зв[её]зд\w*|зірк\w*|hvězd\w*|tähte[äe]|αστέρια|bintang|sao|نجوم|نجمة"
    r"|颗星|顆星|つ星|星|별점?|[★⭐☆])"
)
_UNIT: Final = rf"(?:-?\s?(?:points?|punkte?n?|pts?|puan|点|點|점|分|개|{_STAR}))?"
_OF: Final = (
    r"(?:/|out of|of|von|aus|sur|de|di|su|van|uit|av|af|из|з|z|ze|na|od|din|από|στα|dari|trên"
    r"|من|最多|满分|滿分)"
)

_PAIR: Final = re.compile(
    r"(?<![\d.,/$€£¥₹-])(\d{1,3}(?:[.,]\d{1,17})?)"
    rf"\s?{_UNIT}\s?[,،]?\s?{_OF}\s?{_MAX}"
)
"""``4,5 von 5``, ``4.5 / 5``, ``4.5 颗星,最多 5 颗星``."""

_OUT_OF: Final = r"(?:のうち|満点中の?|満点で|中の?|만점에|만점 중|중|üzerinden)"
_MAX_FIRST: Final = re.compile(rf"(?<!\d)(\d{{1,3}}){_UNIT}\s?{_OUT_OF}\s?{_NUMBER}")
"""``5つ星のうち4.5``, ``5점 만점에 4.5점``, ``5 yıldız üzerinden 4,5``."""

_MAY_BE: Final = re.compile(r"[\d★⭐🌟☆✩]|star")
_NOT_SAID: Final = re.compile(
    r"[$€£¥₹]|\d\s?(?:usd|eur)\b|(?:^|[\s(])-\d"
    r"|of \d+ (?:people|persons|users|customers|reviewers|reviews|pages)\b"
    r"|\b(?:found|recommend\w*|off|rabatt|discount)\b"
    rf"|^\d\s?{_STAR}\s\d{{1,3}}\s?%$"
    rf"|\d\s?(?:[-–—]|to|or|bis|oder|ou|à|и|или)\s?\d(?:[.,]\d)?\s?-?{_STAR}"
)
"""An amount, something negative, ``8 of 10 people``, ``20% off``, ``5 star 67%`` of a chart,
``3 to 5 stars``."""
_ONLY_MAX: Final = re.compile(
    rf"{_OF}\s?\d{{1,3}}\s?-?{_STAR}?\W*$|\d{{1,3}}{_UNIT}\s?{_OUT_OF}\W*$"
)
"""``out of 5 stars`` alone."""

_HALF: Final = re.compile(
    rf"(?<=\d)(\s?-?{_STAR})?\s(?:and a half|et demie?|y media|e mezz[oa]|e meia)\b"
    r"|(?<=\d)[\s-]1/2(?!\d)"
)
_MAY_HALVE: Final = re.compile(r"half|1/2|demi|media|mezz|meia")
_THREE: Final = re.compile(r"\d{1,2}[.,]\d{3}")
"""Decimals, or a thousand."""

_IN_A_ROW: Final = re.compile(
    r"\b(?:page|image|photo|picture|slide|step|item|part|episode|season|chapter|level|seite|bild"
    r"|schritt|página|imagen|paso|étape|foto|diapositiva)\s$"
)
"""Before ``1 of 5``: there are so many, and this is one of them."""
_IN_STOCK: Final = re.compile(r"\s(?:in stock|left|available)\b")
_BARE_OF: Final = re.compile(r"\d+ of \d+")

_COUNTED: Final = (
    r"(?:reviews?|ratings?|votes?|opinions?|bewertung\w*|rezension\w*|stimmen|avis|notes"
    r"|évaluations?|commentaires?|opinion[ei]s?|reseñas?|valoracion\w*|calificacion\w*"
    r"|recensioni|voti|beoordeling\w*|recensies|omdömen|betyg|recensioner|anmeldelser|opinii"
    r"|oceny?|отзыв\w*|оцен\w*|голос\w*|відгук\w*|yorum\w*|değerlendirme\w*|avaliaç\w*"
    r"|comentários?|hodnocení|recenzí|κριτικές|ulasan|đánh giá|تقييم\w*|مراجعة"
    r"|件|レビュー|評価|條評論|条评论|评论|评分|评价|리뷰|평가|후기)"
)
_AMOUNT: Final = r"(\d{1,3}(?:[.,' ]\d{3})+|\d+(?:[.,]\d{1,2}(?=\s?[km]))?)\s?([km]\b)?\+?"
_COUNTS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<![\d.,]){_AMOUNT}\s?(?:個の|個|개의|개|条|條|个|位)?(?:[^\W\d]+\s)?{_COUNTED}",
        rf"{_COUNTED}\s?[:(]?\s?{_AMOUNT}(?![\d.,/%]\d|\d)",
        rf"\(\s?{_AMOUNT}\s?\)",
    )
)

_WITH_STARS: Final = (
    re.compile(rf"{_NUMBER}\s?-?{_STAR}"),
    re.compile(rf"[★⭐☆]\ufe0f?\s?{_NUMBER}"),
)
_SYMBOLS: Final = re.compile(r"([★⭐🌟])\ufe0f?|([☆✩])")
_STARRED: Final = re.compile(_STAR)
_PERCENT: Final = re.compile(rf"{_NUMBER}\s?[%٪]")
_BARE: Final = re.compile(
    r"(?:[^\W\d]+\s){0,2}(?:rat(?:ing|ed)|score|average|avg\.?|note|bewertung|durchschnitt"
    r"|valoración|puntuación|calificación|voto|nota|media|ocena|оценка|рейтинг|puan|评分|評価"
    r"|평점|점수)?(?<![^\W\d] )[\s:=]*"
    r"\(?\s?(\d{1,3}(?:[.,](?!\d{3}$)\d{1,17})?)\s?(?:点|점|分)?\s?\)?[\s·|,•-]*"
)
_WORDS: Final = {
    word: number for number, word in enumerate(("zero", "one", "two", "three", "four", "five"))
}
_IN_WORDS: Final = re.compile(
    rf"star\S*\s({'|'.join(_WORDS)})\b"
    rf"|(?<!of )\b({'|'.join(_WORDS)})\b(?:[\s-]out of five)?[\s-]stars?"
)
_FRACTIONS: Final = str.maketrans({"½": ".5", "¼": ".25", "¾": ".75", "٫": ".", "’": "'"})


@normalizer
def normalize_rating(text: str, *, max: float | None = None) -> dict[str, Any] | None:  # noqa: A002
    """Return ``value``, ``max``, ``percent``, ``count`` and ``raw``, or None.

    *max* is the best rating there is, for texts that don't say so, as ``"4.5"``. Without it
    stars are out of 5, and ``max`` and ``percent`` of a bare number are None. ``count`` is
    the number of reviews or votes, None when the text has none. A text with a count and no
    rating is None, and so is a rating above its maximum.
    """
    line = " ".join(plain(text[:_LONGEST].translate(_FRACTIONS)).casefold().split())
    if not _MAY_BE.search(line) or _NOT_SAID.search(line) or _ONLY_MAX.match(line):
        return None
    if _MAY_HALVE.search(line):
        line = _HALF.sub(r".5\1", line)
    found, line = _out_of(line)
    count, line = _count(line)
    value, scale = found or _stars(line) or _alone(line, max) or (None, None)
    if value is None or not _fits(value, scale, max):
        return None
    scale = scale or max
    return {
        "value": _short(value),
        "max": None if scale is None else _short(scale),
        "percent": None if scale is None else _short(round(value / scale * 100, 2)),
        "count": count,
    }


def _out_of(line: str) -> tuple[tuple[float, float] | None, str]:
    """Return the value and its maximum, and the rest of the line."""
    if not line.isascii() and (match := _MAX_FIRST.search(line)):
        scale, value = match.groups()
    elif match := _PAIR.search(line):
        if _counts(line, match):
            return None, ""
        value, scale = match.groups()
    else:
        return None, line
    return (_number(value), _number(scale)), f"{line[: match.start()]} | {line[match.end() :]}"


def _counts(line: str, pair: re.Match[str]) -> bool:
    """Tell whether a pair counts things: ``image 1 of 5``, ``1 of 10``, ``2/5 left``."""
    return bool(
        _IN_A_ROW.search(line, 0, pair.start())
        or _IN_STOCK.match(line, pair.end())
        or _BARE_OF.fullmatch(line)
    )


def _count(line: str) -> tuple[int | None, str]:
    """Return the number of reviews, and the line without it."""
    for pattern in _COUNTS:
        if match := pattern.search(line):
            amount, unit = match.groups()
            rest = f"{line[: match.start()]} {line[match.end() :]}".rstrip("() ").strip()
            if unit:
                return round(_number(amount) * {"k": 1_000, "m": 1_000_000}[unit]), rest
            return int(re.sub(r"\D", "", amount)), rest
    return None, line


def _stars(line: str) -> tuple[float, float] | None:
    """Return the number of stars, in digits, symbols or words, and their maximum."""
    for pattern in _WITH_STARS:
        if match := pattern.search(line):
            return _unless_chart(_number(match[1]), line)
    if match := _IN_WORDS.search(line):
        return _WORDS[match[1] or match[2]], _STARS
    symbols = _SYMBOLS.findall(line)
    full = sum(1 for star, _ in symbols if star)
    if not symbols:
        return None
    half = 0.5 if ".5" in line else 0.0
    if full == len(symbols):  # no empty ones are shown
        return full + half, _STARS if full <= _STARS else _BARE_LIMIT
    return full + half, len(symbols) + (half > 0)


def _unless_chart(stars: float, line: str) -> tuple[float, float] | None:
    """Return whole stars, but for those that a share of the reviews has: ``67% 5 star``."""
    share = _PERCENT.search(line) if stars % 1 == 0 else None
    return None if share and _number(share[1]) != stars / _STARS * 100 else (stars, _STARS)


def _alone(line: str, best: float | None) -> tuple[float, float | None] | None:
    """Return a percentage, or the number that is all there is."""
    if (match := _PERCENT.search(line)) and not _STARRED.search(line):
        return _number(match[1]), 100
    if best and _THREE.fullmatch(line):
        return _number(line), best
    if match := _BARE.fullmatch(line):
        value = _number(match[1])
        return (value, best) if best or value <= _BARE_LIMIT else None
    return None


def _fits(value: float, scale: float | None, best: float | None) -> bool:
    """Tell whether there is such a rating: ``6/5`` and ``4/31`` are none."""
    return scale is None or (value <= scale and (scale in _SCALES or scale == best))


def _number(digits: str) -> float:
    return float(digits.replace(",", "."))


def _short(number: float) -> float:
    """The number as people write it: 5, not 5.0."""
    return int(number) if number == int(number) else number
