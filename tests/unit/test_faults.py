"""What an exception is, whoever has raised it: stand-ins for those of real libraries."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import json
import socket
import ssl

import pytest
from scrapy.exceptions import StopDownload
from test_classify import classifier
from twisted.internet import error as twisted_error

from scrapy_resilience.gates.judge import Judge
from scrapy_resilience.settings import Config

LOST = ("transient", True, False)
UNSENT = ("transient", True, True)
UNRESOLVED = ("transient", False, True)
OWN = ("transient", False, False)
NEVER = ("permanent", False, False)
CUT_OFF = ("content", True, False)


def classes(tree, *roots):
    """Make the classes of a library: ``"Name < Base Base"``, a line each, bases first."""
    known = (Exception, OSError, ValueError, TypeError, *roots)
    found = {base.__name__: base for base in known}
    for line in tree.strip().splitlines():
        name, _, bases = line.strip().partition(" < ")
        found[name] = type(name, tuple(found[base] for base in bases.split()), {})
    return found


REQUESTS = classes("""
    RequestException < OSError
    HTTPError < RequestException
    ConnectionError < RequestException
    ProxyError < ConnectionError
    SSLError < ConnectionError
    Timeout < RequestException
    ConnectTimeout < ConnectionError Timeout
    ReadTimeout < Timeout
    TooManyRedirects < RequestException
    MissingSchema < RequestException ValueError
    InvalidURL < RequestException ValueError
    ChunkedEncodingError < RequestException
    ContentDecodingError < RequestException
""")
CURL = classes("""
    CurlError < Exception
    RequestException < CurlError OSError
    ConnectionError < RequestException
    DNSError < ConnectionError
    SSLError < ConnectionError
    CertificateVerifyError < SSLError
    ProxyError < RequestException
    Timeout < RequestException
    ConnectTimeout < ConnectionError Timeout
    TooManyRedirects < RequestException
    HTTPError < RequestException
    IncompleteRead < HTTPError
    InvalidURL < RequestException ValueError
""")
HTTPX = classes("""
    HTTPError < Exception
    RequestError < HTTPError
    TransportError < RequestError
    TimeoutException < TransportError
    ConnectTimeout < TimeoutException
    ReadTimeout < TimeoutException
    PoolTimeout < TimeoutException
    NetworkError < TransportError
    ConnectError < NetworkError
    ReadError < NetworkError
    ProxyError < TransportError
    UnsupportedProtocol < TransportError
    ProtocolError < TransportError
    RemoteProtocolError < ProtocolError
    LocalProtocolError < ProtocolError
    DecodingError < RequestError
    TooManyRedirects < RequestError
    HTTPStatusError < HTTPError
    InvalidURL < Exception
""")
AIOHTTP = classes(
    """
    ClientError < Exception
    ClientConnectionError < ClientError
    ClientOSError < ClientConnectionError OSError
    ClientConnectorError < ClientOSError
    ClientConnectorDNSError < ClientConnectorError
    ClientProxyConnectionError < ClientConnectorError
    ClientSSLError < ClientConnectorError
    ClientConnectorSSLError < ClientSSLError SSLError
    ServerConnectionError < ClientConnectionError
    ServerDisconnectedError < ServerConnectionError
    ServerTimeoutError < ServerConnectionError TimeoutError
    ConnectionTimeoutError < ServerTimeoutError
    ClientPayloadError < ClientError
    ClientResponseError < ClientError
    TooManyRedirects < ClientResponseError
    InvalidURL < ClientError ValueError
    """,
    TimeoutError,
    ssl.SSLError,
)
PLAYWRIGHT = classes("""
    Error < Exception
    TimeoutError < Error
    TargetClosedError < Error
""")


def of_requests(name, text):
    """An exception of requests, as urllib3's pool words it."""
    return REQUESTS[name](f"HTTPConnectionPool(host='a.test', port=80): {text}")


def of_curl(name, text):
    """An exception of curl_cffi, as libcurl words it."""
    about = "See https://curl.se/libcurl/c/libcurl-errors.html first for more details."
    return CURL[name](f"Failed to perform, curl: {text}. {about}")


