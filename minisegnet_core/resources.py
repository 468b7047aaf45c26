"""Finds the models and configurations that come with the package, in the source tree or where colcon or pip put
them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from minisegnet_core.errors import ConfigurationError

PACKAGE = 'minisegnet_ros'


def _candidates() -> list[Path]:
    source_tree = Path(__file__).resolve().parent.parent
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    # lib/pythonX.Y/site-packages/minisegnet_core/resources.py lies four levels below the prefix.
    installed = Path(__file__).resolve().parents[4] if len(Path(__file__).resolve().parents) > 4 else source_tree
    shares = [p / 'share' / PACKAGE for p in (installed, *prefixes, Path(sys.prefix))]
    return [source_tree, *shares]


def share_directory() -> Path:
    """The folder that holds ``config/``, ``launch/`` and ``models/``.

    The source tree where this file lies in one, else ``<prefix>/share/minisegnet_ros`` of the installation.

    Raises:
        ConfigurationError: neither is there; the package is not installed whole.
    """
    for candidate in _candidates():
        if (candidate / 'config' / 'segment.yaml').is_file():
            return candidate
    raise ConfigurationError(
        f'the files of {PACKAGE} (config/, models/) are in none of {", ".join(map(str, _candidates()))}; '
        'install the package again with pip or colcon'
    )


def find_config(name: str) -> Path:
    """Path of a configuration file that comes with the package, such as ``segment.yaml``.

    Raises:
        ConfigurationError: there is none of this name; the text lists those that are.
    """
    folder = share_directory() / 'config'
    path = folder / name
    if not path.is_file():
        names = ', '.join(sorted(p.name for p in folder.glob('*.yaml')))
        raise ConfigurationError(f'there is no configuration {name!r}; there are: {names}')
    return path


def models_directory() -> Path:
    """The folder of the shipped models. It may lack, in a source tree without them."""
    return share_directory() / 'models'
