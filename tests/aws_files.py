"""Small files in the shapes that the cloud writes: price lists, instance types, bills.

Prices of us-east-1 are those of the price list of October 2026 (m6i.4xlarge 0.768 USD/h,
db.r6g.large of MySQL 0.215); everything else is made up.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd

PUBLISHED = "2026-10-06T22:40:50Z"
VERSION = "20261006224050"
COLUMNS = (
    "SKU", "OfferTermCode", "RateCode", "TermType", "PriceDescription", "EffectiveDate",
    "StartingRange", "EndingRange", "Unit", "PricePerUnit", "Currency", "LeaseContractLength",
    "PurchaseOption", "OfferingClass", "Product Family", "serviceCode", "Location",
    "Location Type", "Instance Type", "vCPU", "Memory", "Tenancy", "Operating System",
    "License Model", "Database Engine", "Deployment Option", "usageType", "operation",
    "CapacityStatus", "MarketOption", "Pre Installed S/W", "Region Code",
)  # fmt: skip
# A line of a bulk offer in CSV and in JSON: the same attribute under two names.
JSON_NAMES = {
    "Instance Type": "instanceType", "Region Code": "regionCode", "Location Type": "locationType",
    "usageType": "usagetype", "Tenancy": "tenancy", "Operating System": "operatingSystem",
    "Pre Installed S/W": "preInstalledSw", "CapacityStatus": "capacitystatus",
    "MarketOption": "marketoption", "Database Engine": "databaseEngine", "vCPU": "vcpu",
    "Deployment Option": "deploymentOption", "Memory": "memory",
}  # fmt: skip
Line = dict[str, str]


def node(name: str = "m6i.4xlarge", price: str = "0.7680000000", **changed: str) -> Line:
    """Return an on-demand line of a Linux node; `changed` by column, spaces as underscores."""
    line = {
        "SKU": f"SKU{name.replace('.', '').upper()}", "OfferTermCode": "JRTCKXETXF",
        "TermType": "OnDemand", "EffectiveDate": "2026-10-01", "StartingRange": "0",
        "EndingRange": "Inf", "Unit": "Hrs", "PricePerUnit": price, "Currency": "USD",
        "Product Family": "Compute Instance", "serviceCode": "AmazonEC2",
        "Location": "US East (N. Virginia)", "Location Type": "AWS Region", "Instance Type": name,
        "vCPU": "16", "Memory": "64 GiB", "Tenancy": "Shared", "Operating System": "Linux",
        "License Model": "No License required", "usageType": f"BoxUsage:{name}",
        "operation": "RunInstances", "CapacityStatus": "Used", "MarketOption": "OnDemand",
        "Pre Installed S/W": "NA", "Region Code": "us-east-1",
    }  # fmt: skip
    return line | {key.replace("_", " "): value for key, value in changed.items()}


def database(name: str = "db.r6g.large", price: str = "0.2150000000", **changed: str) -> Line:
    """Return an on-demand line of a MySQL class in one zone."""
    line = {
        "SKU": f"SKU{name.replace('.', '').upper()}", "OfferTermCode": "JRTCKXETXF",
        "TermType": "OnDemand", "EffectiveDate": "2026-10-01", "StartingRange": "0",
        "EndingRange": "Inf", "Unit": "Hrs", "PricePerUnit": price, "Currency": "USD",
        "Product Family": "Database Instance", "serviceCode": "AmazonRDS",
        "Location": "US East (N. Virginia)", "Location Type": "AWS Region", "Instance Type": name,
        "vCPU": "2", "Memory": "16 GiB", "Database Engine": "MySQL",
        "Deployment Option": "Single-AZ", "usageType": f"InstanceUsage:{name}",
        "operation": "CreateDBInstance:0002", "Region Code": "us-east-1",
    }  # fmt: skip
    return line | {key.replace("_", " "): value for key, value in changed.items()}


def other_goods() -> list[Line]:
    """Return lines that price something else: none of them may reach the catalog."""
    reserved = {"TermType": "Reserved", "PurchaseOption": "All Upfront"}
    return [
        node(price="9.1", Operating_System="Windows"),
        node(price="9.2", Tenancy="Dedicated", usageType="DedicatedUsage:m6i.4xlarge"),
        node(price="9.3", **{"Pre Installed S/W": "SQL Std"}),
        node(price="0.0", CapacityStatus="AllocatedCapacityReservation",
             usageType="Reservation:m6i.4xlarge"),
        node(price="9.4", CapacityStatus="UnusedCapacityReservation",
             usageType="UnusedBox:m6i.4xlarge"),
        node(price="9.5", MarketOption="CapacityBlock"),
        node(price="9.6", Location_Type="AWS Local Zone"),
        node(price="0.5", **reserved, LeaseContractLength="1yr"),
        node(price="4380", **reserved, Unit="Quantity"),
        database(price="9.7", usageType="InstanceUsageIOOptimized:db.r6g.large"),
        database(price="9.8", Deployment_Option="Multi-AZ", usageType="Multi-AZUsage:db.r6g.large"),
        database(price="9.9", Database_Engine="PostgreSQL", operation="CreateDBInstance:0014"),
        database(price="0.1", Unit="vCPU-hour", usageType="ExtendedSupport:Yr1-Yr2:MySQL5.7"),
    ]  # fmt: skip


def offer_csv(
    folder: Path, *lines: Line, service: str = "AmazonEC2", metadata: dict[str, str] | None = None,
    name: str = "index.csv",
) -> Path:  # fmt: skip
    """Write a bulk offer CSV: metadata lines, a header that begins SKU, one line per price."""
    said = {
        "FormatVersion": "v1.0", "Disclaimer": "for information only, not binding",
        "Publication Date": PUBLISHED, "Version": VERSION, "OfferCode": service,
    }  # fmt: skip
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows({**said, **(metadata or {})}.items())
    writer.writerow(COLUMNS)
    writer.writerows([line.get(column, "") for column in COLUMNS] for line in lines)
    path = folder / name
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    return path


def _product(line: Line) -> dict[str, Any]:
    attributes = {JSON_NAMES[key]: value for key, value in line.items() if key in JSON_NAMES}
    return {"sku": line["SKU"], "productFamily": line["Product Family"], "attributes": attributes}


def _terms(line: Line) -> dict[str, Any]:
    code = f"{line['SKU']}.JRTCKXETXF"
    dimension = {
        "rateCode": f"{code}.6YS6EN2CT7", "unit": line["Unit"], "beginRange": "0",
        "endRange": "Inf", "pricePerUnit": {line["Currency"]: line["PricePerUnit"]},
    }  # fmt: skip
    return {code: {"sku": line["SKU"], "priceDimensions": {f"{code}.6YS6EN2CT7": dimension}}}


def offer_json(folder: Path, *lines: Line, service: str = "AmazonEC2", **changed: Any) -> Path:
    """Write a bulk offer JSON: products and terms by SKU, each line with an SKU of its own."""
    products: dict[str, Any] = {}
    terms: dict[str, dict[str, Any]] = {"OnDemand": {}, "Reserved": {}}
    for number, line in enumerate(lines):
        sku = f"{line['SKU']}{number}"
        products[sku] = _product(line | {"SKU": sku})
        terms[line["TermType"]][sku] = _terms(line | {"SKU": sku})
    document = {
        "formatVersion": "v1.0", "offerCode": service, "version": VERSION,
        "publicationDate": PUBLISHED, "products": products, "terms": terms,
    }  # fmt: skip
    path = folder / "index.json"
    path.write_text(json.dumps(document | changed, indent=2), encoding="utf-8")
    return path


def products(folder: Path, *lines: Line, as_text: bool = True, **changed: Any) -> Path:
    """Write what ``aws pricing get-products`` prints: entries are JSON texts, or objects."""
    entries = [
        {
            "product": _product(line), "serviceCode": line["serviceCode"],
            "terms": {line["TermType"]: _terms(line)}, "version": VERSION,
            "publicationDate": PUBLISHED,
        } | changed
        for line in lines
    ]  # fmt: skip
    path = folder / "products.json"
    listed = [json.dumps(entry) if as_text else entry for entry in entries]
    path.write_text(json.dumps({"FormatVersion": "aws_v1", "PriceList": listed}), encoding="utf-8")
    return path


def instance_type(name: str = "m6i.4xlarge", **changed: Any) -> dict[str, Any]:
    """Return one entry of describe-instance-types; the default is the real m6i.4xlarge."""
    return {
        "InstanceType": name, "CurrentGeneration": True,
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "VCpuInfo": {"DefaultVCpus": 16, "DefaultCores": 8, "DefaultThreadsPerCore": 2},
        "MemoryInfo": {"SizeInMiB": 65536},
        "NetworkInfo": {
            "NetworkPerformance": "Up to 12.5 Gigabit", "MaximumNetworkInterfaces": 8,
            "MaximumNetworkCards": 1, "DefaultNetworkCardIndex": 0,
            "NetworkCards": [
                {"NetworkCardIndex": 0, "MaximumNetworkInterfaces": 8,
                 "BaselineBandwidthInGbps": 6.25, "PeakBandwidthInGbps": 12.5},
            ],
            "Ipv4AddressesPerInterface": 30, "Ipv6AddressesPerInterface": 30,
        },
    } | changed  # fmt: skip


def instance_types(folder: Path, *types: dict[str, Any]) -> Path:
    """Write what ``aws ec2 describe-instance-types`` prints."""
    path = folder / "types.json"
    path.write_text(json.dumps({"InstanceTypes": list(types)}), encoding="utf-8")
    return path


def charge(kind: str, hours: float, usd: float | None = None, **changed: Any) -> dict[str, Any]:
    """Return a line of a Cost and Usage Report 2.0 for an m6i.4xlarge."""
    return {
        "bill_billing_period_start_date": "2026-09-01 00:00:00",
        "line_item_line_item_type": kind, "line_item_usage_start_date": "2026-09-01 00:00:00",
        "line_item_usage_type": "BoxUsage:m6i.4xlarge", "line_item_operation": "RunInstances",
        "line_item_usage_amount": hours, "line_item_currency_code": "USD",
        "line_item_unblended_cost": usd, "product_region_code": "us-east-1",
        "savings_plan_savings_plan_effective_cost": None, "reservation_effective_cost": None,
    } | changed  # fmt: skip


def focus(hours: float, usd: float, **changed: Any) -> dict[str, Any]:
    """Return a line of a FOCUS 1.0 export with the columns that AWS adds."""
    return {
        "BilledCost": usd, "EffectiveCost": usd, "BillingCurrency": "USD",
        "ChargeCategory": "Usage", "ChargePeriodStart": "2026-09-30T00:00:00Z",
        "ConsumedQuantity": hours, "RegionId": "us-east-1", "CommitmentDiscountStatus": None,
        "x_UsageType": "BoxUsage:m6i.4xlarge", "x_Operation": "RunInstances",
    } | changed  # fmt: skip


def bill(folder: Path, *lines: dict[str, Any], suffix: str = "csv", name: str = "bill") -> Path:
    """Write the lines of a bill as CSV, gzipped CSV or Parquet."""
    path = folder / f"{name}.{suffix}"
    frame = pd.DataFrame(list(lines))
    if suffix == "parquet":
        for column in ("line_item_usage_start_date", "ChargePeriodStart"):
            if column in frame.columns:
                frame[column] = pd.to_datetime(frame[column])
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, compression="gzip" if suffix.endswith("gz") else None)
    return path