def of_page(text):
    """An exception of Playwright."""
    return PLAYWRIGHT["Error"](f"Page.goto: {text} at https://a.test/timeout/404\nCall log:")


def caused(error, cause):
    """Raise *error* from *cause*, as a handler does."""
    error.__cause__ = cause
    return error


EXCEEDED = "Max retries exceeded with url: /404/timed-out (Caused by {})"
OF_LIBRARIES = [
    # requests
    (of_requests("ConnectTimeout", "Max retries exceeded with url: /"), UNSENT),
    (of_requests("ReadTimeout", "Read timed out. (read timeout=1)"), LOST),
    (REQUESTS["Timeout"](), LOST),
    (
        of_requests(
            "ConnectionError",
            EXCEEDED.format(
                "NewConnectionError('Failed to establish a new connection: "
                "[Errno 111] Connection refused')"
            ),
        ),
        UNSENT,
    ),
    (
        of_requests(
            "ConnectionError",
            EXCEEDED.format(
                "NameResolutionError('Failed to resolve 'a.test' "
                "([Errno -2] Name or service not known)')"
            ),
        ),
        UNRESOLVED,
    ),
    (
        REQUESTS["ConnectionError"](
            "('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))"
        ),
        LOST,
    ),
    (
        REQUESTS["ConnectionError"](
            "('Connection aborted.', RemoteDisconnected('Remote end closed connection'))"
        ),
        LOST,
    ),
    (REQUESTS["ConnectionError"](), LOST),
    (of_requests("SSLError", EXCEEDED.format("SSLError(1, '[SSL: CERTIFICATE …')")), LOST),
    (of_requests("ProxyError", EXCEEDED.format("'Cannot connect to proxy.'")), UNSENT),
    (REQUESTS["TooManyRedirects"]("Exceeded 30 redirects."), NEVER),
    (REQUESTS["MissingSchema"]("Invalid URL 'a': No scheme supplied."), NEVER),
    (REQUESTS["InvalidURL"]("No host supplied"), NEVER),
    (REQUESTS["ChunkedEncodingError"]("Response ended prematurely"), CUT_OFF),
    (REQUESTS["ContentDecodingError"]("failed to decode it"), CUT_OFF),
    (REQUESTS["HTTPError"]("404 Client Error: Not Found for url: http://a.test/"), NEVER),
    (
        REQUESTS["HTTPError"]("503 Server Error: Service Unavailable for url: http://a.test/"),
        ("server_error", True, False),
    ),
    # curl_cffi
    (of_curl("Timeout", "(28) Operation timed out after 30001 milliseconds"), LOST),
    (of_curl("ConnectTimeout", "(28) Connection timed out after 5001 ms"), UNSENT),
    (of_curl("DNSError", "(6) Could not resolve host: a.test"), UNRESOLVED),
    (of_curl("CurlError", "(6) Could not resolve host: a.test"), UNRESOLVED),
    (of_curl("ProxyError", "(5) Could not resolve proxy: p.test"), UNSENT),
    (
        of_curl("ConnectionError", "(7) Failed to connect to a.test:1: Could not connect"),
        UNSENT,
    ),
    (of_curl("CurlError", "(28) Operation timed out after 30001 milliseconds"), LOST),
    (of_curl("RequestException", "(52) Empty reply from server"), LOST),
    (of_curl("ConnectionError", "(56) Recv failure: Connection reset by peer"), LOST),
    (of_curl("RequestException", "(92) HTTP/2 stream 1 was not closed cleanly"), LOST),
    (of_curl("SSLError", "(35) TLS connect error"), LOST),
    (of_curl("CertificateVerifyError", "(60) SSL certificate problem"), LOST),
    (of_curl("TooManyRedirects", "(47) Maximum (30) redirects followed"), NEVER),
    (of_curl("CurlError", "(47) Maximum (30) redirects followed"), NEVER),
    (of_curl("IncompleteRead", "(18) transfer closed with 90 bytes remaining"), CUT_OFF),
    (of_curl("InvalidURL", "(3) URL using bad/illegal format"), NEVER),
    # httpx
    (HTTPX["ConnectTimeout"](""), UNSENT),
    (HTTPX["ReadTimeout"]("timed out"), LOST),
    (HTTPX["PoolTimeout"](""), OWN),
    (HTTPX["ConnectError"]("[Errno 111] Connection refused"), UNSENT),
    (HTTPX["ConnectError"]("All connection attempts failed"), UNSENT),
    (HTTPX["ConnectError"]("[Errno -2] Name or service not known"), UNRESOLVED),
    (HTTPX["ConnectError"]("[Errno 24] Too many open files"), OWN),
    (HTTPX["ConnectError"]("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify fail"), LOST),
    (HTTPX["ReadError"](""), LOST),
    (HTTPX["ProxyError"]("407 Proxy Authentication Required"), UNSENT),
    (HTTPX["RemoteProtocolError"]("Server disconnected without sending a response."), LOST),
    (HTTPX["LocalProtocolError"]("Illegal header value"), NEVER),
    (HTTPX["DecodingError"]("Error -3 while decompressing"), CUT_OFF),
    (HTTPX["UnsupportedProtocol"]("Request URL has an unsupported protocol 'foo://'."), NEVER),
    (HTTPX["TooManyRedirects"]("Exceeded maximum allowed redirects."), NEVER),
    (HTTPX["InvalidURL"]("Invalid port"), NEVER),
    (
        HTTPX["HTTPStatusError"]("Server error '502 Bad Gateway' for url 'http://a.test/'"),
        ("server_error", True, False),
    ),
    (HTTPX["HTTPStatusError"]("Client error '403 Forbidden' for url 'http://a.test/'"), NEVER),
    # aiohttp
    (AIOHTTP["ServerDisconnectedError"]("Server disconnected"), LOST),
    (AIOHTTP["ServerTimeoutError"](), LOST),
    (AIOHTTP["ConnectionTimeoutError"]("Connection timeout to host http://a.test/"), UNSENT),
    (AIOHTTP["ClientConnectorError"](errno.ECONNREFUSED, "Connect call failed"), UNSENT),
    (AIOHTTP["ClientConnectorError"](errno.EMFILE, "Too many open files"), OWN),
    (AIOHTTP["ClientConnectorError"]("Cannot connect to host a.test:80 ssl:default"), UNSENT),
    (AIOHTTP["ClientConnectorDNSError"](-2, "Name or service not known"), UNRESOLVED),
    (AIOHTTP["ClientConnectorSSLError"](1, "[SSL: WRONG_VERSION_NUMBER]"), LOST),
    (AIOHTTP["ClientProxyConnectionError"](errno.ECONNREFUSED, "refused"), UNSENT),
    (AIOHTTP["ClientOSError"](errno.ECONNRESET, "Connection reset by peer"), LOST),
    (AIOHTTP["ClientPayloadError"]("Response payload is not completed"), CUT_OFF),
    (AIOHTTP["TooManyRedirects"]("0, message='', url='http://a.test/'"), NEVER),
    (AIOHTTP["InvalidURL"]("a"), NEVER),
    (
        AIOHTTP["ClientResponseError"]("503, message='Service Unavailable', url='…'"),
        ("server_error", True, False),
    ),
    # Playwright
    (PLAYWRIGHT["TimeoutError"]("Page.goto: Timeout 30000ms exceeded."), LOST),
    (PLAYWRIGHT["TargetClosedError"]("Target page, context or browser has been closed"), OWN),
    (of_page("net::ERR_NAME_NOT_RESOLVED"), UNRESOLVED),
    (of_page("net::ERR_CONNECTION_REFUSED"), UNSENT),
    (of_page("net::ERR_CONNECTION_TIMED_OUT"), UNSENT),
    (of_page("net::ERR_ADDRESS_UNREACHABLE"), UNSENT),
    (of_page("net::ERR_PROXY_CONNECTION_FAILED"), UNSENT),
    (of_page("net::ERR_TUNNEL_CONNECTION_FAILED"), UNSENT),
    (of_page("net::ERR_CONNECTION_RESET"), LOST),
    (of_page("net::ERR_CONNECTION_CLOSED"), LOST),
    (of_page("net::ERR_EMPTY_RESPONSE"), LOST),
    (of_page("net::ERR_TIMED_OUT"), LOST),
    (of_page("net::ERR_CERT_DATE_INVALID"), LOST),
    (of_page("net::ERR_SSL_PROTOCOL_ERROR"), LOST),
    (of_page("net::ERR_TOO_MANY_REDIRECTS"), NEVER),
    (of_page("net::ERR_CONTENT_LENGTH_MISMATCH"), CUT_OFF),
    (of_page("net::ERR_INTERNET_DISCONNECTED"), OWN),
    (of_page("net::ERR_BLOCKED_BY_CLIENT"), NEVER),
    (of_page("NS_ERROR_UNKNOWN_HOST"), UNRESOLVED),
]
OF_PYTHON = [
    (OSError(errno.ECONNREFUSED, "x"), UNSENT),
    (OSError(errno.EHOSTUNREACH, "x"), UNSENT),
    (OSError(errno.ENETUNREACH, "x"), UNSENT),
    (OSError(errno.ECONNRESET, "x"), LOST),
    (OSError(errno.EPIPE, "x"), LOST),
    (OSError(errno.ETIMEDOUT, "x"), LOST),
    (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 101] x"), UNSENT),
    *[
        (OSError(getattr(errno, name), "x"), OWN)
        for name in (
            "EMFILE",
            "ENFILE",
            "ENOSPC",
            "ENOMEM",
            "ENOBUFS",
            "EADDRNOTAVAIL",
            "ENETDOWN",
            "EIO",
            "EDQUOT",
        )
    ],
    (PermissionError(errno.EACCES, "x"), NEVER),
    (FileNotFoundError(errno.ENOENT, "x"), NEVER),
    (MemoryError(), OWN),
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), UNRESOLVED),
    (socket.gaierror(8, "nodename nor servname provided"), UNRESOLVED),
    (ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED]"), LOST),
    (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), LOST),
    (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), LOST),
    (asyncio.CancelledError(), NEVER),
    (concurrent.futures.CancelledError(), NEVER),
    (KeyboardInterrupt(), NEVER),
    (RuntimeError("Session is closed"), OWN),
    (RuntimeError("Event loop is closed"), OWN),
    # of Twisted and Scrapy
    (twisted_error.NoRouteError(), UNSENT),
    (twisted_error.UnknownHostError(), UNRESOLVED),
    (twisted_error.ConnectError(), UNSENT),
    (twisted_error.ConnectBindError(), OWN),
    (StopDownload(), NEVER),
    # as others word it: Go, Rust, Node, pycurl, Selenium, trio, SOCKS
    (Exception('Get "http://a.test": dial tcp: lookup a.test: no such host'), UNRESOLVED),
    (Exception("dial tcp 10.0.0.1:80: connect: connection refused"), UNSENT),
    (Exception("dial tcp 10.0.0.1:80: i/o timeout"), LOST),
    (Exception("context deadline exceeded"), LOST),
    (Exception("dns error: failed to lookup address information"), UNRESOLVED),
    (Exception("client error (Connect): tcp connect error"), UNSENT),
    (Exception("getaddrinfo ENOTFOUND a.test"), UNRESOLVED),
    (Exception("connect EHOSTUNREACH 10.0.0.1:80"), UNSENT),
    (Exception("read ECONNRESET"), LOST),
    (Exception("connect ECONNREFUSED 10.0.0.1:80"), UNSENT),
    (Exception("No connection could be made: the target machine actively refused it"), UNSENT),
    (Exception("the server refused it"), LOST),  # it may have got the request
    (Exception("disconnect error"), LOST),
    (Exception("socket hang up"), LOST),
    (Exception(28, "Operation timed out after 5001 milliseconds"), LOST),
    (Exception("unknown error: net::ERR_NAME_NOT_RESOLVED"), UNRESOLVED),
    (Exception("a.test took too long to respond"), LOST),
    (type("TooSlowError", (Exception,), {})(), LOST),
    (type("ProxyConnectionError", (Exception,), {})("General SOCKS server failure"), UNSENT),
    (Exception("Unexpected answer of the tunnel: 502"), UNSENT),
    (Exception("Page.goto: Page crashed"), OWN),
    (Exception("Connection closed while reading from the driver"), OWN),
    (Exception("429 Too Many Requests"), ("throttled", False, False)),
    # raised from what tells more
    (caused(type("FetchError", (Exception,), {})("x"), TimeoutError()), LOST),
    (caused(type("FetchError", (OSError,), {})("x"), OSError(errno.EMFILE, "x")), OWN),
    (caused(RuntimeError("x"), HTTPX["TooManyRedirects"]("x")), NEVER),
    (caused(Exception("x"), caused(Exception("y"), ConnectionRefusedError())), UNSENT),
]


