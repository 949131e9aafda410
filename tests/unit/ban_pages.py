"""Pages of the shapes that vendors send, cut down to what makes them."""

# ruff: noqa: E501 - as they are sent

from __future__ import annotations

CLOUDFLARE = b"""<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title>
<meta http-equiv="Content-Type" content="text/html; charset=UTF-8">
<meta name="robots" content="noindex,nofollow"><style>*{box-sizing:border-box}</style></head>
<body><div class="main-wrapper" role="main"><noscript>Enable JavaScript and cookies to continue
</noscript></div><script>(function(){window._cf_chl_opt = {cvId: '3',cZone: 'shop.example',
cType: 'managed',cRay: '8c3'};var a = document.createElement('script');
a.src = '/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1?ray=8c3';
document.getElementsByTagName('head')[0].appendChild(a);}());</script></body></html>"""

CLOUDFLARE_OTHER_LANGUAGE = CLOUDFLARE.replace(b"Just a moment...", b"Nur einen Moment")

DATADOME = b"""<html lang="en"><head><title>shop.example</title><style>#cmsg{animation: A 1.5s;}
</style></head><body style="margin:0"><p id="cmsg">Please enable JS and disable any ad blocker
</p><script data-cfasync="false">var dd={'rt':'c','cid':'AHrlqAAAA','host':
'geo.captcha-delivery.com','cookie':'x'}</script><script data-cfasync="false"
src="https://ct.captcha-delivery.com/c.js"></script></body></html>"""

PERIMETERX = b"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<title>Access to this page has been denied</title></head><body>
<section class="container"><div id="px-captcha"></div><p>Press &amp; Hold to confirm you are a
human (and not a bot).</p></section><script>window._pxAppId = 'PX1';</script></body></html>"""

AKAMAI = b"""<HTML><HEAD>
<TITLE>Access Denied</TITLE>
</HEAD><BODY>
<H1>Access Denied</H1>

You don't have permission to access "http&#58;&#47;&#47;shop&#46;example&#47;" on this server.<P>
Reference&#32;&#35;18&#46;2d&#46;17
<P>https&#58;&#47;&#47;errors&#46;edgesuite&#46;net&#47;18&#46;2d&#46;17</P>
</BODY>
</HTML>"""

IMPERVA = b"""<html style="height:100%"><head><META NAME="ROBOTS" CONTENT="NOINDEX, NOFOLLOW">
<script type="text/javascript" src="/_Incapsula_Resource?SWJIYLWA=719d34"></script></head>
<body style="margin:0px;height:100%"><iframe id="main-iframe" src="/_Incapsula_Resource?CWUDNSAI=23"
frameborder=0>Request unsuccessful. Incapsula incident ID: 877000720</iframe></body></html>"""

AWS = b"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title></title>
<script type="text/javascript">window.awsWafCookieDomainList = [];window.gokuProps = {"key":"A"};
</script><script src="https://x.token.awswaf.com/x/challenge.js"></script></head><body>
<div id="challenge-container"></div><script type="text/javascript">
AwsWafIntegration.saveReferrer();AwsWafIntegration.checkForceRefresh()</script></body></html>"""

AMAZON = b"""<!doctype html><html><head><title dir="ltr">Amazon.com</title></head><body>
<h4>Enter the characters you see below</h4><p>Sorry, we just need to make sure you're not a robot.
</p><form method="get" action="/errors/validateCaptcha" name=""><img src="/captcha/x.jpg">
<input autocomplete="off" name="field-keywords" type="text"></form></body></html>"""

RECAPTCHA = b"""<!DOCTYPE html><html><head><title>shop.example</title></head><body>
<h1>We have seen unusual traffic from your network</h1><form action="/check" method="post">
<div class="g-recaptcha" data-sitekey="6Lc"></div></form></body></html>"""

TURNSTILE = b"""<!DOCTYPE html><html><head><title>shop.example</title></head><body>
<p>Please verify that you are human.</p><div class="cf-turnstile" data-sitekey="0x4"></div>
</body></html>"""

PAGES = {
    "cloudflare": CLOUDFLARE,
    "cloudflare in German": CLOUDFLARE_OTHER_LANGUAGE,
    "datadome": DATADOME,
    "perimeterx": PERIMETERX,
    "akamai": AKAMAI,
    "imperva": IMPERVA,
    "aws": AWS,
    "amazon": AMAZON,
    "recaptcha": RECAPTCHA,
    "turnstile": TURNSTILE,
    "plain text": b"error code: 1020",
}

_PROSE = (
    b"<p>" + b"How sites find out who is a robot, and what one may do about it. " * 30 + b"</p>"
)

INNOCENT = {
    "article about Cloudflare": b"<html><title>Just a moment...</title><body>" + _PROSE
    + b"<pre>window._cf_chl_opt = {cvId: '3'}</pre></body></html>",
    "article about captchas": b"<html><title>How captchas work</title><body>" + _PROSE
    + b"<p>Sites say: verify that you are human. Put a &lt;div class=g-recaptcha&gt; there.</p>",
    "short note on captchas": b"<html><title>No more captchas</title><body><p>We took the captcha "
    b"out of our search: nobody likes to prove anything.</p></body></html>",
    "contact form": b"""<html><title>Contact</title><body><form><input name="mail" type="email">
<textarea name="text"></textarea><p>Please verify that you are human.</p>
<div class="h-captcha" data-sitekey="1"></div></form></body></html>""",
    "login": b"""<html><title>Log in</title><body><form><input type="text" name="user">
<input name="secret" type="password"><div class="g-recaptcha"></div></form></body></html>""",
    "shop behind Cloudflare": b"<html><title>Shelf 3</title><body><ul>"
    + b'<li class="product">A lamp of brass, EUR 20</li>' * 20
    + b"</ul><script src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'></script></body></html>",
    "shop behind Imperva": b"""<html><head><title>Shelf 4</title>
<script src="/_Incapsula_Resource?SWJIYLWA=719d34"></script></head><body>A lamp</body></html>""",
    "page of its own about access": b"<html><title>Access denied</title><body>"
    b"<p>Please log in to see the orders of other people.</p></body></html>",
    "JSON": b'{"captcha": false, "title": "Just a moment...", "text": "g-recaptcha"}',
    "nothing": b"",
}  # fmt: skip
