"""How ``scrapy resilience`` is called, one line for each way."""

from __future__ import annotations

from typing import Final

from scrapy_resilience.commands.tables import table

__all__ = ["usage"]

_WAYS: Final = (
    ("status <jobdir>", "what a job has done and what is left"),
    ("status <jobdir> --watch", "the same, for as long as it runs"),
    ("checkpoints <jobdir>", "its snapshots"),
    ("restore <jobdir> [<id>]", "go back to a snapshot, the newest by default"),
    ("deadletters <jobdir>", "the requests that were given up"),
    ("replay <jobdir>", "let the next crawl do them again"),
    ("report <jobdir> [<file>]", "write its report, an HTML file: report.html in the job"),
    ("cost <jobdir>", "what it has spent, and what its budgets have left"),
    ("errors <jobdir>", "its errors, grouped by cause"),
    ("errors <jobdir> --open <number>", "the first one of a group, and its page in a file"),
    ("breakers <jobdir>", "which domains are left alone"),
    ("breakers <jobdir> open <domain>", "leave a domain alone"),
    ("breakers <jobdir> reset <domain>", "ask it again at once"),
    ("feeds <jobdir>", "its feeds, and whether they are as they were left"),
    ("feeds <jobdir> forget <feed>", "take a feed out of the job"),
    ("feeds <jobdir> relink <feed> <file>", "say where a feed was moved to"),
    ("seen <store>", "how many pages a RESILIENCE_SEEN_STORE has"),
    ("seen <store> forget <pattern>", "forget pages by their URLs, or all of them: *"),
    ("seen <store> add <file>", "add the keys or URLs in a file, one a line; -: from stdin"),
    ("seen <store> export [<file>]", "each page as a line of JSON"),
    ("config", "each setting, its value and where it came from"),
    ("dryrun <spider> [--limit NUMBER] [-a NAME=VALUE]", "try a crawl out, and write nothing"),
    ("doctor [--deep]", "look at the environment and the project, and say what to do"),
    ("notify --test [--channel CHANNEL]", "send a test notice to each channel"),
    ("notify <jobdir>", "send what a job could not send"),
    ("operations <folder>", "write alert rules, a dashboard, probes, a systemd unit"),
    ("selectors list", "the sets of selectors"),
    ("selectors show <set> [<version>]", "a version, the active one by default"),
    ("selectors test [<set> [<version>]]", "replay the fixtures"),
    ("selectors diff <set> <version> [<version>]", "what is different between two"),
    ("selectors add <file>", "make a file a version, the active one"),
    ("selectors rollback <set> [<version>]", "go back, to the one before by default"),
)


def usage(name: str = "") -> str:
    """All ways to call the command *name*, or those of all commands where there is none."""
    ways = [way for way in _WAYS if way[0].split()[0] == name] or _WAYS
    lines = table(ways).splitlines()
    return "\n".join(f"  {line}" for line in lines)
