"""The documentation against itself and against the code: links, anchors, lengths, named paths, complete references."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from minisegnet_core.scenes import SceneConfig
from minisegnet_core.scenes.config.scene import describe_settings
from minisegnet_core.training.config import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = ('.*', 'build', 'install', 'log', 'demo', 'runs')
"""Folders at the top that hold no documentation of the project."""

LINES, WIDTH, COLUMNS = 250, 100, 6
"""Maximum lines of a page, characters of a line, columns of a table."""

REPOSITORY_PATH = re.compile(
    r'(?:benchmarks|config|docs|launch|minisegnet_core|minisegnet_ros|models|recipes|requirements|resource|test)/[\w./-]*'
)


def _pages() -> list[Path]:
    tops = [path for path in ROOT.iterdir() if path.is_dir() and not any(path.match(name) for name in SKIPPED)]
    return sorted([*ROOT.glob('*.md'), *(page for top in tops for page in top.rglob('*.md'))])


PAGES = _pages()
every_page = pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _prose(page: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line outside code blocks."""
    fenced = False
    for number, line in enumerate(page.read_text(encoding='utf-8').splitlines(), 1):
        if line.lstrip().startswith('```'):
            fenced = not fenced
        elif not fenced and not line.startswith('    '):
            yield number, line


def _text(page: Path) -> str:
    return '\n'.join(line for _, line in _prose(page))


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub derives them."""
    found: set[str] = set()
    for _, line in _prose(page):
        if match := re.fullmatch(r'#{1,6} (.*)', line):
            text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', match[1]).replace('`', '')
            anchor = slug = re.sub(r'[^\w\- ]', '', text.strip().lower()).replace(' ', '-')
            repeated = 0
            while anchor in found:
                repeated += 1
                anchor = f'{slug}-{repeated}'
            found.add(anchor)
    return found


def test_the_documentation_is_found():
    assert {ROOT / 'README.md', ROOT / 'docs' / 'index.md', ROOT / 'models' / 'README.md'} <= set(PAGES)


@every_page
def test_links_and_anchors_resolve(page):
    broken = []
    for target in re.findall(r'\]\(([^()\s]+)\)', re.sub(r'`[^`]*`', '', _text(page))):
        if re.match(r'[a-z]+:', target):
            continue
        path, _, anchor = target.partition('#')
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in _anchors(linked)):
            broken.append(target)
    assert not broken


@every_page
def test_named_repository_paths_exist(page):
    names = [name for name in re.findall(r'`([^`\s]+)`', _text(page)) if REPOSITORY_PATH.fullmatch(name)]
    assert [name for name in names if not (ROOT / name).exists()] == []


@every_page
def test_a_page_is_short_enough_to_be_read(page):
    assert len(page.read_text(encoding='utf-8').splitlines()) <= LINES


@every_page
def test_lines_wrap_and_tables_are_narrow(page):
    lines = list(_prose(page))
    # Tables cannot wrap, and neither can a link that is longer than a line.
    wide = [n for n, line in lines if len(line) > WIDTH and line[:1] != '|' and ' ' in line.strip('- ')[:WIDTH]]
    assert wide == [], 'lines are too long'
    tables = [(n, line.replace('\\|', '').count('|') - 1) for n, line in lines if line[:1] == '|']
    assert [n for n, columns in tables if columns > COLUMNS] == [], 'tables are too broad'


def test_every_page_of_the_documentation_is_linked():
    linked = {ROOT / 'README.md'}
    for page in PAGES:
        targets = re.findall(r'\]\(([^()\s#]+)', _text(page))
        linked |= {(page.parent / target).resolve() for target in targets}
    assert [str(page) for page in PAGES if page not in linked] == []


COMMANDS = {entry.name: entry.module for entry in entry_points(group='minisegnet.commands')}
SETTINGS_OF_TRAINING = ('train', 'lr-range-test')
TORCHRUN = {'nproc-per-node', 'no-python'}
"""Options of another program that the help of `train` mentions."""


def _parser_of(name: str) -> Any:
    return import_module(COMMANDS[name]).make_parser(f'minisegnet {name}')


def _command_lines(page: Path) -> list[list[str]]:
    """Return the words after `minisegnet` of each command line in a page's code blocks that has no ellipsis."""
    text = page.read_text(encoding='utf-8')
    blocks = re.findall(r'^```bash\n(.*?)^```', text, re.MULTILINE | re.DOTALL) + re.findall(
        r'(?:^ {4}.*\n)+', text, re.MULTILINE
    )
    lines = re.sub(r'\\\n\s*', ' ', '\n'.join(blocks)).splitlines()
    commands = [line.strip() for line in lines if line.strip().startswith('minisegnet ') and '...' not in line]
    return [shlex.split(line, comments=True)[1:] for line in commands]


@every_page
def test_command_lines_parse(page):
    for name, *arguments in _command_lines(page):
        if name in COMMANDS:
            _parser_of(name).parse_args(arguments)
        else:
            assert name in ('--help', '--version', 'COMMAND')


@pytest.mark.parametrize('name', sorted(COMMANDS))
def test_the_reference_lists_every_option_of(name):
    parser = _parser_of(name)
    documented = (ROOT / 'docs' / 'reference' / 'commands.md').read_text(encoding='utf-8')
    assert re.search(rf'^## .*\b{name}\b', documented, re.MULTILINE)
    settings = {setting.replace('_', '-') for setting in _settings_of(TrainConfig())}
    options = {option.removeprefix('--') for option in parser.option_names()} - {'help'} - TORCHRUN
    if name in SETTINGS_OF_TRAINING:
        options = {option for option in options if option.removeprefix('no-') not in settings and '.' not in option}
    assert sorted(option for option in options if f'`--{option}' not in documented) == []


def _settings_of(settings: Any, path: str = '') -> Iterator[str]:
    """Yield the dotted name of every setting of a tree of dataclasses."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            yield from _settings_of(value, f'{path}{field.name}.')
        else:
            yield f'{path}{field.name}'


@pytest.mark.parametrize(
    ('page', 'settings'), [('train-configuration.md', TrainConfig()), ('scenes.md', SceneConfig())]
)
def test_the_reference_lists_every_setting_of(page, settings):
    documented = set(re.findall(r'`([\w.]+)`', (ROOT / 'docs' / 'reference' / page).read_text(encoding='utf-8')))

    def is_documented(name: str) -> bool:
        parts = name.split('.')
        return any('.'.join(parts[start:]) in documented for start in range(len(parts)))

    assert [name for name in _settings_of(settings) if not is_documented(name)] == []


def test_the_reference_repeats_the_meaning_of_scene_settings():
    documented = (ROOT / 'docs' / 'reference' / 'scenes.md').read_text(encoding='utf-8')
    assert [
        name for name, _, _, meaning in describe_settings(SceneConfig()) if f'| {meaning} |' not in documented
    ] == []
