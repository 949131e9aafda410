"""Scrapy's private names, all of them: what is read, what is replaced, what is watched.

Checked on Scrapy 2.19. :mod:`.private_names` lists the names, and says plainly what is missing
when a spider opens, so that a new Scrapy fails at the start and not at a kill.
"""

from __future__ import annotations
