"""The code digest: logic counts, layout does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from relatent.errors import ConfigError
from relatent.ledger import code

FILES = {
    "__init__.py": '"""A package."""\n',
    "cli/__init__.py": "",
    "cli/job.py": "import relatent.ledger.files\nTIMES = 3\n",
    "cli/train.py": "from relatent.cli.job import TIMES\nfrom relatent.models.net import width\nprint(width(2))\n",
    "cli/score.py": "def main():\n    from relatent.metrics import nll\n    return nll\n",
    "ledger/__init__.py": "",
    "ledger/files.py": "A = 1\n",
    "models/__init__.py": "",
    "models/net.py": 'from ..shapes import SIDE\n\n\ndef width(n):\n    """Docstring."""\n    return n * SIDE  # why\n',
    "shapes.py": "SIDE = 28\n",
    "metrics.py": "import relatent.shapes as s\nnll = s.SIDE\n",
    "progress.py": "BAR = '#'\n",
    "progress_report.py": "X = 1\n",
}
TRAIN, SCORE = "relatent.cli.train", "relatent.cli.score"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package in relatent's place; `digests()` reads it anew."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(code, "PACKAGE_FOLDER", tmp_path)
    yield tmp_path
    forget()


def forget():
    for cached in (code._tree, code._imports, code._module_digest):
        cached.cache_clear()


def digests() -> tuple[str, str]:
    forget()
    return code.code_digest(TRAIN), code.code_digest(SCORE)


def edit(package: Path, name: str, old: str, new: str) -> None:
    text = (package / name).read_text()
    assert old in text
    (package / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("models/net.py", "# why", "# another reason, at length"),
        ("models/net.py", "Docstring.", "Another docstring,\n\n    over lines."),
        ("models/net.py", '    """Docstring."""\n', ""),
        ("models/net.py", "n * SIDE", "(n\n            * SIDE)"),
        ("models/net.py", "\n\n\ndef", "\n\n# a heading\n\n\n\ndef"),
        ("shapes.py", "SIDE = 28", "SIDE = 0x1c"),
        ("__init__.py", "A package.", "The package."),
    ],
)
def test_comments_docstrings_and_layout_change_nothing(package, name, old, new):
    """What Python would run is the same, so no result can differ, and no hours of training are thrown away."""
    before = digests()
    edit(package, name, old, new)
    assert digests() == before


@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        ("models/net.py", "n * SIDE", "n + SIDE", (True, False)),
        ("metrics.py", "s.SIDE", "-s.SIDE", (False, True)),  # imported inside a function
        ("shapes.py", "28", "29", (True, True)),  # imported relatively, and under another name
        ("cli/train.py", "width(2)", "width(3)", (True, False)),
        ("models/__init__.py", "", "import relatent.metrics\n", (True, False)),  # runs when models.net is imported
        ("cli/job.py", "3", "4", (False, False)),  # the books of a job
        ("ledger/files.py", "1", "2", (False, False)),
        ("progress.py", "#", "*", (False, False)),
    ],
)
def test_logic_changes_exactly_the_commands_that_run_it(package, name, old, new, changed):
    """A command's digest covers its imports at any depth and nothing else; the ledger decides no result."""
    before = digests()
    edit(package, name, old, new) if old else (package / name).write_text(new)
    after = digests()
    assert tuple(b != a for b, a in zip(before, after, strict=True)) == changed


def test_only_whole_names_are_left_out(package):
    """`relatent.progress` is left out; `relatent.progress_report` only begins like it."""
    edit(package, "cli/score.py", "from relatent.metrics import nll", "import relatent.progress_report as nll")
    before = digests()[1]
    edit(package, "progress_report.py", "1", "2")
    assert digests()[1] != before


def test_a_module_that_does_not_exist_is_named(package):
    """A rule with a misspelt module would otherwise carry a digest of nothing."""
    with pytest.raises(ConfigError, match=r"relatent\.cli\.trian: no such module"):
        code.code_digest("relatent.cli.trian")


DIALECTS = """
import re
X = f"{1!r:>{2}} a {X:.3f}" "tail" + rb"\\x00".decode() + u"u"
Y = f"{X=} {'nested'} {{}}"
async def f(a, /, b: int = 1, *c, d=..., **e) -> "str":
    "doc"
    async with a as b, c: await d
    try: pass
    except* ValueError: raise
    return [i async for i in a if (j := i)], lambda: (yield)
class C(dict, metaclass=type):
    x: int = 1_000; y = 1e400; z = 2j; w = -0.0
    def g(self): ""; return None
match X:
    case {"a": [1, *rest], **kw} if rest: pass
    case C(x=1) | None: del X[1:2, ...]
"""


def other_pythons() -> list[str]:
    found = sorted(Path.home().glob(".pyenv/versions/3.1[1-9]*/bin/python"))
    return [str(path) for path in found if path.resolve() != Path(sys.executable).resolve()]


@pytest.mark.parametrize("python", other_pythons() or [pytest.param("", marks=pytest.mark.skip("no other Python"))])
def test_the_digest_is_the_same_on_every_python(python, tmp_path):
    """A clone on another Python must not think that all results are stale; `ast.dump` would make it."""
    (tmp_path / "dialects.py").write_text(DIALECTS)
    program = (
        "import sys, pathlib; sys.dont_write_bytecode = True\n"
        "sys.path.insert(0, sys.argv[1]); from relatent.ledger import code\n"
        "names = ['.'.join(['relatent', *p.relative_to(code.PACKAGE_FOLDER).with_suffix('').parts])\n"
        "         for p in sorted(code.PACKAGE_FOLDER.rglob('*.py'))]\n"
        "print([code._module_digest(n.removesuffix('.__init__')) for n in names])\n"
        "code.PACKAGE_FOLDER = pathlib.Path(sys.argv[2]); print(code._module_digest('relatent.dialects'))\n"
    )
    source = str(code.PACKAGE_FOLDER.parent)
    ours, theirs = (
        subprocess.run([each, "-c", program, source, str(tmp_path)], capture_output=True, text=True, check=True).stdout
        for each in (sys.executable, python)
    )
    assert ours == theirs
