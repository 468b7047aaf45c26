"""Frames from image files, and the search for image files in a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minisegnet_core.errors import SourceError, listed
from minisegnet_core.files import natural_key
from minisegnet_core.frames.frame import Frame, UniqueNames
from minisegnet_core.imaging import IMAGE_SUFFIXES, is_image_file, read_image

MAX_NAMES = 3
"""Number of files that were left out whose names are reported."""

HIDDEN = 'hidden'
NOT_IMAGES = 'without the suffix of an image'
SUBFOLDERS = 'subfolders, which are not searched'
LINKED_FOLDERS = 'linked folders, which are not followed'


@dataclass(frozen=True)
class FoundImages:
    """The image files of a folder, and what else it holds.

    Attributes:
        paths: the image files.
        left_out: numbers of other files and folders, by reason with the first names.
    """

    paths: tuple[Path, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


def find_images(folder: Path, *, recursive: bool = False, companions: Collection[str] = ()) -> FoundImages:
    """Return the image files of a folder, sorted by path, and a count of what is left out.

    Args:
        recursive: search subfolders too, but not hidden or linked ones.
        companions: lower-case suffixes of other files that are read beside the images, such as ``.txt``.

    Raises:
        OSError: the folder does not exist or cannot be read.
    """
    paths: list[Path] = []
    others: dict[str, list[str]] = defaultdict(list)
    folders = [folder]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            shown = path.relative_to(folder).as_posix()
            if path.name.startswith('.'):
                others[HIDDEN].append(shown)
            elif path.is_dir():
                if not recursive:
                    others[SUBFOLDERS].append(shown)
                elif path.is_symlink():
                    others[LINKED_FOLDERS].append(shown)
                else:
                    folders.append(path)
            elif is_image_file(path):
                paths.append(path)
            elif path.suffix.lower() not in companions:
                others[NOT_IMAGES].append(shown)
    return FoundImages(tuple(sorted(paths)), reasons(others))


def reasons(others: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the numbers of files that were left out, by reason with the first names."""
    return {f'{reason} ({listed(names, MAX_NAMES)})': len(names) for reason, names in others.items() if names}


class ImageFolder:
    """Image files, in the order given; a frame has its file's name without the suffix.

    Attributes:
        paths: the files.
        left_out: numbers of other files of their folder, by reason.
    """

    missing = 0

    def __init__(self, paths: Sequence[Path], left_out: Mapping[str, int] | None = None) -> None:
        self.paths = tuple(paths)
        self.left_out = dict(left_out or {})

    @classmethod
    def of_folder(cls, folder: Path) -> ImageFolder:
        """Return the images directly inside a folder, in natural order.

        Raises:
            SourceError: the folder holds no images.
        """
        found = find_images(folder)
        if not found.paths:
            hint = f'; did you mean {folder / "images"}?' if (folder / 'images').is_dir() else ''
            raise SourceError(f'folder {folder} holds no images ({", ".join(IMAGE_SUFFIXES)}){hint}')
        return cls(sorted(found.paths, key=lambda p: natural_key(p.name)), found.left_out)

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        unique = UniqueNames()
        for path in self.paths:
            yield Frame(None, unique(path.stem), read_image(path))
