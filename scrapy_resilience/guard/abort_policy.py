"""The abort policy that the settings name, and the function of the user's that it may have."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from scrapy.utils.misc import load_object

from scrapy_resilience._log import get_logger
from scrapy_resilience.callables import is_async
from scrapy_resilience.core.abort import Policy, policies_from
from scrapy_resilience.core.masking import clipped, message_of
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.profiles import ABORT_POLICY_WHEN_ON
from scrapy_resilience.waits import in_thread, let_go

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread

    from scrapy_resilience.observe.view import View
    from scrapy_resilience.settings import Config

__all__ = ["UserCondition", "abort_policy", "has_abort_policy"]

logger = get_logger(__name__)

_SETTING: Final = "RESILIENCE_ABORT_POLICY"
_POLICIES: Final = "RESILIENCE_ABORT_POLICIES"
_OFF: Final = frozenset({"", "off"})
_LONGEST: Final = 200
"""Characters of what a function says."""


def has_abort_policy(config: Config) -> bool:
    """Whether one is on, as far as its name tells: functions of users are not imported yet."""
    return config.abort_policy not in _OFF


def abort_policy(config: Config) -> Policy | None:
    """The policy that is on; None where none is. All are checked.

    Raises :exc:`ConfigurationError`.
    """
    known = policies_from(config.abort_policies, _POLICIES)
    for policy in known.values():
        if policy.function is not None:
            _loaded(policy)
    name = config.abort_policy
    if not has_abort_policy(config):
        return None
    if name == "on":
        name = ABORT_POLICY_WHEN_ON[config.profile]
    if name not in known:
        raise ConfigurationError(
            f"{_SETTING}={name!r}: no abort policy has this name: use on, off or one of "
            f"{', '.join(known)}, or define it in {_POLICIES}."
        )
    return known[name]


def _loaded(policy: Policy) -> Callable[[View], Any]:
    path, where = policy.function, f"{_POLICIES}[{policy.name!r}]['function']"
    try:
        function = load_object(path) if isinstance(path, str) else path
    except (ImportError, NameError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{where}={path!r}: {error}.") from None
    if not callable(function) or is_async(function):
        raise ConfigurationError(
            f"{where}={path!r}: use a function that is no coroutine function, or its path."
        )
    found: Callable[[View], Any] = function
    return found


class UserCondition:
    """A function of the user's: called with a view, in a thread, for so many seconds at most.

    None and False mean that all is well, True and a text, which says why, that it is not. What
    raises, does not come back or answers anything else is told once, and leaves the reason that
    was given before: nothing says that it is gone.
    """

    def __init__(self, policy: Policy, timeout: float) -> None:
        self._function = _loaded(policy)
        self._timeout = timeout
        self._told = False
        self._thread: Thread | None = None
        self.asked = False
        """Whether it has answered when it was asked last, and with sense."""
        self.reason: str | None = None
        """Why it is against going on, by its last answer."""

    async def ask(self, view: View) -> None:
        """Ask once; never raises."""
        if self._thread is not None and self._thread.is_alive():
            return  # it hangs still
        try:
            self.reason = _reason(await self._answer(view))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a thread, too
            self._degrade(error)
        else:
            self.asked, self._told = True, False

    async def _answer(self, view: View) -> Any:
        function = self._function
        answer, self._thread = in_thread(lambda: function(view), "resilience-abort")
        try:
            await asyncio.wait({answer}, timeout=self._timeout)
            if answer.done():
                return answer.result()
        finally:
            self.leave()
            if not answer.done():
                answer.cancel()
        raise TimeoutError(f"no answer in {self._timeout:g} s")

    def leave(self) -> None:
        """It must not keep the process."""
        if self._thread is not None:
            let_go(self._thread)

    def _degrade(self, error: BaseException) -> None:
        self.asked = False
        if not self._told:
            self._told = True
            logger.error(
                "The function of the abort policy says nothing (%s: %s): the other conditions "
                "count",
                type(error).__name__,
                clipped(message_of(error), _LONGEST),
            )


def _reason(answer: Any) -> str | None:
    if answer is None or answer is False:
        return None
    if answer is True:
        return "a function of yours says so"
    if isinstance(answer, str) and answer:
        return clipped(answer, _LONGEST)
    if isawaitable(answer):
        getattr(answer, "close", lambda: None)()  # it is never awaited, and need not warn
    raise TypeError(f"it has returned {type(answer).__name__}, no text and no bool")
