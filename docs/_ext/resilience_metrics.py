"""The directive ``resilience-metrics``, from their one definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sphinx.util.docutils import SphinxDirective

from scrapy_resilience.observe.metrics import metric_names

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx


class ResilienceMetrics(SphinxDirective):
    """A row for each metric that is defined."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(metric_names.__file__))
        return self.parse_text_to_nodes("\n".join(_lines()))


def _lines() -> list[str]:
    rows = [("Metric", "Kind, labels", "Meaning")]
    for metric in metric_names.defined():
        kind = ", ".join([metric.kind, *(f"``{label}``" for label in metric.labels)])
        rows.append((f"``{metric.name}``", kind, metric.meaning))
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 45 20 35", ""]
    for row in rows:
        first, *rest = row
        lines += [f"   * - {first}", *(f"     - {cell}" for cell in rest)]
    return lines


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("resilience-metrics", ResilienceMetrics)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
