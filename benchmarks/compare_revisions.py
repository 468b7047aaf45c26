"""Show that two revisions of this project give the same outputs.

    python benchmarks/compare_revisions.py --before HEAD~5                # a git revision against this checkout
    python benchmarks/compare_revisions.py --before TREE PYTHON --after TREE PYTHON
    python benchmarks/compare_revisions.py --before HEAD~5 --only predict # the jobs whose names contain "predict"

Both revisions run the same jobs on the same inputs, which the first one renders. Each job prints `equal` or what
differs. The exit code is 0 only if all jobs ran and all outputs are equal. A run takes 4 to 6 minutes on two cores.

A revision is a folder with its Python interpreter, or a git revision, which is checked out into a temporary worktree
and run by this interpreter. This interpreter needs PyTorch, ONNX Runtime, OpenCV and rosbags for the comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import yaml
from compare_outputs import compare_folders

ROOT = Path(__file__).resolve().parent.parent
THREADS = '2'
# Jobs use the new names. A revision whose `COMMAND --help` does not list one gets the old name.
OLD_NAMES = {
    'synthesize': {'--val-fraction': '--val-share', '--fps': '--rate'},
    'import-dataset': {
        '--val-fraction': '--val',
        '--test-fraction': '--test',
        '--fps': '--rate',
        '--max-unknown': '--most-unknown',
        '--min-change': '--least-change',
        '--max-side': '--longest-side',
        '--min-label-confidence': '--confidence',
    },
}
# What a sourced ROS 2 or another environment leaves in the shell.
DROPPED_VARIABLES = re.compile(
    r'(PYTHON|AMENT_|CMAKE_PREFIX_PATH|COLCON|ROS_|RMW_|_ROS_|LD_LIBRARY_PATH$|CUDA_VISIBLE_DEVICES$)'
)
# Checks the import, restores Ctrl-C (a background shell ignores it) and calls the program.
LAUNCHER = """
import signal, sys
from pathlib import Path
import minisegnet_core
signal.signal(signal.SIGINT, signal.default_int_handler)
file, tree = Path(minisegnet_core.__file__).resolve(), Path(sys.argv[1])
if not file.is_relative_to(tree):
    sys.exit(f'minisegnet_core is imported from {file} instead of {tree}')
if sys.argv[2:] == ['--where']:
    print(file)
    sys.exit()
