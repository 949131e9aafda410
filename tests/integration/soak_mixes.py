"""Spiders of all kinds, killed at random moments."""

from __future__ import annotations

import pytest
from crawls import Crawl
from mixes import MIXES
from soaking import check_items, drawn_settings, drawn_site

from scrapy_resilience.testing import running_site


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
def test_mix(tmp_path, rng, killer, image_server, mix):
    """Whatever the spider does, each item comes once."""
    settings = {**drawn_settings(rng), "IMAGE_SERVER": image_server, **mix.settings}
    with running_site(drawn_site(rng, faults=mix.faults)) as site:
        job = Crawl(tmp_path, mix.source, site, rng, **settings)

        killer.survive(job)

        check_items(job, mix.expected(site))
