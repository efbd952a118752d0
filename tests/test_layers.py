"""Imports point one way: a file may import only from layers below its own."""

import ast
from pathlib import Path

import repaudit

ROOT = Path(repaudit.__file__).parent
LAYERS = [
    {"errors", "progress", "preprocessing", "foreign", "archives"},
    {"randomness", "shipped", "cache", "store", "published"},
    {"metrics"},
    {"finding", "heads"},
    {"profiles"},
    {"report"},
    {"compare", "gates"},
    {"leaderboard"},
    {"render", "judge"},
    {"output"},
    {"images", "digits_network", "networks", "numerics"},
    {"classifier"},
    {"sources", "data"},
    {"evidence"},
    {"case"},
    {"attacks", "corruptions"},
    {"audits"},
    {"tripwire"},
    {"examination", "device", "doctor", "catalogue"},
    {"record"},
    {"conductor"},
    {"train"},
    {"demo", "public"},
    {"cli"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("repaudit."):
            rooms.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("repaudit.")}
    return rooms


def source_files() -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.py")) if path.parent != ROOT or not path.stem.startswith("__")]


def test_every_room_has_a_place_in_the_order_of_imports():
    assert {room_of(path) for path in source_files()} <= set(RANK)


def test_no_file_imports_from_its_own_layer_or_above():
    breaches = [
        f"{path.relative_to(ROOT)} imports {room}"
        for path in source_files()
        for room in imported_rooms(path)
        if room != room_of(path) and RANK[room] >= RANK[room_of(path)]
    ]

    assert breaches == []


def test_no_file_is_longer_than_300_lines():
    assert [str(path) for path in source_files() if path.read_text().count("\n") > 300] == []


def test_no_function_is_longer_than_50_lines():
    too_long = []
    for path in source_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and body[-1].end_lineno - body[0].lineno >= 50:
                    too_long.append(f"{path.name}: {node.name}")

    assert too_long == []
