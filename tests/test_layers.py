"""The plan of the house (DESIGN section 3): arrows point down only."""

import subprocess
import sys

import pytest

from relatent.ledger.code import PACKAGE_FOLDER, _imports

GROUND = {"models", "objectives", "data", "config", "ledger"}
WORKSHOPS = {"evaluation", "dedup", "probe", "visual", "report", "audit", "bridge"}
MAY_MEET = {
    "cli": GROUND | WORKSHOPS | {"training"},
    "training": {"models", "objectives", "data"},
    **dict.fromkeys(("evaluation", "dedup", "probe", "visual"), {"training", "models", "objectives", "data"}),
    "report": {"ledger", "config"},
    "audit": {"ledger", "config"},
    "bridge": {"ledger", "config"},
    **dict.fromkeys(("models", "objectives", "data", "config"), set()),
    "ledger": set(),
}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def modules() -> list[str]:
    paths = sorted(PACKAGE_FOLDER.rglob("*.py"))
    names = [".".join(["relatent", *path.relative_to(PACKAGE_FOLDER).with_suffix("").parts]) for path in paths]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("module", modules())
def test_a_room_meets_only_rooms_below_it(module):
    """A workshop that knows another, or a ground that knows a workshop, could not be made or tested by itself."""
    own = room(module)
    if own not in MAY_MEET:
        return
    strangers = {other for other in map(room, _imports(module)) if other in MAY_MEET and other != own} - MAY_MEET[own]
    allowed_everywhere = {"ledger"} if own == "data" else set()  # fetch hashes and renames like everyone
    assert not strangers - allowed_everywhere, f"{module} may not import {sorted(strangers)}"


@pytest.mark.parametrize("package", ["report", "ledger", "bridge", "audit", "config", "cli.main"])
def test_light_rooms_import_neither_torch_nor_scikit_learn(package):
    """They serve commands that only read JSON and CSV; importing torch alone costs two seconds."""
    names = [name for name in modules() if name.startswith(f"relatent.{package}")]
    code = f"import importlib, sys; [importlib.import_module(n) for n in {names!r}]; " + (
        "print([m for m in ('torch', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == "[]"
