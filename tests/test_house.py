"""The house keeps its own rules: sizes, names, docstrings, order, and no float near money."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tokenpool"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
ROOMS = sorted(path for path in SOURCE.iterdir() if path.is_dir() and not path.name.startswith("_"))
MONEY = [path for path in MODULES if path.parent.name in ("pricing", "limits", "metering", "invoicing")]
MONEY += [SOURCE / "kernel" / name for name in ("money.py", "tokens.py", "period.py")]
MOST_LINES, MOST_IN_FUNCTION = 250, 40
BANNED = {"utils", "helpers", "common", "manager", "misc", "service", "services"}
HEADINGS = ["## Owns", "## Does not own", "## In -> out", "## Invariants"]


def name(path: Path) -> str:
    """Return a path as it reads from the root."""
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions of a module and the methods of its public classes that others may call."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    for place in (tree, *classes):
        for node in place.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                yield node


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_is_small_and_says_what_it_owns(path: Path) -> None:
    """At most 250 non-blank lines, a docstring on top, no name that says nothing."""
    lines = [line for line in path.read_text().splitlines() if line.strip()]

    assert len(lines) <= MOST_LINES
    assert ast.get_docstring(ast.parse(path.read_text()))
    assert path.stem not in BANNED


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_function_is_short_and_public_ones_say_what_they_do(path: Path) -> None:
    """At most forty lines of code."""
    for function in functions(path):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        length = (function.end_lineno or 0) - body[0].lineno + 1 if body else 0
        assert length <= MOST_IN_FUNCTION, function.name
    for function in public(ast.parse(path.read_text())):
        assert ast.get_docstring(function), function.name


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_a_test_is_a_sentence(path: Path) -> None:
    """Every test says in words what it expects."""
    for function in functions(path):
        if function.name.startswith("test_"):
            assert ast.get_docstring(function), function.name


@pytest.mark.parametrize("path", MONEY, ids=name)
def test_no_float_comes_near_money(path: Path) -> None:
    """Neither the type, nor a literal, nor true division, nor round()."""
    for node in ast.walk(ast.parse(path.read_text())):
        where = f"{name(path)}:{getattr(node, 'lineno', 0)}"
        assert not (isinstance(node, ast.Name) and node.id in ("float", "round")), where
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), where
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            text = ast.unparse(node)
            assert "Path" in text or "NANO_PER_DOLLAR" in text, where  # paths; a Decimal in kernel/money


@pytest.mark.parametrize("room", ROOMS, ids=name)
def test_a_room_has_a_fence(room: Path) -> None:
    """A README of at most forty lines: owns, does not own, in -> out, invariants."""
    text = (room / "README.md").read_text()

    assert HEADINGS == [line for line in text.splitlines() if line.startswith("## ")]
    assert len(text.splitlines()) <= 40


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_one_client_speaks_to_the_outside(path: Path) -> None:
    """No HTTP client but our own, no eval, no pickle, no unsafe YAML; only the proofs start programs."""
    text = path.read_text()
    allowed = {"subprocess"} if path.parent == SOURCE / "proofs" else set()
    found = set(
        re.findall(
            r"^(?:import|from) (aiohttp|requests|httpx2?|urllib\.request|subprocess|pickle)\b", text, re.MULTILINE
        )
    )

    assert found <= allowed
    assert not re.search(r"\b(eval|exec)\(|yaml\.load\(", text)
