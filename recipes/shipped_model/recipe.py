"""The shipped model's recipe: its schema, and the commands that each step consists of.

`load_recipe` validates `recipe.yaml`. `commands_of_step` and `commands_of_export` return command lines of `minisegnet`.
`reduced` returns the same recipe with tiny counts, which tests the whole chain within minutes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

EXPORT = 'export'
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Settings = dict[str, Any]


class RecipeError(Exception):
    """The recipe or its inputs are invalid; the text names the file and how to correct it."""


class _Model(BaseModel):
    model_config = ConfigDict(extra='forbid', frozen=True)


class Scenes(_Model):
    """Render scenes.

    Without a name they are the step's data set. With a name they are a data set of their own, which is merged into the
    step's; image names then begin with ``NAME_``.
    """

    name: str = ''
    count: Count
    seed: int
    val_fraction: Fraction = 0.0
    size: str = ''
    view: str = ''


class WeakLabels(_Model):
    """Add the photos with boxes (``--boxed``), labelled by the weights of an earlier step."""

    model: str
    network_size: str
    max_side: Count


class DrawnMasks(_Model):
    """Add a folder of photos (below ``--photos``) for which the project has masks."""

    photos: str
    max_side: Count
    prefix: str


class Hardest(_Model):
    """Add the training images that the weights of an earlier step segment worst a second time."""

    count: Count
    model: str


class Addition(_Model):
    """One entry of a step's data: exactly one of the fields."""

    scenes: Scenes | None = None
    weak_labels: WeakLabels | None = None
    drawn_masks: DrawnMasks | None = None
    hardest: Hardest | None = None

    @model_validator(mode='after')
    def _require_one(self) -> Addition:
        if sum(value is not None for _, value in self) != 1:
            raise ValueError(f'expected exactly one of {", ".join(type(self).model_fields)}')
        return self


class Step(_Model):
    """One training.

    Args:
        name: the step and the folder of its run.
        about: one sentence for ``--list``.
        dataset: the folder of its data set. Steps of the same data set extend it.
        data: entries that are added to the data set, in order.
        start: weights from which the whole network starts, ``STEP/FILE``.
        encoder: weights from which the encoder alone starts, ``STEP/FILE``.
        keep: fraction of the start weights in the weights that are validated and saved.
        training: settings of ``minisegnet train``.
    """

    name: str
    about: str
    dataset: str
    data: tuple[Addition, ...] = ()
    start: str = ''
    encoder: str = ''
    keep: Fraction = 0.0
    training: Settings

    def inputs(self) -> list[str]:
        """Return the weights of earlier steps that this step reads, as ``STEP/FILE``."""
        models = [
            source.model for addition in self.data for source in (addition.weak_labels, addition.hardest) if source
        ]
        return [weights for weights in dict.fromkeys((self.start, self.encoder, *models)) if weights]


class Export(_Model):
    """The files that are exported from a checkpoint ``STEP/FILE``."""

    about: str
    checkpoint: str
    float_: str = Field(alias='float')
    int8: str


class Photos(_Model):
    """How the photos of a folder are grouped, and which groups are never trained on."""

    group_pattern: str = ''
    test_groups: tuple[str, ...] = ()


class Recipe(_Model):
    """The recipe, see README.md."""

    views: dict[str, dict[str, Any]]
    masks: str
    colors: dict[str, tuple[int, int, int]]
    photos: dict[str, Photos]
    training: Settings
    steps: tuple[Step, ...]
    export: Export
    smoke: bool = False

    @model_validator(mode='after')
    def _check_references(self) -> Recipe:
        earlier: set[str] = set()
        for step in self.steps:
            if step.name in earlier or step.name == EXPORT:
                raise ValueError(f'step {step.name}: the name is taken')
            for weights in step.inputs():
                if weights.split('/')[0] not in earlier:
                    raise ValueError(f'step {step.name}: no earlier step makes {weights}')
            for addition in step.data:
                if addition.scenes and addition.scenes.view and addition.scenes.view not in self.views:
                    raise ValueError(f'step {step.name}: {addition.scenes.view} is not one of the views')
                if addition.drawn_masks and addition.drawn_masks.photos not in self.photos:
                    raise ValueError(f'step {step.name}: {addition.drawn_masks.photos} is not one of the photos')
            earlier.add(step.name)
        if self.export.checkpoint.split('/')[0] not in earlier:
            raise ValueError(f'export: no step makes {self.export.checkpoint}')
        return self

    def settings(self, step: Step) -> Settings:
        """Return the complete settings file of a step's training."""
        return {**self.training, **step.training, **({'keep': step.keep} if step.keep else {})}


