"""What pages say of an amount: that it was, is off, is for each, or with the tax."""

from __future__ import annotations

import re

__all__ = [
    "ALONE",
    "DASH",
    "EACH",
    "FOR",
    "FREE",
    "GROSS",
    "LABEL",
    "NET",
    "OFF",
    "SAID_BEFORE",
    "TAX",
    "UNIT",
]

FREE = {
    "free", "gratis", "kostenlos", "umsonst", "gratuit", "gratuito", "grátis", "gratuite",
    "бесплатно", "безкоштовно", "za darmo", "zdarma", "ingyenes", "ilmainen", "ücretsiz",
    "無料", "免费", "免費", "무료", "मुफ़्त", "مجاني", "חינם",
}  # fmt: skip

_LABELS = {
    "was": "was|were|regular|reg|regularly|original|originally|old|before|list price|rrp|mrp"
    "|msrp|uvp|statt|vorher|instead of|avant|au lieu de|à la place de|antes|prima|era|invece di"
    "|van|ordinarie|før|было|старая цена|eski|de:|compare at|retail",
    "now": "now|sale|jetzt|nur|only|maintenant|ahora|ora|solo|сейчас|nu|agora|por|today"
    "|our price|offer price|special|deal",
    "off": "save|saving|savings|off|discount|rabatt|sparen|économisez|ahorra|ahorras"
    "|risparmi|скидка|shipping|delivery|postage|versand|versandkosten|livraison|envío|envio"
    r"|spedizione|(?<!ex )(?<!inc )(?<!incl )(?<!excl )(?<!\. )(?:tax|vat)|deposit"
    r"|zzgl|plus|\+",
}
LABEL = re.compile(
    rf"(?<!\w)(?:{'|'.join(f'(?P<{name}>{words})' for name, words in _LABELS.items())})(?!\w)",
    re.IGNORECASE,
)
OFF = re.compile(
    r"\s*(?:off|discount|de descuento|rabatt|korting|shipping|delivery|postage|versand"
    r"|livraison|spedizione|envío)(?!\w)",
    re.IGNORECASE,
)
DASH = re.compile(
    r"\s*(?:-|~|\.\.|to|bis|à|a|al|até|hasta|до|til|till|tot|do|から|至)\s*", re.IGNORECASE
)


UNIT = re.compile(r"\s*(?:/|per\b|pro\b|je\b|par\b|por\b|la\b)\s*\d*\s*[^\W\d]", re.IGNORECASE)
_TAXES = r"(?:\d+\s?% ?)?(?:vat|tax(?:es)?|gst|mwst|tva|iva|moms)\b"
_WITHOUT = (
    r"(?:ex|exc|excl|excluding|without|plus|hors|ohne|zzgl|sin|senza|esclusa)\.?\s\W*"
    rf"{_TAXES}|[税稅][抜别別]"
)
_WITH = (
    r"(?:inc|incl|including|with|inkl|mit|avec|incluye|con)\.?\s\W*"
    rf"{_TAXES}|ttc\b|iva incl\w*|[税稅]込|含[税稅]"
)
_NEXT = r"(?!\.?\s?:?\s?(?:[^\W\d]{0,3}\s?[$£€¥₹]|\d))"
"""Not before a number: what stands in brackets there is said of it."""
NET, GROSS = (
    (
        re.compile(rf"\s*(?:(?:{words})(?!\s?:)|\((?:{words}){_NEXT})", re.IGNORECASE),
        re.compile(rf"\(\s*(?:{words})[\s:.]*$|(?:{words})\s?:\s*$", re.IGNORECASE),
        re.compile(rf"(?:{words})[\s:.(]*$", re.IGNORECASE),
    )
    for words in (_WITHOUT, _WITH)
)
"""What is said of an amount without and with the tax: behind it, before it in brackets or with
a colon, and before it in any way."""
SAID_BEFORE = re.compile(rf"\s*(?:{_WITHOUT}|{_WITH})", re.IGNORECASE)
FOR = re.compile(r"\s*(?:for|für|pour|por|per|voor|för|за|za)\s*", re.IGNORECASE)


EACH = re.compile(
    r"^\s*(?:/|per\b|pro\b|je\b|par\b|por\b|al?\b)\s*(?:each|ea|piece|pcs?|units?|item|stück|stk?"
    r"|pièce|unité|unidad|ud|pezzo|pz|stuk|sztuk[aęi]|szt|шт|個|件|个|개)\.?\s*$"
    r"|^\s*(?:hourly|daily|weekly|monthly|yearly|annually)\s*$",
    re.IGNORECASE,
)
TAX = re.compile(
    r"^\s*\(?(?:inc|incl|ex|excl|inkl|exkl|plus|zzgl)\.?\s(?:vat|tax|gst|mwst|moms|tva|iva)\b\.?\)?",
    re.IGNORECASE,
)
ALONE = re.compile(
    r"(?:price|preis|prix|precio|preço|prezzo|prijs|pris|cena|цена|fiyat|価格|价格"
    r"|from|ab|à partir de|desde|da|od|от|now|only|nur|total|[\s:.,*!=\-()])*",
    re.IGNORECASE,
)
