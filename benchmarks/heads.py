"""Where the linear head of every architecture of timm and torchvision is; writes the table that ships.

    python benchmarks/heads.py [pattern]

Every name of `timm.list_models()` and every classifier of torchvision is built with random weights, without a download.
Up to 145 million parameters and 40 GFLOP an image it runs, and `f @ W.T + b` must equal its logits; larger ones are
followed on the meta device. About half an hour on one core; an interrupted walk goes on where it was. With a pattern,
such as `timm:vit_*`, rows are printed and nothing is written.
"""

import datetime
import sys
import time
from collections import defaultdict
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

from _architectures import Architecture, architectures, walked

from repaudit import shipped
from repaudit.heads import Row, Table, read, write

TABLE = shipped.assets() / "heads.csv"
PACKAGES = ("timm", "torchvision", "torch")


def found(architecture: Architecture) -> Row:
    """Its row; what cannot be built or run says why."""
    try:
        return walked(architecture)
    except Exception as failure:  # whatever a library raises while it builds a network
        reason = f"{type(failure).__name__}: {(str(failure).splitlines() or [''])[0][:200]}"
        return Row(
            library=architecture.library, name=architecture.name, family=architecture.family, parameters=0, classes=0,
            kind="none", layers=(), width=None, proof="values", reason=reason,
        )  # fmt: skip


def walk(partial: Path, versions: dict[str, str]) -> Table:
    """All rows; those of an interrupted walk with the same versions are not made again."""
    before = read(partial) if partial.exists() else None
    known = {(row.library, row.name): row for row in before.rows} if before and before.versions == versions else {}
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    wanted, rows, started, made = architectures(), [], time.monotonic(), 0
    for count, architecture in enumerate(wanted, 1):
        row = known.get((architecture.library, architecture.name))
        if row is None:
            row, made = found(architecture), made + 1
            rate = made / (time.monotonic() - started)
            print(
                f"{count}/{len(wanted)}  {rate:.1f}/s  {(len(wanted) - count) / rate / 60:.0f} min  {shown(row)}",
                flush=True,
            )
        rows.append(row)
        if made and made % 20 == 0:
            write(Table(walked=date, versions=versions, rows=tuple(rows)), partial)
    return Table(walked=date, versions=versions, rows=tuple(rows))


def shown(row: Row) -> str:
    return f"{row.library}:{row.name}  {row.kind}  {' '.join(row.layers) or row.reason}"


def summary(table: Table) -> None:
    for library in ("timm", "torchvision"):
        rows = [row for row in table.rows if row.library == library and row.classes]
        headed = [row for row in rows if row.kind != "none"]
        share = len(headed) / len(rows)
        print(f"{library} {table.versions[library]}: {len(headed)} of {len(rows)} classifiers, {share:.1%}")
    without: dict[str, list[str]] = defaultdict(list)
    for row in table.rows:
        if row.kind == "none":
            without[f"{row.library} {row.family}"].append(row.name)
    for family, names in sorted(without.items()):
        print(f"  none: {family} ({len(names)}): {' '.join(names)}")


def main() -> None:
    versions = {name: version(name) for name in PACKAGES}
    if len(sys.argv) > 1:
        for architecture in architectures():
            if fnmatch(f"{architecture.library}:{architecture.name}", sys.argv[1]):
                print(shown(found(architecture)), flush=True)
        return
    partial = TABLE.with_suffix(".partial.csv")
    table = walk(partial, versions)
    write(table, TABLE)
    partial.unlink(missing_ok=True)
    summary(table)


if __name__ == "__main__":
    main()
