"""Jobs that are killed while their disk is full."""

from __future__ import annotations

from crawls import Crawl
from soaking import CRASHES, drawn_site, finish
from test_storage import BIG, TROUBLE, check, disk, on_disk  # noqa: F401 - disk is a fixture

from scrapy_resilience.testing import running_site


def test_full_disk(tmp_path, rng, killer, disk):  # noqa: F811 - the fixture
    """A job that is killed on a disk that grows, and fills up, loses and doubles nothing."""
    with running_site(drawn_site(rng)) as site:
        job = Crawl(tmp_path / "crawl", BIG, site, rng, **on_disk(disk))
        for kilobytes in (600, *sorted(rng.sample(range(700, 2000), rng.randint(1, 4)))):
            disk.remount(f"size={kilobytes}k")
            killer.interrupt(
                job,
                until=lambda: TROUBLE in job.last().log,
                way=(rng.choice(CRASHES),),
            )
        disk.remount("size=50m")

        finish(job)

        check(job, disk)
