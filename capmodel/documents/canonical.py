"""One value, one text, one hash: the same bytes on every machine and in every order.

This module answers: what are the bytes that stand for this value? Numbers keep nine significant
digits, which hides the last bits in which machines may differ; money is text with two decimals.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import numpy as np
from pydantic import BaseModel

__all__ = ["array_digest", "canonical_json", "sha256_hex"]

_CENT: Final = Decimal("0.01")


def canonical_json(value: object) -> str:
    """Return the canonical JSON text of a value.

    Keys are sorted; floats are rounded to nine significant digits, with -0.0 as 0.0 and NaN and
    infinities as null; `Decimal` is text with two decimals (half to even); dates and times are
    ISO text; numpy scalars and arrays are numbers and lists, tuples are lists, pydantic models are
    mappings by alias. The text is a fixed point: parsing and writing it again changes nothing.

    Parameters
    ----------
    value
        None, text, numbers, dates, numpy values, models, and lists, tuples and mappings of them.

    Returns
    -------
    str
        JSON without spaces and without a final newline.

    Raises
    ------
    TypeError
        For a value without a canonical form, such as a set; the message names its place.

    Examples
    --------
    >>> canonical_json({"usd": Decimal("2.5"), "p95": 0.1 + 0.2, "on": dt.date(2026, 11, 30)})
    '{"on":"2026-11-30","p95":0.3,"usd":"2.50"}'
    """
    plain = _plain(value, "value")
    return json.dumps(
        plain, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


def _plain(value: Any, place: str) -> Any:
    # The commonest types of a plan's tables come first: this runs once per cell.
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (float, np.floating)):
        return _rounded(float(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return _plain_mapping(value, place)
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{place}[{i}]") for i, item in enumerate(value)]
    return _plain_rare(value, place)


def _rounded(number: float) -> float | None:
    return float(f"{number:.9g}") + 0.0 if math.isfinite(number) else None


def _plain_mapping(value: Mapping[Any, Any], place: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, item in value.items():
        name = key.isoformat() if isinstance(key, dt.date) else key
        if isinstance(name, (int, np.integer)) and not isinstance(name, bool):
            name = str(int(name))
        if not isinstance(name, str):
            msg = f"{place} has a key of type {type(key).__name__}; JSON keys are text"
            raise TypeError(msg)
        if name in out:
            msg = f"{place} has two keys that are both written {name!r}"
            raise TypeError(msg)
        out[name] = _plain(item, f"{place}.{name}")
    return out


def _plain_rare(value: Any, place: str) -> Any:
    if isinstance(value, np.ndarray) and value.ndim:
        items = value if value.dtype.kind in "Mm" else value.tolist()
        return [_plain(item, f"{place}[{i}]") for i, item in enumerate(items)]
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(by_alias=True), place)
    if isinstance(value, Decimal):
        # Adding zero turns -0.00 into 0.00.
        return str(value.quantize(_CENT) + 0) if value.is_finite() else None
    if isinstance(value, (dt.date, np.datetime64)):
        return _iso(value)
    if isinstance(value, (np.generic, np.ndarray)) and value.dtype.kind not in "mMO":
        return _plain(value.item(), place)
    if type(value).__name__ == "NAType":  # pandas.NA, without importing pandas for it
        return None
    msg = f"{place} is a {type(value).__name__}, which has no canonical JSON form"
    raise TypeError(msg)


def _iso(value: dt.date | np.datetime64) -> str | None:
    # pandas' NaT is a datetime, and like numpy's it differs from itself.
    if value != value:  # noqa: PLR0124
        return None
    if isinstance(value, dt.date):
        return value.isoformat()
    day = np.datetime_data(value.dtype)[0] in {"Y", "M", "W", "D"}
    return str(value.astype("datetime64[D]" if day else "datetime64[us]").item().isoformat())


def sha256_hex(content: str | bytes) -> str:
    """Return the SHA-256 of text (as UTF-8) or bytes, in hexadecimal.

    Examples
    --------
    >>> sha256_hex("abc")[:16]  # FIPS 180-4, example B.1
    'ba7816bf8f01cfea'
    """
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()


def array_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of named numeric arrays: names, shapes and values as ``<f8``.

    Neither the order of the names nor the arrays' dtype, byte order and memory layout matter;
    every NaN counts as the same, and -0.0 as 0.0.

    Parameters
    ----------
    arrays
        Boolean, integer or float arrays by name, any shape.

    Returns
    -------
    str
        The digest in hexadecimal.

    Raises
    ------
    TypeError
        For an array that is not numeric, such as dates or objects.

    Examples
    --------
    >>> a = np.array([[1, 2], [3, 4]])
    >>> array_digest({"a": a}) == array_digest({"a": np.asfortranarray(a.astype(">f4"))})
    True
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        if array.dtype.kind not in "biuf":
            msg = f"{name} holds {array.dtype}, expected booleans, integers or floats"
            raise TypeError(msg)
        numbers = array.astype("<f8", order="C") + 0.0
        numbers[np.isnan(numbers)] = np.nan
        digest.update(json.dumps([name, list(array.shape)]).encode())
        digest.update(np.ascontiguousarray(numbers, dtype="<f8").tobytes())
    return digest.hexdigest()
