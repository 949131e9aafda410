from contextlib import contextmanager
from pathlib import Path

from scrapy.exporters import JsonLinesItemExporter

from scrapy_resilience.testing import check_exporter, check_storage


class FramedExporter(JsonLinesItemExporter):
    def start_exporting(self):
        self.file.write(b"begin\n")

    def finish_exporting(self):
        self.file.write(b"end\n")


class SharedFolder:
    resilience_replaces = True  # storing a feed again leaves it there once

    def __init__(self, uri, *, feed_options=None):
        self.path = Path(uri.removeprefix("shared:"))

    def open(self, spider):
        return self.path.with_suffix(".new").open("wb")

    def store(self, file):
        file.close()
        self.path.with_suffix(".new").replace(self.path)


def test_exporter():
    check_exporter(FramedExporter, [{"sku": "a"}, {"sku": "b"}, {"sku": "ö"}])


def test_storage(tmp_path):
    path = tmp_path / "feed"

    @contextmanager
    def away():
        path.mkdir()
        yield
        path.rmdir()

    check_storage(SharedFolder, f"shared:{path}", path.read_bytes)
    path.unlink()
    check_storage(SharedFolder, f"shared:{path}", path.read_bytes, away=away)
