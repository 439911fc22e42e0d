"""The code digest: what of relatent a command runs, comments and layout aside (DESIGN section 4.5).

Snakemake does not see imported modules, so each rule carries this digest as a parameter; receipts and DVC carry the
same one. It is taken over our own serialisation of the syntax tree because `ast.dump` differs between Python versions.
"""

import ast
import hashlib
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from relatent.errors import ConfigError

PACKAGE = "relatent"
PACKAGE_FOLDER = Path(__file__).resolve().parent.parent

# What decides no result: the books that are kept of a job, and the display of its progress.
LEFT_OUT = ("relatent.ledger", "relatent.cli.job", "relatent.progress")


def module_file(module: str) -> Path | None:
    """The source file of a module of relatent, or None if there is no such module."""
    base = PACKAGE_FOLDER.joinpath(*module.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def code_digest(module: str) -> str:
    """Hex digest of the logic of `module` and of all it imports from relatent, at any depth.

    Changes with a statement, a constant or a name; not with a comment, a docstring, a type of layout, the Python
    version or the order of imports between modules.

    Raises:
        ConfigError: no such module.
    """
    closure = import_closure(module)
    digest = hashlib.sha256()
    for name in sorted(closure):
        digest.update(f"{name} {_module_digest(name)}\n".encode())
    return digest.hexdigest()


def import_closure(module: str) -> frozenset[str]:
    """Names of the modules of relatent that `module` runs, itself included, LEFT_OUT not."""
    if module_file(module) is None:
        raise ConfigError(f"{module}: no such module in relatent; a rule's code_digest must name an importable module")
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or any(name == left_out or name.startswith(left_out + ".") for left_out in LEFT_OUT):
            continue
        seen.add(name)
        waiting.extend(_imports(name))
    return frozenset(seen)


@cache
def _tree(module: str) -> ast.Module:
    path = module_file(module)
    assert path is not None
    with tokenize.open(path) as file:
        return ast.parse(file.read(), filename=str(path))


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Modules of relatent that `module` imports anywhere in its file, functions included, and their packages."""
    found: set[str] = set()
    path = module_file(module)
    package = module if path is not None and path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    ours = {name for name in found if name == PACKAGE or name.startswith(PACKAGE + ".")}
    with_packages = {".".join(name.split(".")[:depth]) for name in ours for depth in range(1, name.count(".") + 2)}
    return tuple(sorted(name for name in with_packages if module_file(name) is not None))


@cache
def _module_digest(module: str) -> str:
    return _tree_digest(_tree(module))


def text_digest(text: str) -> str:
    """Digest of one source text's logic: do two versions of a file differ in more than comments?"""
    return _tree_digest(ast.parse(text))


def _tree_digest(tree: ast.Module) -> str:
    return hashlib.sha256("".join(_serialised(tree)).encode()).hexdigest()


def _serialised(node: object) -> Iterator[str]:
    """Node types and fields. Empty fields and contexts are left out, because versions of Python add and drop them."""
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if isinstance(node, ast.JoinedStr):
                value = list(_merged_text(value))
            if name in ("ctx", "type_comment", "type_ignores", "kind") or value is None or value == []:
                continue
            if name == "body" and isinstance(value, list):
                value = _without_docstring(node, value)
            yield f" {name}="
            yield from _serialised(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            yield from _serialised(item)
            yield ","
        yield "]"
    else:
        yield f"{type(node).__name__}:{node!r}"


def _merged_text(parts: list[ast.expr]) -> Iterator[ast.expr]:
    """Parts of an f-string, neighbouring texts as one, without empty ones: Pythons differ in them."""
    text = ""
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            text += part.value
        else:
            if text:
                yield ast.Constant(value=text)
            text = ""
            yield part
    if text:
        yield ast.Constant(value=text)


def _without_docstring(node: ast.AST, body: list[ast.stmt]) -> list[ast.stmt]:
    documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    first = body[0]
    if documented and isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return body[1:] if isinstance(first.value.value, str) else body
    return body
