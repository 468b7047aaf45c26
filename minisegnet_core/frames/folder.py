"""Frames from image files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from minisegnet_core.errors import SourceError
from minisegnet_core.files import natural_key
from minisegnet_core.frames.frame import Frame, UniqueNames
from minisegnet_core.imaging import IMAGE_SUFFIXES, is_image_file, read_image


class ImageFolder:
    """Image files, in the order given; a frame has its file's name without the suffix."""

    missing = 0

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    @classmethod
    def of_folder(cls, folder: Path) -> ImageFolder:
        """Return the images directly inside a folder, in natural order.

        Raises:
            SourceError: the folder holds no images.
        """
        paths = [path for path in folder.iterdir() if is_image_file(path) and path.is_file()]
        if not paths:
            hint = f'; did you mean {folder / "images"}?' if (folder / 'images').is_dir() else ''
            raise SourceError(f'folder {folder} holds no images ({", ".join(IMAGE_SUFFIXES)}){hint}')
        return cls(sorted(paths, key=lambda p: natural_key(p.name)))

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        unique = UniqueNames()
        for path in self.paths:
            yield Frame(None, unique(path.stem), read_image(path))
