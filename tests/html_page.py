"""A page as a test reads it: tables, links, words, and the keys of its numbers."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Tables by caption, ids, links; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[tuple[str, str]]]] = {}
        self.heads: dict[str, list[str]] = {}
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self._open: list[str] = []
        self._cell: list[str] | None = None
        self.keyed: list[tuple[str, str]] = []
        self.cells: list[tuple[str, str, str]] = []
        self._value = self._key = ""
        self._caption = ""
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        held = dict(attrs)
        self.tags.add(tag)
        self.ids += [held["id"]] if "id" in held else []
        self.links += [held[key] for key in ("href", "src", "xlink:href") if key in held]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._caption = held["aria-label"]
            self.tables.setdefault(self._caption, [])
            self.heads[self._caption] = []
        elif tag == "tr" and "tbody" in self._open:
            self.tables[self._caption].append([])
        elif tag in {"td", "th"}:
            self._cell, self._value = [], held.get("data-value", "")
            self._key = held.get("data-key", "")
        elif tag == "data":
            self.keyed.append((held["data-key"], held["value"]))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag == "th":
            self.heads[self._caption].append("".join(self._cell or []).strip())
        elif tag == "td":
            text = " ".join("".join(self._cell or []).split())
            self.tables[self._caption][-1].append((text, self._value))
            self.cells.append((text, self._key, self._value))
        if tag in {"td", "th"}:
            self._cell = None

    def handle_data(self, data):
        self.words.append(data)
        if self._cell is not None:
            self._cell.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())
