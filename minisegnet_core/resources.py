"""Locations of the shipped models and configurations, in the source tree or in an installation by colcon or pip."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from minisegnet_core.errors import ConfigurationError, listed, suggestion

PACKAGE = 'minisegnet_ros'


def _candidates() -> list[Path]:
    source_tree = Path(__file__).resolve().parent.parent
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    # PREFIX/lib/pythonX.Y/site-packages/minisegnet_core/resources.py lies four levels below the prefix.
    installed = Path(__file__).resolve().parents[4] if len(Path(__file__).resolve().parents) > 4 else source_tree
    share_folders = [p / 'share' / PACKAGE for p in (installed, *prefixes, Path(sys.prefix))]
    return [source_tree, *share_folders]


def share_directory() -> Path:
    """Return the folder that holds ``config/``, ``launch/`` and ``models/``.

    It is the source tree if this file lies in one, otherwise ``PREFIX/share/minisegnet_ros`` of the installation.

    Raises:
        ConfigurationError: neither exists; the installation is incomplete.
    """
    for candidate in _candidates():
        if (candidate / 'config' / 'segment.yaml').is_file():
            return candidate
    raise ConfigurationError(
        f'config/ and models/ of {PACKAGE} are in none of {listed(_candidates())}; install the package again with pip '
        'or colcon'
    )


def find_config(name: str) -> Path:
    """Return the path of a shipped configuration file, such as ``segment.yaml``.

    Raises:
        ConfigurationError: there is no such file; the message lists the existing ones.
    """
    folder = share_directory() / 'config'
    path = folder / name
    if not path.is_file():
        names = sorted(p.name for p in folder.glob('*.yaml'))
        hint = suggestion(name, names)
        raise ConfigurationError(f'there is no configuration {name!r}{hint}; choose from {listed(names, 20)}')
    return path


def models_directory() -> Path:
    """Return the folder of the shipped models; a source tree may not contain it."""
    return share_directory() / 'models'
