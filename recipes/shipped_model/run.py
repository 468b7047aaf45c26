"""Train and export the shipped model from random weights, step by step.

    python recipes/shipped_model/run.py --list
    python recipes/shipped_model/run.py --smoke                    # all steps on a few small images, within minutes
    python recipes/shipped_model/run.py --backgrounds PHOTOS/halls --photos PHOTOS --boxed PHOTOS/msl

Every finished command is recorded in RUNS/finished, so after an interruption the same call continues where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from recipe import (
    EXPORT,
    Folders,
    Recipe,
    RecipeError,
    Step,
    commands_of_export,
    commands_of_step,
    load_recipe,
    reduced,
)

ROOT = Path(__file__).resolve().parents[2]
RECIPE = Path(__file__).with_name('recipe.yaml')
EXIT_INTERRUPTED = 130
INTERRUPT_SECONDS = 20
PHOTO_FOLDERS = ('backgrounds', 'textures', 'boxed', 'photos')


class CommandError(Exception):
    """A command of a step failed; it has already reported why."""

    def __init__(self, step: str, command: Sequence[str], code: int) -> None:
        super().__init__(
            f'step {step}: minisegnet {command[0]} failed with exit code {code}, see its message above; correct the '
            'cause and run the same call again'
        )


@dataclass(frozen=True)
class Job:
    """A step or the export, with its commands and the weights that it needs from earlier steps."""

    name: str
    about: str
    commands: list[list[str]]
    inputs: list[str]
    step: Step | None = None


def jobs_of(recipe: Recipe, folders: Folders) -> list[Job]:
    """Return all jobs of a recipe in order, the export last."""
    jobs = [
        Job(step.name, step.about, commands_of_step(recipe, step, folders), step.inputs(), step)
        for step in recipe.steps
    ]
    export = commands_of_export(recipe, folders)
    return [*jobs, Job(EXPORT, recipe.export.about, export, [recipe.export.checkpoint])]


def selected(jobs: Sequence[Job], first: str | None, last: str | None) -> list[Job]:
    """Return the jobs from one name to another, both included.

    Raises:
        RecipeError: a name is unknown, or the last job comes before the first.
    """
    names = [job.name for job in jobs]
    for option, name in (('--from', first), ('--to', last)):
        if name is not None and name not in names:
            raise RecipeError(f'{option} {name} is not a step; the steps are: {", ".join(names)}')
    start, stop = names.index(first or names[0]), names.index(last or names[-1])
    if start > stop:
        raise RecipeError(f'--to {last} comes before --from {first}')
    return list(jobs[start : stop + 1])


class Runner:
    """Run jobs and record finished commands.

    Args:
        recipe: the recipe.
        folders: where it reads and writes.
    """

    def __init__(self, recipe: Recipe, folders: Folders) -> None:
        self.recipe, self.folders = recipe, folders
        self.program = Path(sys.executable).with_name('minisegnet')  # of this environment, whatever PATH has
        if not self.program.is_file():
            raise RecipeError(
                f'{self.program} does not exist; install the project into this environment by make setup-test'
            )

    def run(self, job: Job) -> None:
        """Run the commands of a job that are not yet finished.

        Raises:
            RecipeError: the weights of an earlier step are missing, or the job was begun by another recipe.
            CommandError: a command fails.
        """
        record = self.folders.runs / 'finished' / f'{job.name}.txt'
        lines = [self._line(job, command) for command in job.commands]
        finished = record.read_text(encoding='utf-8').splitlines() if record.is_file() else []
        if finished != lines[: len(finished)]:
            raise RecipeError(
                f'step {job.name} was begun with other commands ({record}); name another folder with --runs, or '
                'remove that file and the folders that the step wrote'
            )
        if len(finished) == len(lines):
            print(f'{job.name}: finished before', flush=True)
            return
        self._require_inputs(job)
        for line, command in list(zip(lines, job.commands, strict=True))[len(finished) :]:
            print(f'{job.name}: {as_text(command)}', flush=True)
            self._execute(job, command)
            record.parent.mkdir(parents=True, exist_ok=True)
            with record.open('a', encoding='utf-8') as file:
                file.write(f'{line}\n')

    def _require_inputs(self, job: Job) -> None:
        for weights in job.inputs:
            if not (self.folders.runs / weights).is_file():
                needed = weights.split('/')[0]
                raise RecipeError(
                    f'step {job.name} needs {self.folders.runs / weights}, which does not exist; run the step {needed} '
                    f'before it (--from {needed})'
                )

    def _line(self, job: Job, command: Sequence[str]) -> str:
        """Return the record of a command: the command itself, and for a training a digest of its settings."""
        text = shlex.join(command)
        if command[0] != 'train' or job.step is None:
            return text
        settings = yaml.safe_dump(self.recipe.settings(job.step))
        return f'{text}  # settings {hashlib.sha256(settings.encode()).hexdigest()[:12]}'

    def _execute(self, job: Job, command: list[str]) -> None:
        if command[0] == 'train' and job.step is not None:
            file = self.folders.settings_file(job.step)
            file.parent.mkdir(parents=True, exist_ok=True)
            settings = yaml.safe_dump(self.recipe.settings(job.step), sort_keys=False)
            file.write_text(f'# {job.about}\n{settings}', encoding='utf-8')
            run = self.folders.runs / job.name
            if (run / 'settings.yaml').is_file() or (run / 'last.ckpt').is_file():
                command = [*command, '--resume']
        elif command[0] == 'export':
            Path(command[command.index('--output') + 1]).parent.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen([str(self.program), *command], cwd=ROOT)
        try:
            code = process.wait()
        except KeyboardInterrupt:  # the terminal interrupts the command too, which then saves what is finished
            try:
                process.wait(INTERRUPT_SECONDS)
            except subprocess.TimeoutExpired:
                process.terminate()
                process.wait()
            raise
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise CommandError(job.name, command, code)


def as_text(command: Sequence[str]) -> str:
    """Return a command line for a shell at the project's root. A training's settings file is written when it runs."""
    return f'minisegnet {shlex.join(_relative(word) for word in command)}'


def _relative(word: str) -> str:
    path = Path(word)
    return str(path.relative_to(ROOT)) if path.is_absolute() and path.is_relative_to(ROOT) else word


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('--list', action='store_true', help='list the steps and stop')
    parser.add_argument('--dry-run', action='store_true', help='print the commands and stop')
    parser.add_argument('--from', dest='first', metavar='STEP', help='the first step to run (default: the first)')
    parser.add_argument('--to', dest='last', metavar='STEP', help='the last step to run (default: export)')
    parser.add_argument(
        '--smoke', action='store_true', help='run every step on a few small images, in a temporary folder'
    )
    parser.add_argument(
        '--runs', type=Path, metavar='DIR', help='folder for data sets and trainings (default: runs in the project)'
    )
    photos = parser.add_argument_group('photos', 'What needs a folder that is not given is left out.')
    photos.add_argument('--backgrounds', type=Path, metavar='DIR', help='faces of panoramas, for halls of scenes')
    photos.add_argument('--textures', type=Path, metavar='DIR', help='photos of turf, for fields of scenes')
    photos.add_argument(
        '--boxed', type=Path, metavar='DIR', help='photos with YOLO boxes (0 ball, 1 robot, 2 human), for weak labels'
    )
    photos.add_argument(
        '--photos', type=Path, metavar='DIR', help='folder with the folders of photos for which docs/photos has masks'
    )
    options = parser.parse_args(argv)
    for name in PHOTO_FOLDERS:
        folder = getattr(options, name)
        if folder is not None and not folder.is_dir() and not options.dry_run:
            parser.error(f'--{name} {folder} is not a folder')
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the recipe and return the exit code."""
    options = parse(argv)
    try:
        recipe = load_recipe(RECIPE)
        recipe = reduced(recipe) if options.smoke else recipe
        if options.smoke and options.runs is None and not (options.dry_run or options.list):
            options.runs = Path(tempfile.mkdtemp(prefix='minisegnet_recipe_'))
            _run(recipe, options)
            shutil.rmtree(options.runs)  # kept if a step failed
        else:
            _run(recipe, options)
    except (RecipeError, CommandError) as error:
        print(f'run.py: {error}', file=sys.stderr)
        return 2 if isinstance(error, RecipeError) else 1
    except KeyboardInterrupt:
        again = f' with --runs {options.runs}' if options.runs else ''
        print(f'run.py: stopped; the same call{again} continues here', file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _run(recipe: Recipe, options: argparse.Namespace) -> None:
    """List, print or run the selected jobs."""
    runs = (options.runs or ROOT / 'runs').absolute()
    given = {name: getattr(options, name) for name in PHOTO_FOLDERS}
    folders = Folders(
        runs=runs,
        masks=ROOT / recipe.masks,
        exported=runs if options.smoke else ROOT,
        **{name: folder.absolute() if folder else None for name, folder in given.items()},
    )
    jobs = selected(jobs_of(recipe, folders), options.first, options.last)
    if options.list:
        print('\n'.join(f'{job.name:12}{job.about}' for job in jobs))
    elif options.dry_run:
        print('\n'.join(as_text(command) for job in jobs for command in job.commands))
    else:
        _run_all(Runner(recipe, folders), jobs)


def _run_all(runner: Runner, jobs: Sequence[Job]) -> None:
    started = time.monotonic()
    for number, job in enumerate(jobs, 1):
        print(f'[{number}/{len(jobs)}] {job.name}: {job.about}', flush=True)
        runner.run(job)
    print(f'{len(jobs)} steps finished, {time.monotonic() - started:.0f} s')


if __name__ == '__main__':
    sys.exit(main())
