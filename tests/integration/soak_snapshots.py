"""Jobs that are killed, lose their store and go on from a snapshot, several times."""

from __future__ import annotations

from crawls import SHOP, Crawl
from soaking import check_items, drawn_settings, drawn_site, finish
from test_snapshots import KEY, OFTEN, found, lose_store, restore

from scrapy_resilience.testing import running_site


def test_restore(tmp_path, rng, killer):
    """From whatever snapshot a job goes on, each item is in the feeds once."""
    env = rng.choice([KEY, None])
    settings = {**drawn_settings(rng), **OFTEN, "DOWNLOAD_DELAY": rng.choice([0, 0.03])}
    with running_site(drawn_site(rng)) as site:
        job = Crawl(tmp_path, SHOP, site, rng, **settings)
        gone = set()
        for _ in range(rng.randint(3, 6)):
            killer.interrupt(job, env=env)
            good = [each.id for each in found(job) if not each.problem and each.id not in gone]
            if good:
                if rng.random() < 0.5:
                    lose_store(job)
                restore(job, chosen := rng.choice(good), env=env)
                # of a course of events that the feeds no longer hold
                gone.update(each for each in good if each > chosen)

        finish(job, env=env)

        check_items(job)
