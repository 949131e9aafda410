"""Kills at several durable steps in a row, for all kinds of feeds at once."""

from __future__ import annotations

from crawls import Crawl
from soaking import LIMIT, drawn_settings, drawn_site, finish, is_finished
from test_steps import FEEDS, SOURCE, check

from scrapy_resilience.failpoints import STEPS
from scrapy_resilience.testing import running_site


def test_steps(tmp_path, rng, killer):
    """Two to four kills in a row, each at any step, lose and double nothing."""
    with running_site(drawn_site(rng)) as site:
        job = Crawl(tmp_path, SOURCE, site, rng, **{**drawn_settings(rng), "FEEDS": FEEDS})
        for _ in range(rng.randint(2, 4)):
            step = f"{rng.choice(STEPS)}:{rng.randint(1, 4)}"
            job.run(env={"KILL_AT": step}, limit=LIMIT)
            killer.count += job.path("killed").exists()
            job.path("killed").unlink(missing_ok=True)
            if is_finished(job):
                break

        finish(job)

        check(job)


def test_moments(tmp_path, rng, killer):
    """Kills at any moments lose and double nothing in any kind of feed."""
    with running_site(drawn_site(rng)) as site:
        job = Crawl(tmp_path, SOURCE, site, rng, **{**drawn_settings(rng), "FEEDS": FEEDS})

        killer.survive(job)

        check(job)
