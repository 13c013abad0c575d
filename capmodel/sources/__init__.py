"""Files and servers → History.

>>> from capmodel.sources import read_csv, read_parquet
"""

from __future__ import annotations

from capmodel.sources.files import read_csv, read_parquet, read_rows

__all__ = ["read_csv", "read_parquet", "read_rows"]
