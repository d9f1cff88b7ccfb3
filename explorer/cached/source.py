"""The source code that computes something, as part of what it is found by: when the code changes, what it
computed before is found no more.

Of a module and of all that it imports, at once or late, one from another, within the parts of the explorer
that readings are computed in. Comments, docstrings and layout do not count.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache

from explorer.system.files import PACKAGE

PARTS = ("analysis", "evaluation", "words", "vocabulary", "choices")
"""where imports are followed; of modules elsewhere only those asked for count"""
DECLARED_IN = "readings"
"""where modules hold declarations, of whose words no result depends: of these only functions count"""
MODEL = "explorer.models"
"""asks for every module that runs a model"""

Known = dict[str, tuple[int, int, str, tuple[str, ...]]]
"""by module: time and size of its file, digest, the modules that it imports"""


@lru_cache(maxsize=256)
def source_of(modules: tuple[str, ...]) -> str:
    """32 hexadecimal digits of the source of modules and what they import. Once a process: what runs is what
    was imported.
    """
    from explorer.cached.content import digest
    from explorer.cached.disk import store

    kept = store()
    index = digest("sources", str(PACKAGE))
    known: Known = (kept and kept.read(index, Known)) or {}
    before, seen, todo = dict(known), {}, list(modules)
    while todo:
        module = todo.pop()
        if module == MODEL:
            todo += [f"{MODEL}.{file.stem}" for file in (PACKAGE / "models").glob("[!_]*.py")]
        elif module not in seen and (found := _looked_up(module, known)) is not None:
            seen[module], imported = found
            todo += imported
    if kept is not None and known != before:
        kept.write(index, known)
    return digest(sorted(seen.items()))


def _looked_up(module: str, known: Known) -> tuple[str, tuple[str, ...]] | None:
    """Digest and imports of a module of the explorer; None for others."""
    if not module.startswith("explorer."):
        return None
    place = PACKAGE.joinpath(*module.split(".")[1:])
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    try:
        state = file.stat()
        entry = known.get(module)
        if entry is None or entry[:2] != (state.st_mtime_ns, state.st_size):
            tree = ast.parse(file.read_bytes())
            entry = known[module] = (state.st_mtime_ns, state.st_size, _digest(tree, module), _imports(tree))
        return entry[2], entry[3]
    except OSError:
        return None


def _imports(tree: ast.Module) -> tuple[str, ...]:
    """Modules within PARTS that are imported anywhere in a module."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return tuple(sorted(name for name in names if name.split(".")[0] == "explorer" and _within(name)))


def _within(module: str) -> bool:
    parts = module.split(".")
    return len(parts) > 1 and parts[1] in PARTS


def _digest(tree: ast.Module, module: str) -> str:
    body = tree.body
    if module.split(".")[1] == DECLARED_IN:
        body = [node for node in body if isinstance(node, ast.FunctionDef)]
    made = hashlib.blake2b(digest_size=16)
    for node in body:
        for said in _said(node):
            made.update(said.encode() + b"\0")
    return made.hexdigest()


def _said(node: object) -> Iterator[str]:
    """A syntax tree as text, the same in every release of Python: without places, docstrings and what is
    empty.
    """
    if isinstance(node, ast.AST):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            return
        yield f"<{type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if value is not None and value != [] and name not in ("ctx", "kind", "type_comment"):
                yield name
                yield from _said(value)
        yield ">"
    elif isinstance(node, list):
        for one in node:
            yield from _said(one)
    else:
        yield repr(node)
