"""The dialect of the command line: one parser class, one set of argument types, one shape of help.

A command's module docstring is its help: the first line summarises the command, an indented line is the example,
the rest explains. :meth:`CommandParser.of` takes it apart, so that documentation and help cannot differ.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from typing_extensions import Self

from minisegnet_core.errors import shortened, suggestion

EXIT_USAGE = 2
HELP_WIDTH = 100

Number = Callable[[str], float]


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keep the description's lines and add each option's default to its help."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=HELP_WIDTH)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        # argparse offers no public hook for this; ArgumentDefaultsHelpFormatter overrides the same method.
        text = action.help
        if text is None or text is argparse.SUPPRESS or '(default' in text or not action.option_strings:
            return text
        if action.default in (None, '', False, argparse.SUPPRESS) or action.default == []:
            return text
        return f'{text} (default: %(default)s)'


class CommandParser(argparse.ArgumentParser):
    """Parse a command's options in minisegnet's dialect.

    Options are never abbreviated, so that a script keeps its meaning when an option is added. A wrong option or value
    is reported as ``minisegnet COMMAND: WHAT; HOW TO FIX IT`` with the nearest known name, exit code 2.
    """

    def __init__(self, prog: str, description: str = '') -> None:
        super().__init__(prog=prog, description=description, formatter_class=HelpFormatter, allow_abbrev=False)

    @classmethod
    def of(cls, prog: str, documentation: str | None) -> Self:
        """Return a parser whose help is a command module's docstring: summary, examples, explanation."""
        summary, examples, explanation = split_documentation(documentation or '')
        parts = [summary]
        if examples:
            parts.append('\n'.join([f'example{"s" * (len(examples) > 1)}:', *(f'  {line}' for line in examples)]))
        if explanation:
            parts.append(explanation)
        return cls(prog, '\n\n'.join(parts))

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse all arguments; an unknown one is an error that names the nearest known option."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].partition('=')[0]
            if word.startswith('-'):
                hint = suggestion(word, self.option_names())
                self.error(f'there is no option {shortened(word)}{hint or f"; {self.prog} --help lists them"}')
            self.error(f'unexpected argument {shortened(repr(unknown[0]))}; quote names that contain spaces')
        return parsed

    def option_names(self) -> list[str]:
        """Return all long options, as the help lists them."""
        return sorted(set(re.findall(r'(?<![\w-])--[a-zA-Z][\w.-]*', self.format_help())))

    def error(self, message: str) -> NoReturn:
        """Print one sentence to standard error and exit with code 2."""
        message = re.sub(r'^argument (\S+): ', lambda match: f'{match[1].rpartition("/")[2]} ', message)
        message = message.replace('the following arguments are required: ', 'missing: ')
        self.exit(EXIT_USAGE, f'{self.prog}: {message}\n')


def split_documentation(documentation: str) -> tuple[str, list[str], str]:
    """Return the summary line, the indented example lines, and the rest of a command module's docstring."""
    lines = documentation.strip().splitlines()
    examples = [line.strip() for line in lines[1:] if line.startswith('    ')]
    rest = '\n'.join(line for line in lines[1:] if not line.startswith('    '))
    return (lines[0] if lines else ''), examples, re.sub(r'\n{3,}', '\n\n', rest).strip()


def one_of(*names: str) -> Callable[[str], str]:
    """Return an argument type that accepts the given words and suggests the nearest one for another."""

    def parse(text: str) -> str:
        if text not in names:
            hint = suggestion(text, names) or f'; choose from {", ".join(names)}'
            raise argparse.ArgumentTypeError(f'is {shortened(repr(text))}, which is unknown{hint}')
        return text

    return parse


def choice(*names: str) -> dict[str, Any]:
    """Return the keywords of ``add_argument`` for an option that takes one of some words."""
    return {'type': one_of(*names), 'metavar': '{' + ','.join(names) + '}'}


def integer(minimum: int | None = None, maximum: int | None = None) -> Callable[[str], int]:
    """Return an argument type for whole numbers within limits, both included."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f'is {shortened(repr(text))}; it must be a whole number') from None
        return int(_within(value, minimum, maximum))

    return parse


def number(
    minimum: float | None = None, maximum: float | None = None, *, above: float | None = None
) -> Callable[[str], float]:
    """Return an argument type for finite numbers within limits.

    Args:
        minimum, maximum: smallest and largest value.
        above: the value must be larger than this.
    """

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f'is {shortened(repr(text))}; it must be a finite number')
        if above is not None and not value > above:
            raise argparse.ArgumentTypeError(f'is {value:g}; it must be above {above:g}')
        return _within(value, minimum, maximum)

    return parse


def _within(value: float, minimum: float | None, maximum: float | None) -> float:
    low = minimum is not None and value < minimum
    high = maximum is not None and value > maximum
    if low or high:
        if minimum is None:
            limits = f'at most {maximum:g}'
        else:
            limits = f'at least {minimum:g}' if maximum is None else f'{minimum:g} to {maximum:g}'
        raise argparse.ArgumentTypeError(f'is {value:g}; it must be {limits}')
    return value


fraction = number(0, 1)
"""Argument type for a fraction from 0 to 1."""


def path(text: str) -> Path:
    """Return a path with ``~`` expanded, so that ``--option=~/x`` means what it means behind a space."""
    if not text:
        raise argparse.ArgumentTypeError('is empty; it must be a path')
    return Path(text).expanduser()
