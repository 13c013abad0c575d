"""Files and servers → History; files of right-sizing tools → Recommendations.

>>> from capmodel.sources import read_csv, read_krr_csv, read_parquet, read_vpa
"""

from __future__ import annotations

from capmodel.sources.files import read_csv, read_parquet, read_rows
from capmodel.sources.recommendations import (
    Recommendations,
    read_krr_csv,
    read_krr_json,
    read_vpa,
)

__all__ = [
    "Recommendations",
    "read_csv",
    "read_krr_csv",
    "read_krr_json",
    "read_parquet",
    "read_rows",
    "read_vpa",
]