@dataclass(frozen=True)
class Folders:
    """Where a recipe reads and writes.

    Args:
        runs: data sets, trainings and settings.
        backgrounds: photos of halls for scenes, or None.
        textures: photos of turf for scenes, or None.
        boxed: photos with YOLO boxes (0 ball, 1 robot, 2 human), or None.
        photos: a folder with the folders of photos that have drawn masks, or None.
        masks: the drawn masks, in folders of the same names.
        exported: the folder to which the paths of exported files are relative.
    """

    runs: Path
    masks: Path
    exported: Path
    backgrounds: Path | None = None
    textures: Path | None = None
    boxed: Path | None = None
    photos: Path | None = None

    def settings_file(self, step: Step) -> Path:
        """Return the path of the file with the settings of a step's training."""
        return self.runs / 'settings' / f'{step.name}.yaml'


def load_recipe(path: Path) -> Recipe:
    """Read and validate a recipe.

    Raises:
        RecipeError: the file cannot be read or is not a valid recipe.
    """
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding='utf-8')))
    except (OSError, yaml.YAMLError) as error:
        raise RecipeError(f'{path} cannot be read: {error}') from error
    except ValidationError as error:
        first = error.errors()[0]
        place = '.'.join(map(str, first['loc'])) or 'the file'
        raise RecipeError(f'{path} is not a valid recipe: {place}: {first["msg"]}') from error


def reduced(recipe: Recipe) -> Recipe:
    """Return the recipe with all its steps and few small images, short trainings and a narrow network."""
    return recipe.model_copy(
        update={
            'smoke': True,
            'steps': tuple(
                step.model_copy(
                    update={
                        'data': tuple(map(_reduced_addition, step.data)),
                        'training': _reduced_training({**recipe.training, **step.training}),
                    }
                )
                for step in recipe.steps
            ),
        }
    )


def _reduced_addition(addition: Addition) -> Addition:
    updates: dict[str, Settings] = {
        'scenes': {'count': 4, 'size': '160x120'},
        'weak_labels': {'max_side': 240},
        'drawn_masks': {'max_side': 240},
        'hardest': {'count': 3},
    }
    if addition.scenes and not addition.scenes.name:
        # The data set itself: a third of its images is enough for a validation split.
        updates['scenes'] |= {'count': 12, 'val_fraction': 0.33}
    return addition.model_copy(
        update={kind: value.model_copy(update=updates[kind]) for kind, value in addition if value is not None}
    )


def _reduced_training(training: Settings) -> Settings:
    stages = {
        name: {**training[name], 'epochs': min(1, training[name]['epochs']), 'batch_size': 4, 'images': 8}
        for name in ('stage1', 'stage2', 'stage3')
    }
    augment = dict(training.get('augment', {}))
    if 'crop' in augment:
        augment['crop'] = [96, 80]
    return {**training, **stages, 'augment': augment, 'width_mult': 0.25, 'workers': 0, 'cache_gb': 0.1}


def commands_of_step(recipe: Recipe, step: Step, folders: Folders) -> list[list[str]]:
    """Return the command lines of a step, from its data to its training, without the program's name.

    What needs photos is left out if their folder is None.
    """
    commands = [command for addition in step.data for command in _commands_of_addition(recipe, step, addition, folders)]
    train = ['train', '--config', folders.settings_file(step), '--data', folders.runs / step.dataset]
    train += ['--output', folders.runs / step.name]
    if step.start:
        train += ['--init-from', folders.runs / step.start]
    if step.encoder:
        train += ['--encoder-weights', folders.runs / step.encoder]
    return [list(map(str, command)) for command in (*commands, train)]


