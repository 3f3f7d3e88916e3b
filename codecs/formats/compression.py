"""The choices of ``encode(value, compression=...)``."""

from __future__ import annotations

from dataclasses import dataclass

ALGORITHMS = ("lz4", "zstd")
_CHOICES = "give none, lz4, zstd, zstd:LEVEL with a level from 1 to 22, or auto"
_LEVELS = range(1, 23)


@dataclass(frozen=True, slots=True)
class Compression:
    """A compression of a blob.

    Attributes:
        algorithm: ``"none"``, ``"lz4"``, ``"zstd"``, or ``"auto"``, which looks at the data.
        level: of ``"zstd"``, from 1 to 22; None for the default of zstd.
        is_far: for ``"auto"``: whether the blob goes over a network, where fewer bytes matter more than time.

    Raises:
        ValueError: There is no such algorithm, or it has no such level.
    """

    algorithm: str = "none"
    level: int | None = None
    is_far: bool = False

    def __post_init__(self) -> None:
        if self.algorithm not in ("none", *ALGORITHMS, "auto"):
            raise ValueError(f"there is no compression {self.algorithm!r}; {_CHOICES}")
        if self.level is not None and (self.algorithm != "zstd" or self.level not in _LEVELS):
            raise ValueError(f"the compression {self.algorithm!r} has no level {self.level}; {_CHOICES}")

    @classmethod
    def parse(cls, text: str) -> Compression:
        """Return the compression that a text such as ``"zstd:3"`` names.

        Raises:
            ValueError: ``text`` names no known compression.
        """
        algorithm, colon, level = text.strip().lower().partition(":")
        if colon and not (level.isascii() and level.isdigit()):
            raise ValueError(f"{text!r} is not a compression; {_CHOICES}")
        return cls(algorithm, int(level) if colon else None)

    def __str__(self) -> str:
        return self.algorithm if self.level is None else f"{self.algorithm}:{self.level}"


NO_COMPRESSION = Compression()
