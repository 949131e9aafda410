"""The exit code of a process that has run a job.

==================  =====  ===========================================================
what became of it   code   who sets it
==================  =====  ===========================================================
not known yet       75     :mod:`.extensions.shutdown`, when the scheduler is open
done, or given up   0      the same, by the reason of the close: :func:`exit_code`; without a
                           job Scrapy, or :mod:`.extensions.abort` where a setting asks for
                           another code
more to do          75     the same
ended by a policy   75     the same, also without a job; 1 by ``RESILIENCE_ABORT_FAILS``
failed              1      the same; :mod:`.checkpoint.run` where the last commit failed or
                           something that is done could not be stored, such as a feed;
                           and whoever refuses to begin
cut off in a stop   75     :mod:`.checkpoint.exit_watchdog`, which ends the process
==================  =====  ===========================================================

How one is set is in :mod:`._scrapy.running_command`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy_resilience import names

if TYPE_CHECKING:
    from scrapy_resilience.settings import Config

__all__ = ["exit_code"]


def exit_code(reason: str, config: Config, *, complete: bool = True) -> int:
    """The code for a crawl that was closed with *reason*.

    *complete*: whether nothing was given up, and nothing is left.
    """
    is_policy = reason.startswith(names.REASON_ABORT) and reason not in names.RESUMABLE
    if reason in names.FAILURES or (is_policy and config.abort_fails):
        return names.EXIT_FAILURE
    if reason in names.RESUMABLE or is_policy:
        return names.EXIT_RESUMABLE
    return 0 if complete else config.incomplete_exit_code
