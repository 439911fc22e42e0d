"""The `data:` section of a study: which datasets are fetched, prepared and checked."""

from pydantic import field_validator

from relatent.config.base import Settings


class DataSection(Settings):
    """Names from data/registry.yaml, or from a registry of the user's (data/registry.local.yaml, RELATENT_REGISTRY).

    What a dataset is, bytes and choices, is said once in the registry, for all studies: data/ is shared by them.
    """

    run: list[str]

    @field_validator("run")
    @classmethod
    def _named_once(cls, run: list[str]) -> list[str]:
        if not run:
            raise ValueError("no dataset is listed; name at least one of data/registry.yaml")
        twice = sorted({name for name in run if run.count(name) > 1})
        if twice:
            raise ValueError(f"lists {', '.join(twice)} twice; name each once")
        return run

    def cells(self) -> list[str]:
        """The datasets, as written."""
        return list(self.run)
