"""A repository with a toy study in the real one's shape: our own package and tools, arithmetic that takes no time."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOY = Path(__file__).resolve().parent / "toy"
TABLE = "results/demo/tables/toy.csv"


@dataclass
class Toy:
    """One working tree of the toy."""

    root: Path

    def run(self, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the tree, with the tree's own package."""
        beside = str(Path(sys.executable).parent)
        path = os.pathsep.join([beside, os.environ["PATH"]])
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("RELATENT_", "SNAKEMAKE_"))}
        names = {f"GIT_{who}_{what}": "toy" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        source = {"PYTHONPATH": str(self.root / "src"), "PYTHONDONTWRITEBYTECODE": "1", "DVC_NO_ANALYTICS": "1"}
        variables = {**kept, **names, **source, "PATH": path, **variables}
        done = subprocess.run(command, cwd=self.root, env=variables, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def relatent(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One of our commands."""
        return self.run(sys.executable, "-m", "relatent.cli.main", *arguments, check=check)

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Snakemake on two cores."""
        return self.run("snakemake", "--cores", "2", *arguments, check=check)

    def wants(self, *arguments: str) -> set[str]:
        """Rules of which Snakemake would run a job."""
        done = self.snakemake("-n", *arguments)
        return {
            line.split()[-1].rstrip(":")
            for line in done.stdout.splitlines() + done.stderr.splitlines()
            if line.startswith(("rule ", "localrule ")) and not line.split()[-1].startswith(("all", "phase_"))
        }

    def repro(self, *arguments: str, check: bool = True) -> set[str]:
        """`dvc repro`; the stages it ran."""
        done = self.run("dvc", "repro", *arguments, check=check)
        marked = [line for line in done.stdout.splitlines() if line.startswith("Running stage ")]
        return {line.split("'")[1].removeprefix("data/dvc.yaml:") for line in marked}

    def dvc_clean(self) -> bool:
        """Whether DVC has nothing to do."""
        return "up to date" in self.run("dvc", "status").stdout

    def git_changes(self) -> list[str]:
        """What `git status` shows."""
        return self.run("git", "status", "--porcelain").stdout.splitlines()

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text in a file."""
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new))

    def commit(self, message: str = "toy") -> None:
        """Commit all that Git does not ignore."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)

    def clone(self, to: Path) -> "Toy":
        """A fresh clone: no .snakemake, cache or scratch; the remote is a folder."""
        self.run("git", "clone", "-q", str(self.root), str(to))
        return Toy(to)

    def copy(self, to: Path) -> "Toy":
        """The tree as it is, state of both tools included."""
        shutil.copytree(self.root, to, symlinks=True)
        return Toy(to)


def build(root: Path) -> Toy:
    """The toy's sources under Git, nothing made yet; a DVC remote beside it."""
    shutil.copytree(TOY, root, ignore=shutil.ignore_patterns("commands", "__pycache__"))
    shutil.copytree(ROOT / "src/relatent", root / "src/relatent", ignore=shutil.ignore_patterns("__pycache__"))
    for command in (TOY / "commands").glob("*.py"):
        room = root / "src/relatent" / ("training/toy.py" if command.stem == "toy_training" else f"cli/{command.name}")
        shutil.copyfile(command, room)
    for name in (".gitignore", ".dvcignore", "profiles/default/profile.yaml", ".dvc/config", ".dvc/.gitignore"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    toy = Toy(root)
    toy.run("git", "init", "-q")
    toy.run("dvc", "remote", "add", "-q", "-d", "folder", str(root.parent / "remote"))
    toy.commit("sources")
    return toy
