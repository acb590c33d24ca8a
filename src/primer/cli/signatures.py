"""Reads the signatures of classes and functions from source code.

Importing torch only to report a misspelled key would take seconds. ``read_signature`` therefore finds the source file
of a target such as ``primer.models.feedforward.mlp.MLP``, follows re-exports and base classes, and returns the
parameters of the constructor with their annotations, the docstring and the class attributes. ``mismatch`` checks a
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
    """A type expression, and the module in which its names are defined."""

    node: ast.expr
    module: Module


@dataclass
class Signature:
    """The signature of a class or function, as written in its source.

    Attributes:
        name: the dotted path.
        doc: the docstring.
        parameters: the annotation of each parameter, None for parameters without one.
        attributes: the values of class attributes.
        accepts_kwargs: whether arbitrary keyword arguments are accepted.
    """

    name: str
    doc: str = ""
    parameters: dict[str, Annotation | None] = field(default_factory=dict)
    attributes: dict[str, Annotation] = field(default_factory=dict)
    accepts_kwargs: bool = False


@dataclass(frozen=True)
class Module:
    """A parsed source file. ``package`` is the package that relative imports start from."""

    path: Path
    package: str
    tree: ast.Module

    def __hash__(self) -> int:
        return hash(self.path)

    def find_binding(self, name: str) -> ast.stmt | None:
        """Returns the class, function, assignment or import that binds ``name`` at the top level."""
        for statement in _statements(self.tree.body):
            match statement:
                case ast.ClassDef() | ast.FunctionDef() if statement.name == name:
                    return statement
                case ast.Assign(targets=[ast.Name(id=bound)]) if bound == name:
                    return statement
                case ast.ImportFrom() if any((alias.asname or alias.name) == name for alias in statement.names):
                    return statement
        return None

    def imported_path(self, statement: ast.ImportFrom, name: str) -> str:
        """Returns the dotted path of a name that a ``from … import`` statement binds."""
        original = next(alias.name for alias in statement.names if (alias.asname or alias.name) == name)
        parts = self.package.split(".")
        base = parts[: len(parts) - statement.level + 1] if statement.level else []
        return ".".join([*base, *([statement.module] if statement.module else []), original])


@cache
def read_signature(target: str) -> Signature | None:
    """Reads the signature of the class or function at a dotted path. Returns None if its source cannot be found."""
    source = _find_source(target)
    if source is None:
        return None
    module, statement = source
    if isinstance(statement, ast.FunctionDef):
        result = Signature(target, ast.get_docstring(statement) or "")
        _read_parameters(statement, module, result, skip=0)
        return result
    if isinstance(statement, ast.ClassDef):
        return _read_class(module, statement, target)
    return None


def type_names(annotation: Annotation) -> list[str]:
    """Returns the names in a union such as ``Vector | Image``."""
    node = annotation.node
    if isinstance(node, ast.BinOp):
        sides = (Annotation(side, annotation.module) for side in (node.left, node.right))
        return [name for side in sides for name in type_names(side)]
    if not isinstance(node, ast.Name):
        return []
    binding = annotation.module.find_binding(node.id)
    if isinstance(binding, ast.ImportFrom):  # It may be imported under another name.
        return [annotation.module.imported_path(binding, node.id).split(".")[-1]]
    return [node.id]


def mismatch(value: Any, annotation: Annotation | None) -> str | None:
    """Checks a value against an annotation. Returns the expected type in words if it does not match, such as ``an
    integer``, and None if it matches or the annotation is not understood."""
    if annotation is None:
        return None
    matches, expected = _compare(value, annotation.node, annotation.module)
    return None if matches else expected


SIMPLE_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "an integer"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "a string"),
    "Path": ((str,), "a path"),
    "None": ((type(None),), "null"),
}
LIST_TYPES = {"list", "tuple", "Sequence", "List", "Tuple", "Iterable"}


def _compare(value: Any, node: ast.expr, module: Module) -> tuple[bool, str]:
    match node:
        case ast.Constant(value=None):
            return value is None, "null"
        case ast.Constant(value=str()):
            return _compare(value, ast.parse(str(node.value), mode="eval").body, module)
        case ast.Name(id=name) if name in SIMPLE_TYPES:
            types, expected = SIMPLE_TYPES[name]
            return isinstance(value, types) and (bool in types or not isinstance(value, bool)), expected
        case ast.Name(id=name) if name in LIST_TYPES:
            return isinstance(value, list | tuple), "a list"
        case ast.Name(id="dict" | "Mapping" | "Dict"):
            return isinstance(value, dict), "a mapping"
        case ast.Name():
            alias = _resolve_alias(node.id, module)
            return _compare(value, alias.node, alias.module) if alias else (True, "")
        case ast.BinOp(op=ast.BitOr()):
            return _compare_any(value, [node.left, node.right], module)
        case ast.Subscript(value=ast.Name(id=outer)):
            inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if outer == "Literal":
                choices = [one.value for one in inner if isinstance(one, ast.Constant)]
                return value in choices, f"one of {', '.join(str(choice) for choice in choices)}"
            if outer == "Optional":
                return _compare_any(value, [*inner, ast.Constant(None)], module)
            if outer == "Union":
                return _compare_any(value, inner, module)
            if outer in ("dict", "Dict", "Mapping"):
                return isinstance(value, dict), "a mapping"
            if outer in LIST_TYPES:
                if not isinstance(value, list | tuple):
                    return False, "a list"
                variable_length = isinstance(inner[-1], ast.Constant)  # tuple[int, ...]
                if outer in ("tuple", "Tuple") and not variable_length and len(value) != len(inner):
                    return False, f"a list of {len(inner)}"
                checks = [_compare(one, inner[0], module) for one in value]
                expected = [description for matches, description in checks if not matches]
                return not expected, f"a list, each {expected[0]}" if expected else "a list"
    return True, ""


def _compare_any(value: Any, nodes: list[ast.expr], module: Module) -> tuple[bool, str]:
    for node in sorted(nodes, key=_may_read_other_files):
        matches, expected = _compare(value, node, module)
        if matches and expected:  # Stop before reading the source of other types, which may be all of torch.
            return True, expected
    checks = [_compare(value, node, module) for node in nodes]
    checks = [check for check in checks if check[1]] or checks  # Drop types such as Tensor, which configs cannot hold.
    descriptions = dict.fromkeys(description for _, description in checks if description)
    return any(matches for matches, _ in checks), " or ".join(descriptions)


def _may_read_other_files(node: ast.expr) -> bool:
    """Whether checking a value against a type may require reading another source file."""
    return any(isinstance(one, ast.Name) and one.id not in SIMPLE_TYPES for one in ast.walk(node))


def _resolve_alias(name: str, module: Module) -> Annotation | None:
    statement = module.find_binding(name)
    if isinstance(statement, ast.Assign):
        return Annotation(statement.value, module)
    if isinstance(statement, ast.ImportFrom):
        source = _find_source(module.imported_path(statement, name))
        if source and isinstance(source[1], ast.Assign):
            return Annotation(source[1].value, source[0])
    return None


def _read_class(module: Module, statement: ast.ClassDef, target: str) -> Signature:
    result = Signature(target, ast.get_docstring(statement) or "")
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
        _read_parameters(constructor, module, result, skip=1)
    elif any("dataclass" in ast.unparse(decorator) for decorator in statement.decorator_list):
        result.parameters |= dataclass_fields
    for base in statement.bases:
        parent = _read_base(base, module)
        if parent is None:
            result.accepts_kwargs |= constructor is None and not dataclass_fields
            continue
        result.attributes = parent.attributes | result.attributes
        if constructor is None or result.accepts_kwargs:
            result.parameters = parent.parameters | result.parameters
            result.accepts_kwargs = parent.accepts_kwargs
    return result


def _read_base(base: ast.expr, module: Module) -> Signature | None:
    if not isinstance(base, ast.Name):
        return None
    if base.id in ("ABC", "object", "Generic", "Protocol"):
        return Signature(base.id)
    statement = module.find_binding(base.id)
    if isinstance(statement, ast.ClassDef):
        return _read_class(module, statement, base.id)
    return read_signature(module.imported_path(statement, base.id)) if isinstance(statement, ast.ImportFrom) else None


def _read_parameters(function: ast.FunctionDef, module: Module, result: Signature, skip: int) -> None:
    arguments = function.args
    for argument in [*(arguments.posonlyargs + arguments.args)[skip:], *arguments.kwonlyargs]:
        result.parameters[argument.arg] = Annotation(argument.annotation, module) if argument.annotation else None
    result.accepts_kwargs = arguments.kwarg is not None


def _find_source(target: str, depth: int = 10) -> tuple[Module, ast.stmt] | None:
    """Finds the module and the statement that define a dotted path, at most ``depth`` re-exports away."""
    root, *rest = target.split(".")
    spec = importlib.util.find_spec(root)
    if spec is None or not spec.submodule_search_locations or not depth:
        return None
    path, package = Path(next(iter(spec.submodule_search_locations))), root
    while rest:
        if (path / rest[0] / "__init__.py").exists():
            path, package, rest = path / rest[0], f"{package}.{rest[0]}", rest[1:]
        elif (path / f"{rest[0]}.py").exists():
            return _find_in_module(_parse_file(path / f"{rest[0]}.py", package), rest[1:], depth)
        else:
            break
    return _find_in_module(_parse_file(path / "__init__.py", package), rest, depth)


def _find_in_module(module: Module | None, names: list[str], depth: int) -> tuple[Module, ast.stmt] | None:
    if module is None or len(names) != 1:
        return None
    statement = module.find_binding(names[0])
    if isinstance(statement, ast.ImportFrom):
        return _find_source(module.imported_path(statement, names[0]), depth - 1)
    return None if statement is None else (module, statement)


@cache
def _parse_file(path: Path, package: str) -> Module | None:
    try:
        return Module(path, package, ast.parse(path.read_text(encoding="utf-8")))
    except (OSError, SyntaxError):
        return None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yields the statements of a module, including those under ``if`` and ``try``."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try):
            yield from _statements(statement.body)
