"""A plan for its readers: HTML, Markdown, CSV, a workbook, an owner's page, a comment on a change.

Reports take the plan's frames, sentences and provenance. They choose, order and write out; every
number that they show stands in a frame, apart from sums of money columns and counts of rows.
"""

from __future__ import annotations

from capmodel.report.comment import change_comment
from capmodel.report.csvs import write_csvs
from capmodel.report.markdown import to_markdown
from capmodel.report.page import to_html
from capmodel.report.service import PageForm, to_service_page
from capmodel.report.workbook import write_xlsx

__all__ = [
    "PageForm",
    "change_comment",
    "to_html",
    "to_markdown",
    "to_service_page",
    "write_csvs",
    "write_xlsx",
]
