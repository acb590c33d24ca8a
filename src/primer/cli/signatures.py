"""What a class takes, read from its source: importing torch to say that a key is misspelt would take seconds.

``describe("primer.models.feedforward.mlp.MLP")`` finds the file, follows re-exports and base classes, and gives the
parameters of the constructor with their annotations, the docstring, and the class attributes. ``mismatch`` holds a
value against an annotation.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Annotation:
    """The expression of a type, and the module whose names it uses."""

    node: ast.expr
    module: Module


@dataclass
class Description:
    """A class or function as its source states it. ``open`` means that it takes any further keyword."""

    name: str
    doc: str = ""
    parameters: dict[str, Annotation | None] = field(default_factory=dict)
    attributes: dict[str, Annotation] = field(default_factory=dict)
    open: bool = False


@dataclass(frozen=True)
class Module:
    """A parsed source file. ``package`` is the dotted name that its relative imports start from."""

    path: Path
    package: str
    tree: ast.Module

    def __hash__(self) -> int:
        return hash(self.path)

    def find(self, name: str) -> ast.stmt | None:
        """The class, function, alias or import that binds ``name`` at the top level."""
        for statement in _statements(self.tree.body):
            match statement:
                case ast.ClassDef() | ast.FunctionDef() if statement.name == name:
                    return statement
                case ast.Assign(targets=[ast.Name(id=bound)]) if bound == name:
                    return statement
                case ast.ImportFrom() if any((alias.asname or alias.name) == name for alias in statement.names):
                    return statement
        return None

    def imported(self, statement: ast.ImportFrom, name: str) -> str:
        """The dotted path of a name that ``from … import`` binds."""
        original = next(alias.name for alias in statement.names if (alias.asname or alias.name) == name)
        parts = self.package.split(".")
        base = parts[: len(parts) - statement.level + 1] if statement.level else []
        return ".".join([*base, *([statement.module] if statement.module else []), original])


@cache
def describe(target: str) -> Description | None:
    """The class or function at a dotted path; None where its source says nothing of it."""
    found = _locate(target)
    if found is None:
        return None
    module, statement = found
    if isinstance(statement, ast.FunctionDef):
        result = Description(target, ast.get_docstring(statement) or "")
        _read_signature(statement, module, result, skip=0)
        return result
    if isinstance(statement, ast.ClassDef):
        return _describe_class(module, statement, target)
    return None


def names_in(annotation: Annotation) -> list[str]:
    """The names in a union such as ``Vector | Image``, or in an alias of one."""
    node = annotation.node
    if isinstance(node, ast.BinOp):
        return names_in(Annotation(node.left, annotation.module)) + names_in(Annotation(node.right, annotation.module))
    return [node.id] if isinstance(node, ast.Name) else []


def mismatch(value: Any, annotation: Annotation | None) -> str | None:
    """What a value should be, in words, where it does not fit the annotation; None where it does or nobody can say."""
    if annotation is None:
        return None
    fits, wanted = _compare(value, annotation.node, annotation.module)
    return None if fits else wanted


SIMPLE: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "an integer"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "a text"),
    "Path": ((str,), "a path"),
    "None": ((type(None),), "null"),
}
LISTS = {"list", "tuple", "Sequence", "List", "Tuple", "Iterable"}


def _compare(value: Any, node: ast.expr, module: Module) -> tuple[bool, str]:
    match node:
        case ast.Constant(value=None):
            return value is None, "null"
        case ast.Constant(value=str()):
            return _compare(value, ast.parse(str(node.value), mode="eval").body, module)
        case ast.Name(id=name) if name in SIMPLE:
            types, words = SIMPLE[name]
            return isinstance(value, types) and (bool in types or not isinstance(value, bool)), words
        case ast.Name(id=name) if name in LISTS:
            return isinstance(value, list | tuple), "a list"
        case ast.Name(id="dict" | "Mapping" | "Dict"):
            return isinstance(value, dict), "a mapping"
        case ast.Name():
            alias = _alias(node.id, module)
            return _compare(value, alias.node, alias.module) if alias else (True, "")
        case ast.BinOp(op=ast.BitOr()):
            return _any(value, [node.left, node.right], module)
        case ast.Subscript(value=ast.Name(id=outer)):
            inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if outer == "Literal":
                choices = [one.value for one in inner if isinstance(one, ast.Constant)]
                return value in choices, f"one of {', '.join(str(choice) for choice in choices)}"
            if outer == "Optional":
                return _any(value, [*inner, ast.Constant(None)], module)
            if outer == "Union":
                return _any(value, inner, module)
            if outer in ("dict", "Dict", "Mapping"):
                return isinstance(value, dict), "a mapping"
            if outer in LISTS:
                if not isinstance(value, list | tuple):
                    return False, "a list"
                fixed = outer in ("tuple", "Tuple") and not isinstance(
                    inner[-1], ast.Constant
                )  # The constant is `...`.
                if fixed and len(value) != len(inner):
                    return False, f"a list of {len(inner)}"
                checks = [_compare(one, inner[0], module) for one in value]
                wrong = [words for fits, words in checks if not fits]
                return not wrong, f"a list, each {wrong[0]}" if wrong else "a list"
    return True, ""


def _any(value: Any, nodes: list[ast.expr], module: Module) -> tuple[bool, str]:
    for node in sorted(nodes, key=_far):
        fits, words = _compare(value, node, module)
        if fits and words:  # The sources of the other types, which may be those of torch, need not be read.
            return True, words
    checks = [_compare(value, node, module) for node in nodes]
    checks = [check for check in checks if check[1]] or checks  # A tensor, say, never comes from a config.
    words = dict.fromkeys(words for _, words in checks if words)
    return any(fits for fits, _ in checks), " or ".join(words)


def _far(node: ast.expr) -> bool:
    """Whether another file may have to be read to hold a value against a type."""
    return any(isinstance(one, ast.Name) and one.id not in SIMPLE for one in ast.walk(node))


def _alias(name: str, module: Module) -> Annotation | None:
    statement = module.find(name)
    if isinstance(statement, ast.Assign):
        return Annotation(statement.value, module)
    if isinstance(statement, ast.ImportFrom):
        found = _locate(module.imported(statement, name))
        if found and isinstance(found[1], ast.Assign):
            return Annotation(found[1].value, found[0])
    return None


def _describe_class(module: Module, statement: ast.ClassDef, target: str) -> Description:
    result = Description(target, ast.get_docstring(statement) or "")
    dataclass_fields: dict[str, Annotation | None] = {}
    constructor: ast.FunctionDef | None = None
    for item in statement.body:
        match item:
            case ast.FunctionDef(name="__init__"):
                constructor = item
            case ast.Assign(targets=[ast.Name(id=name)]):
                result.attributes[name] = Annotation(item.value, module)
            case ast.AnnAssign(target=ast.Name(id=name)) if ast.unparse(item.annotation).startswith("ClassVar"):
                if item.value is not None:
                    result.attributes[name] = Annotation(item.value, module)
            case ast.AnnAssign(target=ast.Name(id=name)):
                dataclass_fields[name] = Annotation(item.annotation, module)
    if constructor is not None:
        _read_signature(constructor, module, result, skip=1)
    elif any("dataclass" in ast.unparse(decorator) for decorator in statement.decorator_list):
        result.parameters |= dataclass_fields
    for base in statement.bases:
        parent = _describe_name(base, module)
        if parent is None:
            result.open |= constructor is None and not dataclass_fields
            continue
        result.attributes = parent.attributes | result.attributes
        if constructor is None or result.open:
            result.parameters = parent.parameters | result.parameters
            result.open = parent.open
    return result


def _describe_name(base: ast.expr, module: Module) -> Description | None:
    if not isinstance(base, ast.Name):
        return None
    if base.id in ("ABC", "object", "Generic", "Protocol"):
        return Description(base.id)
    statement = module.find(base.id)
    if isinstance(statement, ast.ClassDef):
        return _describe_class(module, statement, base.id)
    return describe(module.imported(statement, base.id)) if isinstance(statement, ast.ImportFrom) else None


def _read_signature(function: ast.FunctionDef, module: Module, result: Description, skip: int) -> None:
    arguments = function.args
    for argument in [*(arguments.posonlyargs + arguments.args)[skip:], *arguments.kwonlyargs]:
        result.parameters[argument.arg] = Annotation(argument.annotation, module) if argument.annotation else None
    result.open = arguments.kwarg is not None


def _locate(target: str, depth: int = 10) -> tuple[Module, ast.stmt] | None:
    """The file and the statement that a dotted path names."""
    root, *rest = target.split(".")
    spec = importlib.util.find_spec(root)
    if spec is None or not spec.submodule_search_locations or not depth:
        return None
    path, package = Path(next(iter(spec.submodule_search_locations))), root
    while rest:
        if (path / rest[0] / "__init__.py").exists():
            path, package, rest = path / rest[0], f"{package}.{rest[0]}", rest[1:]
        elif (path / f"{rest[0]}.py").exists():
            return _within(_parse(path / f"{rest[0]}.py", package), rest[1:], depth)
        else:
            break
    return _within(_parse(path / "__init__.py", package), rest, depth)


def _within(module: Module | None, names: list[str], depth: int) -> tuple[Module, ast.stmt] | None:
    if module is None or len(names) != 1:
        return None
    statement = module.find(names[0])
    if isinstance(statement, ast.ImportFrom):
        return _locate(module.imported(statement, names[0]), depth - 1)
    return None if statement is None else (module, statement)


@cache
def _parse(path: Path, package: str) -> Module | None:
    try:
        return Module(path, package, ast.parse(path.read_text(encoding="utf-8")))
    except (OSError, SyntaxError):
        return None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, with those under ``if`` and ``try``."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try):
            yield from _statements(statement.body)
