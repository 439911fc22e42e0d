"""Decoding recipes: which reader makes the images of each part of a dataset, and how parts become splits."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from relatent.config.base import Settings
from relatent.config.raw_files import FileName, Sha256


class Permutation(Settings):
    """A shuffle of a part before it is split."""

    kind: Literal["stream", "RandomState"]  # ours, counter-based; or numpy's legacy one, as the papers' code drew it
    seed: int


class Split(Settings):
    """Rows `start` to `stop` of a part, after its shuffle; or the `share` of it from one fraction to another."""

    part: str
    start: int = Field(default=0, ge=0)
    stop: int | None = Field(default=None, gt=0)
    share: tuple[float, float] | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def _one_way(self) -> "Split":
        if self.share is not None:
            if self.start or self.stop:
                raise ValueError("give either share or start and stop")
            if not 0 <= self.share[0] < self.share[1] <= 1:
                raise ValueError("share must be two fractions, the first below the second, such as [0.0, 0.9]")
        return self


class Part(Settings):
    """What all parts of a set share."""

    n_images: int | None = Field(default=None, gt=0, description="how many there must be")
    shuffle: Permutation | None = None


class DigitsPart(Part):
    """scikit-learn's digits.csv.gz: 64 values 0..16 and the label in each row."""

    format: Literal["digits_csv"]
    file: FileName
    size: int | None = Field(default=None, gt=0, description="enlarge to this size, bicubic")


class CropsPart(Part):
    """Overlapping square crops of photographs; the class is the photograph."""

    format: Literal["crops"]
    files: list[FileName]
    size: int = Field(gt=0)
    stride: int = Field(gt=0)
    columns: tuple[int, int] = Field(strict=False, description="crops lie whole in this band of pixel columns")


class IdxPart(Part):
    """MNIST's idx files, plain or .gz."""

    format: Literal["idx"]
    images: FileName
    labels: FileName | None = None


class AmatPart(Part):
    """Text, one image per line, pixels 0 and 1."""

    format: Literal["amat"]
    file: FileName


class CifarBinaryPart(Part):
    """CIFAR-10's binary version: records of a label byte and 3072 pixels, in members of a tar archive."""

    format: Literal["cifar_binary"]
    archive: FileName
    members: list[str] = Field(min_length=1)


class MatPart(Part):
    """A MATLAB 5 file, read without unpacking it whole."""

    format: Literal["mat"]
    file: FileName
    images: str = Field(description="name of the array of images; its last axis counts them")
    labels: str | None = Field(default=None, description="name of the array of labels")
    axes: Literal["height width channel", "pixel"] = Field(description="what the leading axes are")
    label_of_zero: int | None = Field(default=None, description="label that stands for class 0, as SVHN's 10 does")


class NpzPart(Part):
    """A numpy .npz without objects: uint8 images (n, h, w), (n, h, w, c) or (n, c, h, w)."""

    format: Literal["npz"]
    file: FileName
    images: str
    labels: str | None = None


class OmniglotPart(Part):
    """OMNIGLOT's drawings, made small: inverted, antialiased bicubic, as in the IWAE paper's chardata.mat."""

    format: Literal["omniglot_png"]
    archives: list[FileName] = Field(min_length=1)
    drawers: tuple[int, int] = Field(strict=False, description="first and last of the twenty who drew each character")
    size: int = Field(gt=0)


class LmdbPart(Part):
    """An LMDB of encoded images, as LSUN is published, in a zip or by itself; keys in their order."""

    format: Literal["lmdb"]
    file: FileName
    member: str | None = Field(default=None, description="path of data.mdb in the zip; none: the file is the database")
    size: int = Field(gt=0, description="shorter side, then centre crop")


class FolderPart(Part):
    """A folder of the user's: JPEG, PNG, WebP; classes are its sub-folders if `classes: folders` is said."""

    format: Literal["folder"]
    folder: str
    size: int = Field(gt=0, description="shorter side, then centre crop")


PartRecipe = Annotated[
    DigitsPart
    | CropsPart
    | IdxPart
    | AmatPart
    | CifarBinaryPart
    | MatPart
    | NpzPart
    | OmniglotPart
    | LmdbPart
    | FolderPart,
    Field(discriminator="format"),
]


class PreparedHashes(Settings):
    """sha256 over the bytes of the arrays of one split, where they are pinned."""

    images: Sha256
    labels: Sha256 | None = None


class Recipe(Settings):
    """How raw files become the arrays of data/prepared/<dataset>/."""

    shape: tuple[int, int, int] = Field(strict=False, description="channel, height, width")
    classes: list[str] | Literal["folders"] | None = Field(
        default=None, description="names of labels 0, 1, ...; `folders`: the sub-folders; none: a set without labels"
    )
    notes: str = Field(description="how it is cut and split, and why; goes into the manifest")
    parts: dict[str, PartRecipe]
    splits: dict[Literal["train", "validation", "test", "extra"], Split]
    pinned: dict[str, PreparedHashes] = {}

    @property
    def has_names(self) -> bool:
        """Whether each image has a file name of its own, which is kept."""
        return any(isinstance(part, (OmniglotPart, LmdbPart, FolderPart)) for part in self.parts.values())

    @property
    def is_collection(self) -> bool:
        """Whether images are decoded one by one from a collection that may be large."""
        return any(isinstance(part, (LmdbPart, FolderPart)) for part in self.parts.values())

    @property
    def array_files(self) -> list[str]:
        """The files made beside the manifest."""
        suffixes = ["images.npy"]
        suffixes += ["labels.npy"] if self.classes else []
        suffixes += ["names.txt"] if self.has_names else []
        return [f"{split}_{suffix}" for split in self.splits for suffix in suffixes]

    @property
    def folder(self) -> str | None:
        """Of a set that is a folder of the user's: where it is."""
        return next((part.folder for part in self.parts.values() if isinstance(part, FolderPart)), None)

    @model_validator(mode="after")
    def _splits_name_parts(self) -> "Recipe":
        for name, split in self.splits.items():
            if split.part not in self.parts:
                raise ValueError(f"splits.{name}: no part {split.part!r}; the parts are {', '.join(self.parts)}")
        folders = {part.folder for part in self.parts.values() if isinstance(part, FolderPart)}
        if folders and (len(folders) > 1 or len(self.parts) > 1):
            raise ValueError("a folder of images is a dataset by itself, with one part")
        if self.classes == "folders" and not folders:
            raise ValueError("classes: folders is for a part of format folder")
        return self


class PrepareSettings(Settings):
    """What preparing one dataset depends on."""

    dataset: str
    source: str
    recipe: Recipe
