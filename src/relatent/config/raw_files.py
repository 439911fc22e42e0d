"""Published files as the registry pins them: names, sizes, checksums, sources, terms."""

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from relatent.config.base import Settings

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class RawFile(Settings):
    """One file as its publisher names it. A checksum is the publisher's, or taken from the bytes; never invented."""

    name: FileName
    size_bytes: int | None = Field(default=None, gt=0)
    sha256: Sha256 | None = None
    md5: Md5 | None = None
    urls: list[str] = []
    mirror: str | None = Field(default=None, description="path in a mirror, where it is not <dataset>/<name>")
    bundled: str | None = Field(default=None, description="package:path of a copy that a dependency brings")
    members: dict[str, Sha256] | None = Field(default=None, description="sha256 of the archive's members that are used")
    members_sha256: Sha256 | None = Field(default=None, description="one digest over all members, for many small ones")

    @field_validator("mirror")
    @classmethod
    def _mirror_stays_below(cls, mirror: str | None) -> str | None:
        if mirror is not None and (PurePosixPath(mirror).is_absolute() or ".." in PurePosixPath(mirror).parts):
            raise ValueError("must be a path below the mirror, without ..")
        return mirror

    @model_validator(mode="after")
    def _is_pinned(self) -> "RawFile":
        if self.sha256 is None and self.md5 is None:
            raise ValueError(f"{self.name}: give the published sha256 or md5; bytes that nothing pins are not fetched")
        if not self.urls and self.bundled is None:
            raise ValueError(f"{self.name}: give at least one URL in urls, or bundled")
        if any(not url.startswith(("http://", "https://")) for url in self.urls):
            raise ValueError(f"{self.name}: a URL must start with http:// or https://")
        return self


class Terms(Settings):
    """What the publisher allows, and where that is said."""

    licence: str
    source: str
    consent: str | None = Field(default=None, description="terms that the user must agree to before the first download")
    redistribution: bool = Field(default=True, description="false: may not be passed on, so DVC does not push it")


class FetchSettings(Settings):
    """What fetching one dataset depends on; where its bytes come from is free as long as the checksums hold."""

    dataset: str
    files: list[RawFile] = []
    folder: str | None = Field(default=None, description="of a set that is a folder of the user's: where it is")
    consent: str | None = None