from minisegnet_core.cli import main
sys.exit(main(sys.argv[2:]))
"""
PALETTE = {'background': (0, 0, 0), 'ball': (255, 64, 0), 'line': (255, 255, 255), 'field': (0, 160, 0)}
TINY_TRAINING = {
    'width_mult': 0.25,
    'encoder_weights': 'none',
    'freeze_anyway': True,
    'stage1': {'epochs': 2, 'lr': 0.003, 'batch_size': 4},
    'stage2': {'epochs': 1, 'lr': 0.003, 'batch_size': 4},
    'stage3': {'epochs': 2, 'lr': 0.003, 'batch_size': 4, 'policy': 'one_cycle'},
    'augment': {'foreground': 0.3, 'paste': 0.3, 'darkness': 0.1},
    'repeat': {'scene_00000': 2},
    'workers': 0,
    'precision': 'float32',
    'tensorboard': False,
    'curves': False,
}


class JobError(Exception):
    """A job cannot be run to its end."""


@dataclass
class Revision:
    """One revision of the project and the interpreter that runs it.

    Args:
        name: before or after.
        tree: root of the source tree.
        python: the interpreter. Its packages are used, the project itself comes from ``tree``.
        work: folder for outputs, outside the tree.
        timeout: seconds after which a command is killed.
    """

    name: str
    tree: Path
    python: Path
    work: Path
    timeout: float
    _help: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> str:
        """Register the tree's commands outside the tree, and return the file that is imported as minisegnet_core."""
        metadata = self.work / 'metadata'
        metadata.mkdir(parents=True)
        self._call(
            [str(self.python), 'setup.py', '-q', 'egg_info', '--egg-base', str(metadata)], cwd=self.tree, log='egg_info'
        )
        return self.run('--where').strip()

    def run(self, *arguments: str | Path) -> str:
        """Run ``minisegnet COMMAND OPTIONS`` of this revision and return its standard output.

        Raises:
            JobError: the command fails or takes too long.
        """
        return self._call(self.command(*arguments), cwd=self.work, log=str(arguments[0]))

    def command(self, *arguments: str | Path) -> list[str]:
        """Return the command line of ``minisegnet COMMAND OPTIONS``, with the option names of this revision."""
        words = [str(argument) for argument in arguments]
        old_names = OLD_NAMES.get(words[0], {})
        words = [old_names[word] if word in old_names and not self._has(words[0], word) else word for word in words]
        return [str(self.python), '-c', LAUNCHER, str(self.tree), *words]

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start a command without waiting for it; it writes its messages to a log file."""
        with (self.work / 'started.log').open('wb') as log:
            return subprocess.Popen(
                self.command(*arguments), cwd=self.work, env=self.environment(), stdout=log, stderr=log
            )

    def environment(self) -> dict[str, str]:
        """Return an environment in which every child process imports this tree and uses few threads of the CPU."""
        kept = {name: value for name, value in os.environ.items() if not DROPPED_VARIABLES.match(name)}
        return {
            **kept,
            'PYTHONPATH': os.pathsep.join((str(self.work / 'metadata'), str(self.tree))),
            'PYTHONSAFEPATH': '1',
            'PYTHONDONTWRITEBYTECODE': '1',
            'CUDA_VISIBLE_DEVICES': '',
            'MPLBACKEND': 'agg',
            **dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'), THREADS),
        }

    def model(self, name: str) -> Path:
        """Return the path of a shipped model."""
        return self.tree / 'models' / name

    def _has(self, command: str, option: str) -> bool:
        if command not in self._help:
            self._help[command] = ''  # so that the help itself is requested without translation
            self._help[command] = self.run(command, '--help')
        return re.search(rf'(?<![\w-]){re.escape(option)}(?![\w-])', self._help[command]) is not None

    def _call(self, command: Sequence[str], cwd: Path, log: str) -> str:
        try:
            done = subprocess.run(
                command, cwd=cwd, env=self.environment(), capture_output=True, timeout=self.timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise JobError(f'{log} takes longer than {self.timeout:.0f} s in {self.name}; raise --timeout') from error
        if done.returncode:
            lines = done.stderr.decode(errors='replace').strip().splitlines() or ['no message']
            raise JobError(f'{log} failed in {self.name} with exit code {done.returncode}: {lines[-1][-300:]}')
        return done.stdout.decode()


@dataclass(frozen=True)
class Inputs:
    """What all jobs read, rendered once by the first revision."""

    scenes: Path  # data set of 320x240 with two splits
    bag: Path  # sequence with labels and balls
    photos: Path  # images of odd sizes, without labels
    painted: Path  # label images of `scenes` as colours
    boxes: Path  # images of `scenes` with YOLO boxes
    training: Path  # settings of the tiny training

    @classmethod
    def render(cls, revision: Revision, folder: Path) -> Inputs:
        """Render and derive all inputs below a folder."""
        names = {name: folder / name for name in ('scenes', 'bag', 'photos', 'painted', 'boxes')}
        inputs = cls(**names, training=folder / 'training.yaml')
        size = ('--size', '320x240', '--workers', THREADS)
        revision.run(
            'synthesize', '--output', inputs.scenes, '--count', '20', '--seed', '5', '--val-fraction', '0.4', *size
        )
        revision.run(
            'synthesize', '--output', inputs.bag, '--count', '8', '--seed', '4', '--sequence', '--fps', '10',
            '--format', 'mcap', *size,
        )  # fmt: skip
        for made in (inputs.photos, inputs.painted, inputs.boxes):
            made.mkdir()
        for number, path in enumerate(sorted((inputs.scenes / 'images').iterdir())):
            image = cv2.imread(str(path))
            labels = cv2.imread(str(inputs.scenes / 'labels' / f'{path.stem}.png'), cv2.IMREAD_UNCHANGED)
            colors = np.array(list(PALETTE.values()), np.uint8)[labels]
            cv2.imwrite(str(inputs.painted / f'{path.stem}.png'), colors[..., ::-1])
            shutil.copy(path, inputs.boxes)
            if number < 4:
                cv2.imwrite(
                    str(inputs.photos / f'{path.stem}.png'), image[number : 239 - 7 * number, : 319 - 20 * number]
                )
        annotations = (inputs.scenes / 'annotations.jsonl').read_text(encoding='utf-8').splitlines()
        for annotation in map(json.loads, annotations):
            boxes = [
                f'0 {ball["x"] / 320} {ball["y"] / 240} {ball["radius"] / 160} {ball["radius"] / 120}'
                for ball in annotation['balls']
                if 0 <= ball['x'] <= 320 and 0 <= ball['y'] <= 240
            ]
            (inputs.boxes / f'{annotation["name"]}.txt').write_text('\n'.join(boxes) + '\n', encoding='utf-8')
        inputs.training.write_text(yaml.safe_dump(TINY_TRAINING), encoding='utf-8')
        return inputs


Job = Callable[[Revision, Inputs, Path], None]
JOBS: dict[str, Job] = {}
IMAGE_TOPIC = ('--topic', '/camera/image_raw')
FLOAT = ('--precision', 'float32', '--threads', THREADS)


def job(name: str) -> Callable[[Job], Job]:
    """Register a job. It writes its outputs into the folder that it is given; the folder does not exist yet."""

    def register(function: Job) -> Job:
        JOBS[name] = function
        return function

    return register


@job('scenes of the frozen validation set')
def validation_scenes(revision: Revision, inputs: Inputs, output: Path) -> None:
    config = revision.tree / 'config' / 'validation.yaml'
    revision.run('synthesize', '--output', output, '--config', config, '--count', '12', '--workers', THREADS)


@job('scenes of two presets')
def preset_scenes(revision: Revision, inputs: Inputs, output: Path) -> None:
    for preset in ('spl', 'msl'):
        revision.run(
            'synthesize', '--output', output / preset, '--preset', preset, '--count', '4', '--seed', '3',
            '--set', 'camera.fisheye=0.5', '--image-format', 'png', '--workers', '1',
        )  # fmt: skip


@job('sequence bags')
def sequence_bags(revision: Revision, inputs: Inputs, output: Path) -> None:
    for kind, options in (('mcap', []), ('sqlite3', ['--compressed'])):
        revision.run(
            'synthesize', '--output', output / kind, '--sequence', '--count', '5', '--seed', '9', '--size', '320x240',
            '--fps', '12', '--format', kind, '--workers', '1', *options,
        )  # fmt: skip


@job('predict on a folder')
def predict_folder(revision: Revision, inputs: Inputs, output: Path) -> None:
    models = {
        'int8': ('minisegnet_int8.onnx', '--engine', 'openvino', '--threads', THREADS, '--full-size'),
        'openvino': ('minisegnet.onnx', '--engine', 'openvino', *FLOAT),
        'onnxruntime': ('minisegnet.onnx', '--engine', 'onnxruntime', *FLOAT, '--network-size', 'half'),
        'torch': ('minisegnet.safetensors', '--engine', 'torch', *FLOAT),
    }
    for name, (model, *options) in models.items():
        revision.run('predict', inputs.photos, '--output', output / name, '--model', revision.model(model), *options)


@job('predict on a bag')
def predict_bag(revision: Revision, inputs: Inputs, output: Path) -> None:
    for name, model, options in (
        ('int8', 'minisegnet_int8.onnx', ('--threads', THREADS)),
        ('float', 'minisegnet.onnx', FLOAT),
    ):
        revision.run(
            'predict', inputs.bag, *IMAGE_TOPIC, '--output', output / name, '--model', revision.model(model), *options
        )


@job('evaluate')
def evaluate(revision: Revision, inputs: Inputs, output: Path) -> None:
    """Evaluate the int8 model, then the float model in comparison with it."""
    folder = output.relative_to(revision.work)  # reports contain the paths as they were given
    int8, float_ = folder / 'int8', folder / 'float'
    model = revision.model('minisegnet_int8.onnx')
    revision.run('evaluate', inputs.scenes, '--output', int8, '--model', model, '--threads', THREADS)
    model = revision.model('minisegnet.onnx')
    revision.run('evaluate', inputs.scenes, '--output', float_, '--model', model, *FLOAT, '--compare', int8)


@job('evaluate-bag')
def evaluate_bag(revision: Revision, inputs: Inputs, output: Path) -> None:
    model = revision.model('minisegnet_int8.onnx')
    revision.run('evaluate-bag', inputs.bag, *IMAGE_TOPIC, '--output', output, '--model', model, '--threads', THREADS)


@job('train, interrupted and resumed')
def train(revision: Revision, inputs: Inputs, output: Path) -> None:
    """Stop a training by Ctrl-C once its first epoch is recorded, then resume it."""
    data = output.with_name(f'{output.name} data')  # a copy, since the decoded images are kept beside the data set
    shutil.copytree(inputs.scenes, data)
    arguments = ('train', '--config', inputs.training, '--data', data, '--output', output)
    process = revision.start(*arguments)
    deadline = time.monotonic() + revision.timeout
    try:
        while process.poll() is None and time.monotonic() < deadline and _epochs(output) < 1:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        process.wait(max(1.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise JobError(f'train does not stop on Ctrl-C in {revision.name}') from error
    finally:
        process.kill()
        process.wait()
    epochs = sum(stage['epochs'] for stage in TINY_TRAINING.values() if isinstance(stage, dict) and 'epochs' in stage)
    if not 1 <= _epochs(output) < epochs:
        log = (revision.work / 'started.log').read_text(errors='replace').strip().splitlines() or ['no message']
        raise JobError(
            f'train stopped after {_epochs(output)} of {epochs} epochs in {revision.name}, where an interruption after '
            f'the first was intended: {log[-1][-200:]}'
        )
    revision.run(*arguments, '--resume')


def _epochs(run: Path) -> int:
    table = run / 'metrics.csv'
    return max(0, len(table.read_text(encoding='utf-8').splitlines()) - 1) if table.is_file() else 0


@job('lr-range-test')
def lr_range_test(revision: Revision, inputs: Inputs, output: Path) -> None:
    data = output.with_name(f'{output.name} data')
    shutil.copytree(inputs.scenes, data)
    printed = revision.run('lr-range-test', '--config', inputs.training, '--data', data, '--output', output)
    suggestion = next((line for line in printed.splitlines() if line.startswith('--stage1')), '')
    rates = [word for word in suggestion.split() if not word.startswith('--')]  # options are spelled differently
    (output / 'suggestion.txt').write_text('\n'.join(rates), encoding='utf-8')


@job('export to ONNX')
def export_onnx(revision: Revision, inputs: Inputs, output: Path) -> None:
    output.mkdir(parents=True)
    revision.run(
        'export', revision.model('minisegnet.safetensors'), '--output', output / 'exported.onnx',
        '--check-images', inputs.photos,
    )  # fmt: skip


@job('export to int8')
def export_int8(revision: Revision, inputs: Inputs, output: Path) -> None:
    output.mkdir(parents=True)
    revision.run(
        'export', revision.model('minisegnet.safetensors'), '--output', output / 'int8.onnx', '--int8',
        '--calibration', inputs.scenes, '--calibration-images', '4',
        '--validation', inputs.scenes, '--validation-images', '4', '--max-drop', '1',
    )  # fmt: skip


@job('import-dataset of masks')
def import_masks(revision: Revision, inputs: Inputs, output: Path) -> None:
    colors = [f'{name}={",".join(map(str, color))}' for name, color in PALETTE.items()]
    revision.run(
        'import-dataset', inputs.painted, '--format', 'masks', '--images', inputs.scenes / 'images',
        '--masks', inputs.painted, '--colors', *colors, '--group-pattern', '(.)$', '--val-fraction', '0.3',
        '--test-fraction', '0.2', '--max-side', '200', '--max-unknown', '0.002', '--output', output,
    )  # fmt: skip


@job('import-dataset of a bag')
def import_bag(revision: Revision, inputs: Inputs, output: Path) -> None:
    revision.run(
        'import-dataset', inputs.bag, *IMAGE_TOPIC, '--format', 'frames', '--fps', '5', '--min-change', '1',
        '--model', revision.model('minisegnet_int8.onnx'), '--label-tools', output / 'label tools',
        '--output', output / 'data',
    )  # fmt: skip


@job('import-dataset of boxes')
def import_boxes(revision: Revision, inputs: Inputs, output: Path) -> None:
    revision.run(
        'import-dataset', inputs.boxes, '--format', 'boxes', '--map', '0=ball', '--min-label-confidence', '0.7',
        '--network-size', 'half', '--model', revision.model('minisegnet.onnx'), '--output', output,
    )  # fmt: skip


@job('import-dataset of the hardest scenes')
def import_hardest(revision: Revision, inputs: Inputs, output: Path) -> None:
    evaluated = output.with_name(f'{output.name} evaluated')
    model = revision.model('minisegnet_int8.onnx')
    revision.run('evaluate', inputs.scenes, '--split', 'train', '--model', model, '--output', evaluated)
    revision.run(
        'import-dataset', inputs.scenes, '--format', 'minisegnet', '--hardest', '4', '--evaluation', evaluated,
        '--prefix', 'hard_', '--output', output,
    )  # fmt: skip


def run_job(name: str, revisions: Sequence[Revision], inputs: Inputs) -> bool:
    """Run a job in both revisions, one after the other, print the result and return whether all outputs are equal."""
    folders = [revision.work / name for revision in revisions]
    started = time.monotonic()
    try:
        for revision, folder in zip(revisions, folders, strict=True):
            JOBS[name](revision, inputs, folder)
        files, differences = compare_folders(*folders)
    except JobError as error:
        files, differences = 0, [str(error)]
    if not files and not differences:
        differences = ['the job left no files to compare']
    seconds = time.monotonic() - started
    if differences:
        more = f' (and {len(differences) - 1} more)' if len(differences) > 1 else ''
        print(f'{name}: DIFFERENT: {differences[0]}{more}', flush=True)
    else:
        print(f'{name}: equal ({files} files, {seconds:.0f} s)', flush=True)
    return not differences


@contextmanager
def opened(spec: Sequence[str], name: str, work: Path, timeout: float) -> Iterator[Revision]:
    """Yield the revision that ``--before`` or ``--after`` names, in a temporary worktree if it is a git revision."""
    python = Path(spec[1]) if len(spec) > 1 else Path(sys.executable)
    python = python if python.is_absolute() else Path.cwd() / python  # not resolved: a link decides the environment
    if Path(spec[0]).is_dir():
        yield Revision(name, Path(spec[0]).resolve(), python, work / name, timeout)
        return
    tree = work / f'{name}-tree'
    git = ('git', '-C', str(ROOT), 'worktree')
    added = subprocess.run(
        [*git, 'add', '--quiet', '--detach', str(tree), spec[0]], capture_output=True, text=True, check=False
    )
    if added.returncode:
        raise JobError(f'{spec[0]!r} is neither a folder nor a git revision: {added.stderr.strip()[-200:]}')
    try:
        yield Revision(name, tree.resolve(), python, work / name, timeout)
    finally:
        subprocess.run([*git, 'remove', '--force', str(tree)], check=False)


def main() -> int:
    """Run the jobs and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    revision = ('TREE_OR_REVISION', 'PYTHON')
    parser.add_argument('--before', nargs='+', required=True, metavar=revision, help='the first revision')
    parser.add_argument(
        '--after', nargs='+', default=[str(ROOT)], metavar=revision, help='the second revision (default: this checkout)'
    )
    parser.add_argument('--only', nargs='+', default=[''], metavar='TEXT', help='run the jobs whose names contain this')
    parser.add_argument('--output', type=Path, metavar='DIR', help='keep all outputs in this new folder')
    parser.add_argument('--timeout', type=float, default=180, metavar='SECONDS', help='per command (default: 180)')
    options = parser.parse_args()
    names = [name for name in JOBS if any(text in name for text in options.only)]
    if not names:
        parser.error(f'--only matches none of the jobs: {", ".join(JOBS)}')
    if options.output is not None and options.output.exists():
        parser.error(f'--output {options.output} exists; name a new folder')
    started = time.monotonic()
    try:
        equal = compare(options.before, options.after, names, options.output, options.timeout)
    except JobError as error:
        print(f'compare_revisions: {error}', file=sys.stderr)
        return 2
    print(f'{sum(equal)} of {len(equal)} jobs equal, {time.monotonic() - started:.0f} s')
    return 0 if all(equal) else 1


def compare(
    before: Sequence[str], after: Sequence[str], names: Sequence[str], output: Path | None, timeout: float
) -> list[bool]:
    """Render the inputs, run the named jobs and return which of them are equal."""
    work = Path(tempfile.mkdtemp(prefix='compare_revisions_')) if output is None else output.absolute()
    work.mkdir(parents=True, exist_ok=True)
    try:
        with opened(before, 'before', work, timeout) as old, opened(after, 'after', work, timeout) as new:
            for revision in (old, new):
                print(f'{revision.name}: {revision.prepare()}', flush=True)
            inputs = Inputs.render(old, work)
            return [run_job(name, (old, new), inputs) for name in names]
    finally:
        if output is None:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
