"""The rules of the house as functions from source text to complaints; the tests apply them and show that they can fail."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "lmm_r1_mega"

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_NESTING = 3
MAX_PARAMETERS = 6
VAGUE_NAMES = frozenset({"utils", "util", "common", "base", "misc", "manager", "helpers", "helper"})

Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.BoolOp, ast.match_case)


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name inside the package and its text."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text)

    @property
    def part(self) -> str:
        """The package or module directly below `lmm_r1_mega` that it belongs to."""
        return self.name.split(".")[0]

    @cached_property
    def functions(self) -> list[Function]:
        """All functions and methods, inner ones too."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]


@dataclass(frozen=True)
class Import:
    """One imported module (or a name in it) and whether the statement stands inside a function."""

    target: str
    is_lazy: bool


@cache
def package_modules() -> list[Module]:
    """Every file of the package but its own `__init__`, which every import goes through."""
    folder = ROOT / PACKAGE
    files = [path for path in sorted(folder.rglob("*.py")) if path != folder / "__init__.py"]
    return [Module(".".join(path.relative_to(folder).with_suffix("").parts), path.read_text(encoding="utf-8")) for path in files]


@cache
def scripts() -> list[Module]:
    """The programs beside the package: their path, and their text."""
    files = [path for folder in ("benchmarks", "examples", "tools") for path in sorted((ROOT / folder).rglob("*.py"))]
    return [Module(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in files]


@cache
def imports(module: Module) -> tuple[Import, ...]:
    """All imports of a module."""
    inside = {id(node) for function in module.functions for node in ast.walk(function)}
    return tuple(one for node in ast.walk(module.tree) for one in _imported(node, is_lazy=id(node) in inside))


def _imported(node: ast.AST, *, is_lazy: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, is_lazy) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        source = "." * node.level + (node.module or "")
        yield from (Import(f"{source}.{alias.name}", is_lazy) for alias in node.names)


def wrong_way_imports(modules: Iterable[Module], layers: Sequence[Sequence[str]]) -> Iterator[str]:
    """Imports inside the package that do not go to a lower layer or stay in the same part."""
    level = {part: height for height, parts in enumerate(layers) for part in parts}
    for module in modules:
        if module.part not in level:
            yield f"{module.part} is in no layer: add it to LAYERS"
            continue
        for one in imports(module):
            if one.target.startswith("."):
                yield f"{module.name} imports {one.target}: write the import from {PACKAGE} on"
            inner = one.target.split(".")
            if inner[0] != PACKAGE or len(inner) < 2 or inner[1] == module.part:
                continue
            if level.get(inner[1], len(layers)) >= level[module.part]:
                yield f"{module.name} imports {one.target}, which is not below it"


def foreign_imports(modules: Iterable[Module], owners: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Imports of a library outside the parts or modules that own it; a library may be given with a submodule."""
    for module in modules:
        for one in imports(module):
            for library, homes in owners.items():
                is_home = any(f"{module.name}.".startswith(f"{home}.") for home in homes)
                if f"{one.target}.".startswith(f"{library}.") and not is_home:
                    yield f"{module.name} imports {one.target}: {library} belongs to {', '.join(homes) or 'nobody'}"


def lazy_imports(modules: Iterable[Module], allowed: Mapping[str, str]) -> Iterator[str]:
    """Imports inside functions, outside the modules that say why they need them."""
    for module in modules:
        for one in imports(module):
            if one.is_lazy and module.name not in allowed:
                yield f"{module.name} imports {one.target} inside a function: move it to the top"


def missing_imports(scripts: Iterable[Module], modules: Iterable[Module]) -> Iterator[str]:
    """What scripts import from the package by a name that it has not."""
    there = {PACKAGE}
    for module in modules:
        path = f"{PACKAGE}.{module.name}".removesuffix(".__init__")
        there |= {".".join(path.split(".")[:depth]) for depth in range(1, path.count(".") + 2)}
        there |= {f"{path}.{name}" for name in _top_level_names(module)}
    for script in scripts:
        for one in imports(script):
            if one.target.split(".")[0] == PACKAGE and one.target not in there:
                yield f"{script.name} imports {one.target}, which is not there"


def _top_level_names(module: Module) -> Iterator[str]:
    for node in module.tree.body:
        if isinstance(node, Function | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        else:
            yield from (name.id for name in ast.walk(node) if isinstance(name, ast.Name))


def import_cycles(modules: Sequence[Module]) -> Iterator[str]:
    """Modules that import each other in a circle; imports inside functions count too."""
    names = {module.name for module in modules}
    graph = {module.name: sorted(_inner_targets(module, names)) for module in modules}
    done: set[str] = set()
    for start in sorted(graph):
        yield from _cycles_from(start, graph, [], done)


def _inner_targets(module: Module, names: set[str]) -> set[str]:
    inner = [one.target.removeprefix(f"{PACKAGE}.") for one in imports(module) if one.target.startswith(f"{PACKAGE}.")]
    found = {target if target in names else target.rpartition(".")[0] for target in inner}
    return {target for target in found if target in names}


def _cycles_from(name: str, graph: Mapping[str, Sequence[str]], path: list[str], done: set[str]) -> Iterator[str]:
    if name in path:
        yield " -> ".join([*path[path.index(name) :], name])
    elif name not in done:
        for target in graph[name]:
            yield from _cycles_from(target, graph, [*path, name], done)
        done.add(name)


def long_files(modules: Iterable[Module]) -> Iterator[str]:
    """Files over the budget of lines."""
    for module in modules:
        lines = module.text.count("\n")
        if lines > MAX_FILE_LINES:
            yield f"{module.name} has {lines} lines"


def heavy_functions(modules: Iterable[Module]) -> Iterator[str]:
    """Functions over the budgets of lines, nesting and parameters."""
    for module in modules:
        for function in module.functions:
            name, length = f"{module.name}.{function.name}", num_lines(function)
            if length > MAX_FUNCTION_LINES:
                yield f"{name} has {length} lines"
            if nesting(function) > MAX_NESTING:
                yield f"{name} is nested {nesting(function)} deep"
            if len(_parameters(function)) > MAX_PARAMETERS:
                yield f"{name} has {len(_parameters(function))} parameters"


def num_lines(function: Function) -> int:
    """Lines from `def` to the end."""
    return (function.end_lineno or 0) - function.lineno + 1


def nesting(node: ast.AST) -> int:
    """Depth of blocks inside blocks; an `elif` is no deeper than its `if`, an inner function counts for itself."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        deepest = max(deepest, nesting(child) + (isinstance(child, BLOCKS) and not is_elif))
    return deepest


def num_branches(function: Function) -> int:
    """Decisions in a function: if, conditional expressions, loops, handlers, cases, and each further operand of and / or."""
    nodes = [node for node in ast.walk(function) if isinstance(node, BRANCHES)]
    return sum(len(node.values) - 1 if isinstance(node, ast.BoolOp) else 1 for node in nodes)


def _parameters(function: Function) -> list[ast.arg]:
    """Named parameters without self and cls."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return named[1:] if named and named[0].arg in ("self", "cls") else named


def untyped_signatures(modules: Iterable[Module]) -> Iterator[str]:
    """Functions of which a parameter or the result has no type."""
    for module in modules:
        for function in module.functions:
            starred = [one for one in (function.args.vararg, function.args.kwarg) if one]
            untyped = [one.arg for one in (*_parameters(function), *starred) if one.annotation is None]
            missing = untyped + (["its result"] if function.returns is None else [])
            if missing:
                yield f"{module.name}.{function.name} has no type for {', '.join(missing)}"


def guessed_attributes(modules: Iterable[Module], owners: Mapping[str, str]) -> Iterator[str]:
    """`getattr` with a default and `hasattr`, outside the owners of a foreign API."""
    for module in modules:
        for node in ast.walk(module.tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            is_guess = node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) > 2)
            if is_guess and module.name not in owners:
                yield f"{module.name} line {node.lineno}: {ast.unparse(node)}"


def vague_names(names: Iterable[str]) -> Iterator[str]:
    """Files and folders whose name says nothing about what they hold."""
    for name in names:
        vague = VAGUE_NAMES & {word for part in name.split(".") for word in (part, *part.split("_"))}
        if vague:
            yield f"{name}: name what it holds instead of {', '.join(sorted(vague))}"
