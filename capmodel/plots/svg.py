"""An axes as inline SVG: deterministic bytes, text as text, nothing loaded from elsewhere."""

from __future__ import annotations

import hashlib
import html
import io
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

__all__ = ["inline_svg"]

FONTS: Final = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
_TAG: Final = re.compile(r"<[^!?][^>]*>")
_ID: Final = re.compile(r'(?<= )id="([^"]+)"')
_REFERENCE: Final = re.compile(r'(?:xlink:)?href="#([^"]+)"')
_URL: Final = re.compile(r"url\(#([^)]+)\)")
_FONT: Final = re.compile(r"'DejaVu Sans'[^;\"]*")


def inline_svg(draw: Callable[[], Axes], *, key: str, alt: str) -> str:
    """Draw under matplotlib's own defaults and return the cleaned SVG element.

    The user's style must not change a report, and equal frames must give equal bytes: the salt of
    generated ids is fixed, and the metadata (date, creator) is left out.
    """
    import matplotlib as mpl  # noqa: PLC0415  heavy

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams["svg.fonttype"] = "none"
        mpl.rcParams["svg.hashsalt"] = "capmodel"
        mpl.rcParams["font.family"] = "DejaVu Sans"
        mpl.rcParams["text.parse_math"] = False
        ax = draw()
        buffer = io.StringIO()
        empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure = ax.get_figure(root=True)
        if figure is None:  # only axes taken off their figure have none
            message = "the drawn axes belong to no figure"
            raise RuntimeError(message)
        figure.savefig(buffer, format="svg", metadata=empty)
        title = ax.get_title(loc="left")
    return _clean(buffer.getvalue(), key=key, alt=alt or title)


def _clean(svg: str, *, key: str, alt: str) -> str:
    """Strip prologue and metadata, make ids unique on the page, set fonts, role and label."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>\s*", "", svg, flags=re.DOTALL)
    prefix = "f" + hashlib.sha256(key.encode()).hexdigest()[:8] + "-"

    def tag(match: re.Match[str]) -> str:
        text = _ID.sub(rf'id="{prefix}\1"', match.group())
        text = _REFERENCE.sub(rf'href="#{prefix}\1"', text)
        text = _URL.sub(rf"url(#{prefix}\1)", text)
        return _FONT.sub(FONTS, text)

    svg = _TAG.sub(tag, svg)
    box = re.search(r'viewBox="([^"]+)"', svg)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box.group(1) if box else ""}" '
        f'width="100%" role="img" aria-label="{html.escape(alt)}" '
        'style="stroke-linejoin:round;stroke-linecap:butt">'
    )
    return head + svg[svg.index(">") + 1 :].rstrip() + "\n"