@pytest.mark.parametrize(("error", "expected"), OF_LIBRARIES + OF_PYTHON, ids=repr)
def test_what_an_exception_is(error, expected):
    """Class names, bases, error numbers and words tell it, in a download and elsewhere."""
    for of_download in (False, True):
        verdict = classifier().exception(error, of_download=of_download)

        found = verdict.failure_class, verdict.counts_against_domain, verdict.unsent
        assert found == expected


@pytest.mark.parametrize(
    "error",
    [
        KeyError("timeout"),
        AttributeError("'NoneType' object has no attribute 'connection_refused'"),
        TypeError("timeout must be a number"),
        ValueError("timeout"),
        AssertionError(),
        NotImplementedError(),
        RecursionError(),
        ZeroDivisionError(),
        ModuleNotFoundError("No module named 'dns'"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        json.JSONDecodeError("Expecting value", "", 0),
        caused(KeyError("x"), TimeoutError()),
    ],
    ids=repr,
)
def test_wrong_code_is_not_the_domains(error):
    """Whatever words a bug of a middleware has, no other try mends it."""
    for of_download in (False, True):
        verdict = classifier().exception(error, of_download=of_download)

        assert (verdict.failure_class, verdict.counts_against_domain) == ("permanent", False)


@pytest.mark.parametrize(
    "error",
    [OSError("boom"), Exception("boom"), RuntimeError("boom"), HTTPX["HTTPError"]("boom")],
    ids=repr,
)
def test_an_unknown_exception_of_a_download(error):
    """It counts and is tried again: a host that fails in a new way is not asked for ever."""
    verdict = Judge(Config())(error)

    assert (verdict.failure_class, verdict.counts_against_domain) == ("transient", True)
    assert not classifier().exception(error).counts_against_domain


def test_an_unknown_exception_of_a_function_is_permanent():
    """Outside of a download nobody knows that another try may help."""
    assert classifier().exception(RuntimeError("boom")).failure_class == "permanent"


def test_a_pattern_for_an_exception_of_nobody_knows():
    """A user's pattern decides on the class, and with it on whether it counts."""
    judge = Judge(Config(failure_patterns={"permanent": ["boom"], "blocked": ["go away"]}))

    assert not judge(RuntimeError("boom")).counts_against_domain
    assert judge(RuntimeError("go away")).counts_against_domain


def test_a_group_of_exceptions():
    """The first one of an exception group stands for all."""
    group = type("ExceptionGroup", (Exception,), {"exceptions": (ConnectionRefusedError(),)})

    assert classifier().exception(group("multiple connection attempts failed")).unsent


def test_causes_that_go_round():
    """A chain of causes has an end, whatever it is made of."""
    one, two = Exception("one"), Exception("two")
    caused(one, two)
    caused(two, one)

    assert classifier().exception(one).failure_class == "permanent"
