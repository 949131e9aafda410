"""The exit code of a process that has run a job.

==================  =====  ===========================================================
what became of it   code   who sets it
==================  =====  ===========================================================
not known yet       75     :mod:`.extensions.shutdown`, when the scheduler is open
done, or given up   0      the same, by the reason of the close: :func:`exit_code`
more to do          75     the same
failed              1      the same; :mod:`.checkpoint.run` where the last commit failed or
                           something that is done could not be stored, such as a feed;
                           and whoever refuses to begin
cut off in a stop   75     :mod:`.checkpoint.exit_watchdog`, which ends the process
==================  =====  ===========================================================

How one is set is in :mod:`._scrapy.command`.
"""

from __future__ import annotations

from scrapy_resilience import names

__all__ = ["exit_code"]


def exit_code(reason: str) -> int:
    """The code for a crawl that was closed with *reason*."""
    if reason in names.FAILURES:
        return names.EXIT_FAILURE
    return names.EXIT_RESUMABLE if reason in names.RESUMABLE else 0
