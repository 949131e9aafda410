"""Whether an answer is a ban: a challenge, a captcha, a block page.

In tiers, the cheap ones first:

1. Status and headers. Vendors mark challenges in headers or cookies, but only an answer
   with a status of :data:`SUSPICIOUS` is looked at: an ordinary page costs nothing here.
2. The size and the links of the page. A challenge has up to 64 KB and hardly a link; in
   an ordinary page the ninth link soon comes, and that is all that is read of it.
3. Markers in the first 8 KB: the title, what challenge scripts are made of, captchas.
4. Only where a marker was found, the whole page: a challenge has little text that can be
   read, unlike a page that *talks* about captchas, and asks for nothing else, unlike a
   page with a captcha in its contact form.

Ordinary pages carry much that looks like a ban and is none: Cloudflare's
``/cdn-cgi/challenge-platform/`` script, Imperva's ``/_Incapsula_Resource``, the cookies
``__cf_bm`` and ``datadome``, reCAPTCHA. None of these is a marker by itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from scrapy_resilience.core.retryafter import Headers

__all__ = ["SUSPICIOUS", "ban_in_headers", "ban_in_page"]

SUSPICIOUS: Final = frozenset({202, 401, 403, 405, 406, 429, 456, 468, 503})
"""Statuses with which vendors send challenges and blocks, besides 200."""

_PREFIX: Final = 8_192
_LARGEST: Final = 65_536
_MOST_TEXT: Final = 1_500
_MOST_LINKS: Final = 8

# --- tier 1: status and headers ---------------------------------------------------

_HEADERS: Final = (
    ("cf-mitigated", re.compile("challenge|block", re.IGNORECASE), "Cloudflare"),
    ("x-datadome", re.compile("protected|block|captcha", re.IGNORECASE), "DataDome"),
    ("x-amzn-waf-action", re.compile("captcha|challenge", re.IGNORECASE), "AWS WAF"),
    ("x-sucuri-block", re.compile("."), "Sucuri"),
    ("x-kpsdk-ct", re.compile("."), "Kasada"),
    ("x-px-block", re.compile("."), "PerimeterX"),
)


def ban_in_headers(status: int, headers: Headers) -> str | None:
    """Who banned us, as far as status and headers tell."""
    if status not in SUSPICIOUS:
        return None
    for name, pattern, vendor in _HEADERS:
        value = headers.get(name)
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if text and pattern.search(text):
            return f"{vendor}, header {name}"
    return None


# --- tiers 2 to 4: the page --------------------------------------------------------

_TITLES: Final = {
    b"just a moment": "Cloudflare",
    b"attention required! | cloudflare": "Cloudflare",
    b"access denied | cloudflare": "Cloudflare",
    b"ddos-guard": "DDoS-Guard",
    b"access to this page has been denied": "PerimeterX",
    b"pardon our interruption": "Imperva",
    b"sucuri website firewall - access denied": "Sucuri",
    b"robot check": "captcha",
    b"bot check": "captcha",
    b"are you human": "captcha",
    b"are you a human": "captcha",
    b"are you a robot": "captcha",
    b"human verification": "captcha",
    b"captcha": "captcha",
    b"verify you are human": "captcha",
    b"verifying you are human": "captcha",
    b"verify that you are human": "captcha",
    b"please verify you are human": "captcha",
    b"please verify you are a human": "captcha",
    b"one more step": "captcha",
    b"checking your browser": "captcha",
}
"""Titles of challenges, in lower case, without dots and question marks at the end."""

_MARKERS: Final = (
    (b"_cf_chl_opt", "Cloudflare"),
    (b"errors.edgesuite.net", "Akamai"),
    (b"errors&#46;edgesuite&#46;net", "Akamai"),
    (b"sec-if-cpt-container", "Akamai"),
    (b"Incapsula incident ID", "Imperva"),
    (b"AwsWafIntegration.", "AWS WAF"),
    (b"/sorry/index", "Google"),
    (b"Sucuri WebSite Firewall", "Sucuri"),
    (b"KPSDK", "Kasada"),
)
"""What the pages of vendors are made of."""

_CAPTCHAS: Final = (
    (b"captcha-delivery.com", "DataDome"),
    (b"px-captcha", "PerimeterX"),
    (b"/validateCaptcha", "Amazon"),
)
"""As :data:`_MARKERS`; one look for what they have in common is enough mostly."""
_WIDGETS: Final = (b"aptcha", b"cf-turnstile", b"geetest_")
_PLEAS: Final = re.compile(
    rb"unusual (?:traffic|activity)|automated (?:access|queries|requests|traffic)"
    rb"|(?:verify|confirm|prove|make sure)(?: that)? you(?: are|'re) (?:a |not a )?"
    rb"(?:human|robot)"
    rb"|are you (?:a )?(?:human|robot)"
    rb"|(?:access|request) (?:is |has been |was )?(?:denied|blocked)"
    rb"|you have been blocked|checking (?:your|if the site) (?:browser|connection)"
)
_FORM: Final = re.compile(
    rb"<textarea|<input[^>]{0,200}type=.?(?:email|password|tel)", re.IGNORECASE
)
_CODE: Final = re.compile(rb"error code: 10[0-9]{2}\s*")
"""All that Cloudflare says to what it takes for a program."""
_HIDDEN: Final = re.compile(rb"<(script|style|noscript|template)\b|<!--")
_TAG: Final = re.compile(rb"<[^<>]*>|&[#\w]{1,9};")


def ban_in_page(body: bytes) -> str | None:
    """Who banned us, as far as a decompressed HTML body tells.

    The markers are ASCII, so any charset will do but UTF-16 and UTF-32.
    """
    if len(body) > _LARGEST:
        return None
    start = body[:_PREFIX].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] != b"<":
        return "Cloudflare, error code" if _CODE.fullmatch(start) else None
    if _has_links(body):
        return None
    vendor = _titled(start) or _marked(start)
    if vendor is None and not any(widget in start for widget in _WIDGETS):
        return None
    text = _visible(body)
    if len(text) > _MOST_TEXT:
        return None
    return vendor or ("captcha" if _PLEAS.search(text) and not _FORM.search(body) else None)


def _has_links(body: bytes) -> bool:
    found = -1
    for _ in range(_MOST_LINKS + 1):
        found = body.find(b"<a ", found + 1)
        if found < 0:
            return False
    return True


def _titled(start: bytes) -> str | None:
    found = max(start.find(b"<title"), start.find(b"<TITLE"))
    if found < 0:
        return None
    title = start[found : found + 150].partition(b">")[2].partition(b"<")[0]
    title = title.strip().lower().rstrip(b".?! ")
    return f"{_TITLES[title]}, title" if title in _TITLES else None


def _marked(start: bytes) -> str | None:
    markers = _MARKERS + _CAPTCHAS if b"aptcha" in start else _MARKERS
    for marker, vendor in markers:
        if marker in start:
            return f"{vendor}, {marker.decode()}"
    return None


def _visible(body: bytes) -> bytes:
    """The text, in lower case; in linear time, whatever the page."""
    body = body.lower()
    shown, position = [], 0
    while (hidden := _HIDDEN.search(body, position)) is not None:
        shown.append(body[position : hidden.start()])
        ending = b"</" + hidden[1] if hidden[1] else b"-->"
        position = body.find(ending, hidden.end())
        if position < 0:
            break
    else:
        shown.append(body[position:])
    return b" ".join(_TAG.sub(b" ", b"".join(shown)).split())
