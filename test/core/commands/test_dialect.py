"""The dialect of the command line, held over every command: one shape of help, one meaning per option."""

import re
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points

import pytest

from minisegnet_core.cli import COMMAND_GROUP
from minisegnet_core.commands.parser import CommandParser, split_documentation

COMMANDS = {entry.name: entry.module for entry in entry_points(group=COMMAND_GROUP)}

MEANINGS = {
    # One meaning per option name: what its help says wherever it stands.
    '--threads': r'CPU threads',
    '--workers': r'processes',
    '--fps': r'frames per second',
    '--rate': r'playback speed',
    '--model': r'model',
    '--seed': r'seed',
    '--device': r'device',
    '--topic': r'topic',
    '--val-fraction': r'fraction',
    '--test-fraction': r'fraction',
}


def parser_of(name: str) -> CommandParser:
    return import_module(COMMANDS[name]).make_parser(f'minisegnet {name}')


every_command = pytest.mark.parametrize('name', sorted(COMMANDS))


@every_command
def test_the_docstring_is_the_help(name):
    documentation = import_module(COMMANDS[name]).__doc__
    text = parser_of(name).format_help()
    assert split_documentation(documentation)[0] in text
    summary = text.split('\n\n')[1]
    assert re.fullmatch(r'[A-Z][^\n]{20,98}\.', summary), 'one line, an imperative sentence'
    assert not re.match(r'\w+s\b', summary) or summary.split()[0] in ('Process',), 'an imperative: Render, not Renders'


@every_command
def test_help_shows_an_example_that_parses(name):
    parser = parser_of(name)
    text = parser.format_help()
    match = re.search(r'^examples?:\n((?:  .+\n)+)', text, re.MULTILINE)
    assert match, 'no example'
    examples = [line.strip() for line in match[1].splitlines() if line.strip().startswith(f'minisegnet {name}')]
    assert examples
    for example in examples:
        parser.parse_args(shlex.split(example)[2:])


@every_command
def test_options_are_words_joined_by_hyphens(name):
    for option in parser_of(name).option_names():
        assert re.fullmatch(r'--[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*|\.PREFIX)*', option), option


@every_command
def test_an_option_means_the_same_everywhere(name):
    parser = parser_of(name)
    text = ' '.join(parser.format_help().split())
    for option in parser.option_names():
        if option in MEANINGS:
            described = re.search(rf' {option} (?:\S+ )?(.*?)(?= --[a-z]|$)', text.partition(' options: ')[2] or text)
            assert described, option
            assert re.search(MEANINGS[option], described[1]), f'{option}: {described[1]}'


@every_command
def test_a_wrong_option_names_the_nearest_one(name, capsys):
    parser = parser_of(name)
    options = [option for option in parser.option_names() if option != '--help']
    if not options:
        pytest.skip('takes no option')
    option = max(options, key=len)
    with pytest.raises(SystemExit) as stop:
        parser.parse_args([*_required(parser), f'{option}x'])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error == f'minisegnet {name}: there is no option {option}x; did you mean {option}?\n'


def _required(parser: CommandParser) -> list[str]:
    """Arguments of the example, which hold everything that is required."""
    example = re.search(r'^  (minisegnet .+)$', parser.format_help(), re.MULTILINE)
    return shlex.split(example[1])[2:]


@every_command
def test_help_is_shown_without_the_packages_that_the_work_needs(name):
    """Heavy optional imports never break --help."""
    blocked = ('torch', 'torchvision', 'openvino', 'onnxruntime', 'onnx', 'nncf', 'matplotlib', 'rclpy', 'jinja2')
    code = (
        f'import sys; sys.modules.update(dict.fromkeys({blocked}))\n'
        f'from minisegnet_core.cli import main; sys.exit(main([{name!r}, "--help"]))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f'usage: minisegnet {name}' in done.stdout


def test_a_default_of_zero_is_shown():
    parser = CommandParser('minisegnet x')
    parser.add_argument('--count', type=int, default=0, help='number of images')
    parser.add_argument('--flag', action='store_true', help='a flag')
    text = ' '.join(parser.format_help().split())
    assert 'number of images (default: 0)' in text
    assert text.endswith('a flag')
