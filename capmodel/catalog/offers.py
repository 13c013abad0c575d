"""Public prices: the cloud's price list, as a bulk offer (CSV, JSON) or as get-products wrote it.

This module answers: what does an instance hour cost on demand, by which version of the price list?
Kept are Linux nodes of shared tenancy without software of their own, and databases in one zone
without I/O optimization; reserved terms and what is no hour are other goods.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from capmodel.catalog.aws_files import AwsFile, check_columns, csv_lines, open_aws_file
from capmodel.catalog.prices import Collected, Price, key_of_usage, usd_of
from capmodel.catalog.rows import Key
from capmodel.errors import InputError

__all__ = ["read_offer"]

_HEADER: Final[Mapping[str, str]] = {
    "Instance Type": "instanceType",
    "Region Code": "regionCode",
    "Location Type": "locationType",
    "usageType": "usagetype",
    "Tenancy": "tenancy",
    "Operating System": "operatingSystem",
    "Pre Installed S/W": "preInstalledSw",
    "CapacityStatus": "capacitystatus",
    "MarketOption": "marketoption",
    "Database Engine": "databaseEngine",
    "Deployment Option": "deploymentOption",
    "vCPU": "vcpu",
    "Memory": "memory",
}
"""Column of a bulk offer CSV to the attribute's name in JSON."""
_NEEDED: Final = (
    "SKU", "TermType", "Unit", "PricePerUnit", "Currency", "Instance Type", "Region Code",
    "usageType",
)  # fmt: skip
_NODE: Final[Mapping[str, str]] = {
    "tenancy": "Shared",
    "operatingSystem": "Linux",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
}
_WHERE_STATED: Final[Mapping[str, str]] = {"locationType": "AWS Region", "marketoption": "OnDemand"}
_ON_DEMAND: Final = "OnDemand"
_HOUR: Final = "Hrs"


@dataclass(frozen=True, slots=True)
class _Edition:
    """Which offer a line stands in: service, version, publication date."""

    service: str
    version: str
    published: dt.date

    @property
    def source(self) -> str:
        return f"AWS price list {self.service} version {self.version}"


@dataclass(frozen=True, slots=True)
class _Line:
    """One price line before it is judged; ``amounts`` by currency, as text."""

    where: str
    attributes: Mapping[str, str]
    unit: str
    amounts: Mapping[str, str]
    edition: _Edition


def read_offer(path: str | Path, *, region: str) -> dict[Key, Price]:
    """Return the on-demand prices of a region from a file of the price list.

    Parameters
    ----------
    path
        A bulk offer CSV (plain or gzip; read line by line), a bulk offer JSON, or the output of
        ``aws pricing get-products``.
    region
        For example ``"us-east-1"``; lines of other regions are passed over.

    Returns
    -------
    dict
        Key (region, kind, engine, name) to price, sorted; dated by the offer's publication.

    Raises
    ------
    InputError
        For a file of another kind; an offer without version or publication date; no price of the
        region; and for every kept line that has two prices, another currency than USD, or 0.
    """
    file = open_aws_file(
        path,
        kinds=("offer_csv", "offer_json", "products"),
        instead="Read it with with_billing (what was paid) or with_instance_types (shapes).",
    )
    read = {"offer_csv": _csv_lines, "offer_json": _bulk_lines, "products": _product_lines}
    found = Collected(file.name)
    others: set[str] = set()
    for line in read[file.kind](file):
        key = _key(line)
        if key is None:
            continue
        if key[0] != region:
            others.add(key[0])
            continue
        try:
            found.add(_price(line, key))
        except InputError as error:
            found.problems += error.problems
        if found.full:
            break
    if not found.prices and not found.problems:
        _refuse_empty(file, region, others)
    return found.result()


def _refuse_empty(file: AwsFile, region: str, others: set[str]) -> None:
    raise InputError.of(
        str(file.path),
        got=f"no on-demand price of {region}, but of {', '.join(sorted(others))}"
        if others
        else "no line of a Linux node (Shared, NA, Used) or of a MySQL database in one zone",
        expected=f"{file.called} with instance prices of {region}",
        do="Fetch the offer of this region, or plan for the other one: prices are never carried "
        "over.",
    )


def _key(line: _Line) -> Key | None:
    """Return the catalog key that a line prices, None for another good."""
    held = line.attributes
    if line.unit != _HOUR:
        return None
    if any(held.get(name, "") not in {"", wanted} for name, wanted in _WHERE_STATED.items()):
        return None
    key = key_of_usage(
        held.get("usagetype", ""),
        region=held.get("regionCode", ""),
        engine=held.get("databaseEngine", ""),
    )
    if key is None or key[3] != held.get("instanceType"):
        return None
    if key[1] == "node":
        return key if all(held.get(n) == wanted for n, wanted in _NODE.items()) else None
    return key if held.get("deploymentOption") == "Single-AZ" else None


def _price(line: _Line, key: Key) -> Price:
    amount = line.amounts.get("USD")
    if amount is None:
        raise InputError.of(
            line.where,
            got=f"a price in {', '.join(sorted(line.amounts)) or 'no currency'}",
            expected="USD",
            do="Give the rows in USD by a catalog overlay; capmodel converts no currencies.",
        )
    memory = line.attributes.get("memory", "")
    vcpu = line.attributes.get("vcpu", "")
    return Price(
        key=key,
        price_usd_per_hour=usd_of(amount, where=line.where, column="PricePerUnit"),
        as_of=line.edition.published,
        source=line.edition.source,
        where=line.where,
        vcpu=int(vcpu) if vcpu.isdigit() else None,
        memory_gib=_gib(memory),
    )


