"""The review as one HTML file that loads nothing, needs no script and prints well."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from capmodel import plots
from capmodel.plots.labels import share, weekday
from capmodel.report.decide import ask, breaks_first, demand, facts
from capmodel.report.evidence import evidence, provenance
from capmodel.report.order_book import orders
from capmodel.report.pay import cost, risk
from capmodel.report.provide import databases, partners, services
from capmodel.report.views import Figure, Material, make_material
from capmodel.schema import STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["page_environment", "to_html"]

PARTS: Final = (
    ask, demand, breaks_first, services, databases, partners, risk, cost, orders, evidence,
    provenance,
)  # fmt: skip
"""The sections in the order of a quarterly capacity review."""


def to_html(  # noqa: PLR0913  named parts of a report
    frames: Mapping[str, pd.DataFrame],
    *,
    title: str,
    headline: Sequence[str],
    provenance: Mapping[str, str],
    scenarios: Sequence[str] | Mapping[str, float] | None = None,
    marks: plots.Marks | None = None,
    notes: Mapping[str, str] | None = None,
) -> str:
    """Return the quarterly review of a plan as one self-contained HTML page.

    Parameters
    ----------
    frames
        The plan's frames by name; a missing or empty one is said in words.
    title
        The page's title.
    headline
        Sentences, the most important first: what breaks first, when, what to order by when.
    provenance
        Hashes, seed, versions, ``as_of``: shown in this order.
    scenarios
        Names in the order to show, or names with their probabilities; None takes the frames'.
    marks
        Season multiples for the ladder, freezes, lines: see `plots.Marks`.
    notes
        What stands under a section's title, a paragraph a line, by its anchor: ``ask, demand,
        limits, services, databases, partners, risk, cost, orders, evidence, provenance``.

    Returns
    -------
    str
        The page; equal input gives equal bytes.
    """
    material = make_material(
        frames, title=title, headline=headline, provenance=provenance, scenarios=scenarios,
        marks=marks, notes=notes,
    )  # fmt: skip
    sections = tuple(part(material) for part in PARTS)
    environment = page_environment(material)
    page = environment.get_template("review.html.j2").render(
        material=material,
        facts=facts(material),
        tally=_tally(material),
        sections=sections,
    )
    return page if page.endswith("\n") else page + "\n"


def page_environment(material: Material) -> Environment:
    """Return the templates with what they may call."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  heavy
    from markupsafe import Markup  # noqa: PLC0415  comes with jinja2

    def drawn(figure: Figure) -> Markup:
        svg = plots.figure_svg(
            figure.name, material.frames, scenario=figure.scenario, of=figure.of,
            marks=material.marks, alt=figure.alt,
        )  # fmt: skip
        # In a page the element knows its namespace; without it the file names no address at all.
        svg = svg.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)
        return Markup(svg)  # noqa: S704  our own drawing, its text escaped by matplotlib

    environment = Environment(
        loader=PackageLoader("capmodel.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals["drawn"] = drawn
    environment.globals["weekday"] = weekday
    environment.globals["share"] = share
    return environment


def _tally(material: Material) -> tuple[tuple[str, int], ...]:
    rows = material.deciding("limits")
    held = Counter(str(status) for status in rows.get("status", ()))
    return tuple((word, held[word]) for word in STATUSES if held[word])
