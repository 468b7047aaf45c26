"""The program ``minisegnet`` and what its commands share: one-sentence errors, exit codes, Ctrl-C.

A command is a function ``main(argv, prog) -> int`` decorated with :func:`command` and registered in the entry-point
group ``minisegnet.commands``. It is imported only when it is called. The same functions are the executables of the ROS
package.

Exit codes: 0 done; 1 done, but the result fails a threshold; 2 wrong usage or input; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import ast
import functools
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from minisegnet_core import __version__
from minisegnet_core.commands.parser import EXIT_USAGE, CommandParser
from minisegnet_core.errors import MinisegnetError, suggestion

COMMAND_GROUP = 'minisegnet.commands'
EXIT_INTERRUPTED = 130

Main = Callable[[Sequence[str], str], 'int | None']


def command(main: Main) -> Callable[..., int]:
    """Turn ``main(argv, prog)`` into an executable that prints errors as one sentence and returns the exit code.

    The result takes ``argv`` (default: the arguments of the process) and ``prog`` (the name that messages show).
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
        arguments = sys.argv[1:] if argv is None else list(argv)
        name = prog or os.path.basename(sys.argv[0])
        try:
            return main(without_ros_arguments(arguments), name) or 0
        except MinisegnetError as error:
            return _fail(name, str(error))
        except ModuleNotFoundError as error:
            if _package_of(error) not in HINTS:  # a fault of this project, not of the installation
                raise
            return _fail(name, _missing_hint(error))
        except KeyboardInterrupt:
            print(f'{name}: stopped by Ctrl-C', file=sys.stderr)
            return EXIT_INTERRUPTED
        except BrokenPipeError:  # the reader of `minisegnet ... | head` has ended
            _discard_output()
            return 0
        except OSError as error:
            if error.filename is None:
                raise
            # A file where a folder is expected, missing permissions, a full disk: the user can fix it.
            return _fail(name, f'{error.filename}: {error.strerror}')

    return run


def _fail(name: str, message: str) -> int:
    print(f'{name}: {message}', file=sys.stderr)
    return EXIT_USAGE


def without_ros_arguments(argv: Sequence[str]) -> list[str]:
    """Return ``argv`` without the ``--ros-args ... [--]`` sections that launch adds to every process."""
    kept: list[str] = []
    in_ros = False
    for argument in argv:
        if argument == '--ros-args':
            in_ros = True
        elif in_ros:
            in_ros = argument != '--'
        else:
            kept.append(argument)
    return kept


def _summary(entry: EntryPoint) -> str:
    """Return the first line of a command module's docstring, read without importing the module.

    So the list of commands needs none of their packages and takes no time.
    """
    try:
        specification = find_spec(entry.module)
    except ImportError:
        specification = None
    if specification is None or specification.origin is None:
        return '(not installed)'
    documentation = ast.get_docstring(ast.parse(Path(specification.origin).read_text(encoding='utf-8'))) or ''
    return documentation.partition('\n')[0]


def _discard_output() -> None:
    """Discard buffered output, so that Python's shutdown does not fail on the closed pipe again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``minisegnet COMMAND ...``."""
    try:
        code = _main(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return 0
    except KeyboardInterrupt:  # while a command is being imported
        print('minisegnet: stopped by Ctrl-C', file=sys.stderr)
        return EXIT_INTERRUPTED
    return code


def _main(argv: Sequence[str] | None) -> int:
    arguments = sys.argv[1:] if argv is None else list(argv)
    commands = {entry.name: entry for entry in entry_points(group=COMMAND_GROUP)}
    if arguments and not arguments[0].startswith('-'):
        name = arguments[0]
        if name not in commands:
            hint = suggestion(name, commands) or f'; choose from {", ".join(sorted(commands))}'
            return _fail('minisegnet', f'there is no command {name!r}{hint}')
        try:
            run = commands[name].load()
        except ImportError as error:
            return _fail(f'minisegnet {name}', _missing_hint(error))
        return int(run(arguments[1:], f'minisegnet {name}'))
    parser = CommandParser('minisegnet', 'Real-time semantic segmentation and ball detection for robot soccer.')
    parser.add_argument('--version', action='version', version=f'minisegnet {__version__}')
    parser.usage = 'minisegnet COMMAND [options]'
    parser.epilog = '\n'.join(
        [
            'commands:',
            *(f'  {name:16} {_summary(commands[name])}' for name in sorted(commands)),
            '',
            '`minisegnet COMMAND --help` explains a command.',
        ]
    )
    parser.parse_args(arguments)
    parser.print_help(sys.stderr if not arguments else None)
    return EXIT_USAGE


TRAINING_HINT = 'training and export need it: pip install "minisegnet_ros[train]"'
ROS_HINT = 'the node needs ROS 2: source its setup file first'
HINTS = {
    **dict.fromkeys(('torch', 'torchvision', 'lightning_fabric', 'onnx', 'onnxscript', 'safetensors'), TRAINING_HINT),
    **dict.fromkeys(('rclpy', 'sensor_msgs', 'geometry_msgs', 'diagnostic_msgs', 'lifecycle_msgs'), ROS_HINT),
    **dict.fromkeys(
        ('pydantic', 'pydantic_core', 'typing_extensions'), 'settings need it: pip install "pydantic>=2.6"'
    ),
    'jinja2': 'the report needs it: pip install jinja2',
    'nncf': 'export --int8 needs it: pip install "minisegnet_ros[train,int8]"',
    'distributed': 'evaluation on a cluster needs it: pip install "minisegnet_ros[cluster]"',
    'cv2': 'OpenCV is needed: pip install opencv-python-headless (or opencv-python, which can open windows)',
}
"""How to install an optional package, by the name of its module."""


def _package_of(error: ImportError) -> str:
    return (error.name or '').split('.')[0]


def _missing_hint(error: ImportError) -> str:
    package = _package_of(error)
    return f'{package} is not installed; {HINTS[package]}' if package in HINTS else str(error)


if __name__ == '__main__':
    sys.exit(main())
