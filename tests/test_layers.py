"""The plan of the house (DESIGN section 3): arrows point down only."""

import subprocess
import sys

import pytest

from relatent.ledger.code import PACKAGE_FOLDER, _imports

GROUND = {"models", "objectives", "data", "config", "ledger"}
WORKSHOPS = {"evaluation", "dedup", "probe", "visual", "report", "audit", "bridge"}
# `ledger` stands under `data` and `training` too: whoever writes a file writes it whole, by `ledger.files`.
MAY_MEET = {
    "cli": GROUND | WORKSHOPS | {"training"},
    **{room: {"training", "models", "objectives", "data", "ledger"} for room in WORKSHOPS},
    "report": {"ledger", "config"},
    "audit": {"ledger", "config"},
    "bridge": {"ledger", "config"},
    "training": {"models", "objectives", "data", "ledger"},
    "data": {"ledger"},
    "models": set(),
    "objectives": set(),
    "config": set(),
    "ledger": set(),
}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def modules() -> list[str]:
    paths = sorted(PACKAGE_FOLDER.rglob("*.py"))
    names = [".".join(["relatent", *path.relative_to(PACKAGE_FOLDER).with_suffix("").parts]) for path in paths]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("module", modules())
def test_a_room_meets_only_rooms_below_it(module):
    """A workshop that knows another, or a ground that knows a workshop, could not be made or tested by itself."""
    own = room_of(module)
    if own not in MAY_MEET:
        return
    strangers = {other for other in map(room_of, _imports(module)) if other in MAY_MEET and other != own} - MAY_MEET[
        own
    ]
    assert not strangers, f"{module} may not import {sorted(strangers)}"


@pytest.mark.parametrize("package", ["report", "ledger", "bridge", "audit", "config", "cli.main"])
def test_light_rooms_import_neither_torch_nor_scikit_learn(package):
    """They serve commands that only read JSON and CSV; importing torch alone costs two seconds."""
    names = [name for name in modules() if name.startswith(f"relatent.{package}")]
    code = f"import importlib, sys; [importlib.import_module(n) for n in {names!r}]; " + (
        "print([m for m in ('torch', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == "[]"


def test_setting_torch_up_does_not_import_its_compiler():
    """It takes as long as torch itself, in every job, and nothing here is compiled."""
    code = (
        "import sys, torch; from relatent.training.runtime import configure_torch; configure_torch(1); "
        "print(torch.are_deterministic_algorithms_enabled(), 'torch._inductor' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == "True False"
