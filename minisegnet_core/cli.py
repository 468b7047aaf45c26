"""The program ``minisegnet`` and what all its commands share: errors as one sentence, exit codes, Ctrl-C.

A command is a function ``main(argv, prog) -> int`` made with :func:`command` and registered in the entry-point group
``minisegnet.commands``; it is imported only when it is called. The same functions are the executables of the ROS
package.

Exit codes: 0 done; 1 asked for and not reached (a threshold failed); 2 wrong usage or input; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points

from minisegnet_core import __version__
from minisegnet_core.errors import MinisegnetError

COMMAND_GROUP = 'minisegnet.commands'
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

Main = Callable[[Sequence[str], str], 'int | None']


def command(main: Main) -> Callable[..., int]:
    """Makes ``main(argv, prog)`` an executable: it prints errors of ours, and of files, as one sentence and returns the
    exit code.

    The result takes ``argv`` (default: the process's own) and ``prog`` (the name that help texts show).
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
        arguments = sys.argv[1:] if argv is None else list(argv)
        name = prog or os.path.basename(sys.argv[0])
        try:
            return main(without_ros_arguments(arguments), name) or 0
        except MinisegnetError as error:
            print(f'{name}: {error}', file=sys.stderr)
            return EXIT_USAGE
        except ModuleNotFoundError as error:
            if _package_of(error) not in HINTS:  # a mistake of ours, not of the installation
                raise
            print(f'{name}: {_missing_hint(error)}', file=sys.stderr)
            return EXIT_USAGE
        except KeyboardInterrupt:
            print(f'{name}: stopped by Ctrl-C', file=sys.stderr)
            return EXIT_INTERRUPTED
        except BrokenPipeError:  # `minisegnet ... | head` is no error of ours
            _forget_output()
            return 0
        except OSError as error:
            if error.filename is None:
                raise
            # A folder that is a file, one that cannot be written to, a full disk: the user's to mend.
            print(f'{name}: {error.filename}: {error.strerror}', file=sys.stderr)
            return EXIT_USAGE

    return run


def without_ros_arguments(argv: Sequence[str]) -> list[str]:
    """``argv`` less every ``--ros-args ... [--]`` section, which launch adds to whatever it starts."""
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
    """First line of the docstring of the command's module. Importing it is cheap: heavy packages wait for the call."""
    try:
        documentation = sys.modules[entry.load().__module__].__doc__ or ''
    except ImportError as error:
        return f'(not available here: {_missing_hint(error)})'
    return documentation.strip().splitlines()[0] if documentation.strip() else ''


def _forget_output() -> None:
    """Nobody reads on: what is still buffered must not fail a second time when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """``minisegnet COMMAND ...``: finds the command and hands over."""
    try:
        code = _main(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        return 0
    return code


def _main(argv: Sequence[str] | None) -> int:
    arguments = sys.argv[1:] if argv is None else list(argv)
    commands = {entry.name: entry for entry in entry_points(group=COMMAND_GROUP)}
    parser = argparse.ArgumentParser(
        prog='minisegnet',
        description='Fast semantic segmentation for robot soccer: render scenes, train, export, evaluate, run.',
        epilog='minisegnet COMMAND --help tells more about one command.',
        add_help=False,
    )
    parser.add_argument('-h', '--help', action='store_true', help='show this help and exit')
    parser.add_argument('--version', action='version', version=f'minisegnet {__version__}')
    parser.add_argument('command', nargs='?', metavar='COMMAND', help='one of those below')
    if arguments and not arguments[0].startswith('-'):
        name = arguments[0]
        if name in commands:
            try:
                run = commands[name].load()
            except ImportError as error:
                print(f'minisegnet {name}: {_missing_hint(error)}', file=sys.stderr)
                return EXIT_USAGE
            return int(run(arguments[1:], f'minisegnet {name}'))
        near = difflib.get_close_matches(name, commands, n=1)
        hint = f' (did you mean {near[0]}?)' if near else ''
        print(f'minisegnet: there is no command {name!r}{hint}; there are: {", ".join(commands)}', file=sys.stderr)
        return EXIT_USAGE
    parsed = parser.parse_args(arguments)
    parser.print_help()
    print('\ncommands:')
    for name in sorted(commands):
        print(f'  {name:18} {_summary(commands[name])}')
    return 0 if parsed.help else EXIT_USAGE


TRAINING_HINT = 'training and export need it: pip install "minisegnet_ros[train]"'
ROS_HINT = 'the node needs ROS 2: source its setup file first'
HINTS = {
    **dict.fromkeys(('torch', 'torchvision', 'lightning_fabric', 'onnx', 'onnxscript', 'safetensors'), TRAINING_HINT),
    **dict.fromkeys(('rclpy', 'sensor_msgs', 'geometry_msgs', 'diagnostic_msgs', 'lifecycle_msgs'), ROS_HINT),
    'nncf': 'export --int8 needs it: pip install "minisegnet_ros[train,int8]"',
    'distributed': 'evaluation over a cluster needs it: pip install "minisegnet_ros[cluster]"',
    'cv2': 'OpenCV is needed: pip install opencv-python-headless (or opencv-python, for windows)',
}
"""What to do where an optional package is missing."""


def _package_of(error: ImportError) -> str:
    return (error.name or '').split('.')[0]


def _missing_hint(error: ImportError) -> str:
    package = _package_of(error)
    return f'{package} is not installed; {HINTS[package]}' if package in HINTS else str(error)


if __name__ == '__main__':
    sys.exit(main())