def _gib(text: str) -> float | None:
    """Return the GiB of ``"1,952 GiB"``, None for another text."""
    number, _, unit = text.replace(",", "").partition(" ")
    is_number = number.replace(".", "", 1).isdigit()
    return float(Decimal(number)) if unit == "GiB" and is_number else None


def _edition(where: str, *, service: str, version: str, published: str) -> _Edition:
    absent = [
        name
        for name, text in (
            ("service", service), ("version", version), ("publication date", published),
        )
        if not text
    ]  # fmt: skip
    day = None if absent else _day(published)
    if day is None:
        raise InputError.of(
            where,
            got=f"an offer without {', '.join(absent)}"
            if absent
            else f'the publication date "{published}"',
            expected="service, version and a publication date such as 2026-10-06T22:40:50Z",
            do="Fetch the offer again: a price without date and source is no evidence.",
        )
    return _Edition(service=service, version=version, published=day)


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text[:10])
    except ValueError:
        return None


def _csv_lines(file: AwsFile) -> Iterator[_Line]:
    """Yield the on-demand lines of a bulk offer CSV: metadata first, then a header from SKU on."""
    said: dict[str, str] = {}
    with csv_lines(file.path) as lines:
        header: list[str] = []
        for _, cells in lines:
            if cells[0] == "SKU":
                header = cells
                break
            said[cells[0]] = cells[1] if len(cells) > 1 else ""
        check_columns(file.name, header, _NEEDED)
        edition = _edition(
            file.name,
            service=said.get("OfferCode", ""),
            version=said.get("Version", ""),
            published=said.get("Publication Date", ""),
        )
        at = {name: i for i, name in enumerate(header)}
        term, unit, instance = at["TermType"], at["Unit"], at["Instance Type"]
        attributes = [(theirs, at[ours]) for ours, theirs in _HEADER.items() if ours in at]
        for number, cells in lines:
            if len(cells) != len(header):
                raise InputError.of(
                    f"{file.name}:{number}",
                    got=f"{len(cells)} cells",
                    expected=f"{len(header)}, one for each column of the header",
                    do="Fetch the offer again: the file is cut off or damaged.",
                )
            # Nearly all lines of an offer end here: reserved terms, and what is no hour.
            if cells[term] != _ON_DEMAND or cells[unit] != _HOUR or not cells[instance]:
                continue
            yield _Line(
                where=f"{file.name}:{number}",
                attributes={name: cells[i] for name, i in attributes},
                unit=cells[unit],
                amounts={cells[at["Currency"]]: cells[at["PricePerUnit"]]},
                edition=edition,
            )


def _bulk_lines(file: AwsFile) -> Iterator[_Line]:
    document = file.document or {}
    edition = _edition(
        file.name,
        service=str(document.get("offerCode") or ""),
        version=str(document.get("version") or ""),
        published=str(document.get("publicationDate") or ""),
    )
    terms = _object(_object(document.get("terms"), file.name).get(_ON_DEMAND), file.name)
    for sku, product in document["products"].items():
        where = f"{file.name} {sku}"
        yield from _dimensions(where, _object(product, where), terms.get(sku), edition)


def _product_lines(file: AwsFile) -> Iterator[_Line]:
    for number, entry in enumerate((file.document or {})["PriceList"]):
        where = f"{file.name} PriceList[{number}]"
        # The command prints each entry as JSON inside JSON; tools that unpack it print objects.
        try:
            held = json.loads(entry) if isinstance(entry, str) else entry
        except ValueError:
            held = None
        if not isinstance(held, dict) or not isinstance(held.get("product"), dict):
            raise InputError.of(
                where,
                got="an entry without a product",
                expected="product.attributes and terms.OnDemand, as JSON text or object",
                do="Fetch the list again.",
            )
        terms = _object(held.get("terms"), where).get(_ON_DEMAND)
        edition = _edition(
            where,
            service=str(held.get("serviceCode") or ""),
            version=str(held.get("version") or ""),
            published=str(held.get("publicationDate") or ""),
        )
        yield from _dimensions(where, held["product"], terms, edition)


def _dimensions(
    where: str, product: Mapping[str, Any], terms: object, edition: _Edition
) -> Iterator[_Line]:
    held = _object(product.get("attributes"), where)
    attributes = {str(k): str(v) for k, v in held.items()}
    for term in _object(terms, where).values():
        for dimension in _object(_object(term, where).get("priceDimensions"), where).values():
            price = _object(dimension, where)
            amounts = _object(price.get("pricePerUnit"), where)
            yield _Line(
                where=where,
                attributes=attributes,
                unit=str(price.get("unit") or ""),
                amounts={str(k): str(v) for k, v in amounts.items()},
                edition=edition,
            )


def _object(value: object, where: str) -> Mapping[str, Any]:
    """Return a JSON object, empty where there is none."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise InputError.of(
        where,
        got=f"{type(value).__name__} where the price list has an object",
        expected="products with attributes, terms with priceDimensions and pricePerUnit",
        do="Fetch the list again.",
    )