def commands_of_export(recipe: Recipe, folders: Folders) -> list[list[str]]:
    """Return the command lines that export the last checkpoint, without the program's name."""
    float_file, int8_file = folders.exported / recipe.export.float_, folders.exported / recipe.export.int8
    halved = float_file.with_suffix('.safetensors')
    to_float = ['export', folders.runs / recipe.export.checkpoint, '--output', float_file, '--half-checkpoint']
    to_int8 = ['export', halved, '--output', int8_file, '--int8']
    if recipe.smoke:
        data = folders.runs / recipe.steps[-1].dataset
        to_int8 += ['--calibration', data, '--calibration-images', '4', '--validation-images', '4', '--max-drop', '1']
    return [list(map(str, command)) for command in (to_float, to_int8)]


def _commands_of_addition(recipe: Recipe, step: Step, addition: Addition, folders: Folders) -> Iterator[list[Any]]:
    dataset = folders.runs / step.dataset
    added = ['--output', dataset, '--append']
    if (scenes := addition.scenes) is not None:
        rendered = folders.runs / (scenes.name or step.dataset)
        yield _render(recipe, scenes, rendered, folders)
        if scenes.name:
            yield [*_import(rendered, 'minisegnet'), *added, '--keep-splits', '--prefix', f'{scenes.name}_']
    elif (hardest := addition.hardest) is not None:
        evaluated = folders.runs / f'{step.dataset}_evaluated'
        weights = folders.runs / hardest.model
        yield ['evaluate', dataset, '--split', 'train', '--model', weights, '--output', evaluated]
        chosen = ['--hardest', hardest.count, '--evaluation', evaluated]
        yield [*_import(dataset, 'minisegnet'), *chosen, *added, '--keep-splits', '--prefix', 'hard_']
    elif (weak := addition.weak_labels) is not None and folders.boxed is not None:
        classes = ['--map', '0=ball', '1=background', '2=background']
        labeller = ['--model', folders.runs / weak.model, '--network-size', weak.network_size]
        photos = ['--min-label-confidence', '0.7', '--max-side', weak.max_side, '--image-format', 'jpg']
        split = ['--prefix', 'photo_', '--val-fraction', '0']
        yield [*_import(folders.boxed, 'boxes'), *classes, *labeller, *photos, *added, *split]
    elif (drawn := addition.drawn_masks) is not None and folders.photos is not None:
        source, groups = folders.photos / drawn.photos, recipe.photos[drawn.photos]
        masks = ['--images', source, '--masks', folders.masks / drawn.photos, '--skip-unlabelled']
        colors = ['--colors', *(f'{name}={",".join(map(str, color))}' for name, color in recipe.colors.items())]
        photos = ['--max-side', drawn.max_side, '--image-format', 'jpg']
        split = ['--prefix', drawn.prefix, '--val-fraction', '0']
        if groups.group_pattern:
            split += ['--group-pattern', groups.group_pattern, '--test-groups', *groups.test_groups]
        yield [*_import(source, 'masks'), *masks, *colors, *photos, *added, *split]


def _import(source: Path, kind: str) -> list[Any]:
    return ['import-dataset', source, '--format', kind]


def _render(recipe: Recipe, scenes: Scenes, output: Path, folders: Folders) -> list[Any]:
    command = ['synthesize', '--output', output, '--count', scenes.count, '--seed', scenes.seed]
    command += ['--val-fraction', f'{scenes.val_fraction:g}', *(['--size', scenes.size] if scenes.size else [])]
    for name, value in recipe.views.get(scenes.view, {}).items():
        command += ['--set', f'{name}={json.dumps(value)}']
    for option, folder in (('--backgrounds', folders.backgrounds), ('--textures', folders.textures)):
        command += [option, folder] if folder is not None else []
    return [*command, '--workers', '1'] if recipe.smoke else command
