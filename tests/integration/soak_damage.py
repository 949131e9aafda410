"""Each file of a job is damaged in each way, at each moment of the job's life."""

from __future__ import annotations

import damages
import pytest

from scrapy_resilience.files.layout import JOURNAL
from scrapy_resilience.testing import SiteConfig, running_site

SITE = SiteConfig(hosts=3, pages=40, latency=0.02)


def problem(damaged, name, kind, rng):
    """What is wrong with one case, None when all is right."""
    try:
        damages.check(damaged, name, kind, rng)
    except Exception as error:  # noqa: BLE001 - the others are tried as well
        return f"{kind} {name}: {error!r:.500}"


@pytest.mark.parametrize("moment", damages.MOMENTS)
def test_damage(tmp_path, rng, moment, record_property):
    """The data are right, or the job is refused in words: each file, each kind of damage."""
    with running_site(SITE) as site:
        damaged = damages.make(tmp_path, moment, site)
        cells = damages.cells(damaged)
        assert f"job/{JOURNAL}" in {name for name, _ in cells}
        found = [problem(damaged, name, kind, rng) for name, kind in cells]
    record_property("kills", damaged.job.kills)
    wrong = [*filter(None, found)]
    assert not wrong, "\n".join([f"{moment}:", *wrong])
