"""STUB."""
from scrapy_resilience.core.failures import *
from scrapy_resilience.core.failures import Verdict, SUCCESS
class Judge:
    def __init__(self, config): pass
    def __call__(self, result):
        if isinstance(result, Exception):
            from scrapy.exceptions import IgnoreRequest
            return Verdict(None, ignored=True) if isinstance(result, IgnoreRequest) else Verdict(TRANSIENT, repr(result), counts_against_domain=True)
        if result.status==429: return Verdict(THROTTLED, "429", retry_after=float(result.headers.get("Retry-After", b"0")))
        if result.status>=500: return Verdict(SERVER_ERROR, f"HTTP {result.status}", counts_against_domain=True)
        return SUCCESS
