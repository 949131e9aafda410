"""Items as rows of a database, and rows of one as the start of a crawl.

.. code-block:: python

    from scrapy_resilience.sql import read_pages


    async def start(self):
        async for row in read_pages("SELECT id, url FROM shops", crawler=self.crawler):
            yield Request(row["url"])

The sink is :class:`scrapy_resilience.pipelines.sql.SqlPipeline`, turned on by
``RESILIENCE_SQL_URL``. SQLAlchemy is imported when it is needed.
"""

from __future__ import annotations

from scrapy_resilience.sql.pages import Pages, read_pages

__all__ = ["Pages", "read_pages"]
