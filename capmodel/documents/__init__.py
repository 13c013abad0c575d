"""Files: strict YAML in, canonical JSON and hashes out, folders swapped whole.

This package answers: which line of which file is wrong and what was expected there; which bytes
stand for a value; and how is output written so that nobody ever sees half of it? It knows
pydantic models only as such, and none of capmodel's own.
"""

from __future__ import annotations

from capmodel.documents.canonical import array_digest, canonical_json, sha256_hex
from capmodel.documents.files import (
    check_replaceable,
    swap_folder,
    write_bytes_atomic,
    write_text_atomic,
)
from capmodel.documents.inherit import merged
from capmodel.documents.strict_yaml import LocatedDict, read_yaml
from capmodel.documents.validation import locate, parse_model, read_model, validate

__all__ = [
    "LocatedDict",
    "array_digest",
    "canonical_json",
    "check_replaceable",
    "locate",
    "merged",
    "parse_model",
    "read_model",
    "read_yaml",
    "sha256_hex",
    "swap_folder",
    "validate",
    "write_bytes_atomic",
    "write_text_atomic",
]
