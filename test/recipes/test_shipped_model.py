"""The shipped model's recipe: it parses, its settings are valid, and its steps are connected."""

import dataclasses
import subprocess
import sys

import pytest
import yaml

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.resources import find_config, share_directory
from minisegnet_core.training.config import TrainConfig
from recipes.shipped_model.recipe import Folders, RecipeError, commands_of_step, load_recipe, reduced

ROOT = share_directory()
FOLDER = ROOT / 'recipes' / 'shipped_model'
RECIPE = load_recipe(FOLDER / 'recipe.yaml')
PHOTO_OPTIONS = ('--backgrounds', '/halls', '--textures', '/turf', '--boxed', '/boxed', '--photos', '/photos')


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(FOLDER / 'run.py'), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def configured(settings):
    """Return the training configuration that a settings file describes."""
    defaults = TrainConfig()
    nested = {
        key: dataclasses.replace(getattr(defaults, key), **value)
        for key, value in settings.items()
        if dataclasses.is_dataclass(getattr(defaults, key, None))
    }
    return dataclasses.replace(defaults, **{**settings, **nested})


def changed(tmp_path, change):
    """Return the path of a recipe that differs from the project's by ``change(document)``."""
    document = yaml.safe_load((FOLDER / 'recipe.yaml').read_text(encoding='utf-8'))
    change(document)
    path = tmp_path / 'recipe.yaml'
    path.write_text(yaml.safe_dump(document), encoding='utf-8')
    return path


@pytest.mark.parametrize('recipe', [RECIPE, reduced(RECIPE)], ids=['full', 'smoke'])
@pytest.mark.parametrize('number', range(len(RECIPE.steps)), ids=[step.name for step in RECIPE.steps])
def test_every_configuration_is_a_valid_training(recipe, number):
    step = recipe.steps[number]
    from_command_line = {'data': step.dataset, 'init_from': step.start, 'encoder_weights': step.encoder}
    config = configured(recipe.settings(step) | {key: value for key, value in from_command_line.items() if value})
    if hasattr(config, 'check'):
        config.check()
    assert any(stage.epochs for stage in config.stages.values())


def test_every_step_starts_from_an_earlier_one():
    names = [step.name for step in RECIPE.steps]
    assert RECIPE.steps[0].inputs() == []
    for number, step in enumerate(RECIPE.steps[1:], 1):
        assert (step.start or step.encoder).split('/')[0] == names[number - 1]
    assert RECIPE.export.checkpoint.split('/')[0] == names[-1]


def test_a_dry_run_lists_fourteen_trainings_and_the_export():
    done = run('--dry-run', *PHOTO_OPTIONS)
    assert done.returncode == 0, done.stderr
    commands = [line.split()[1] for line in done.stdout.splitlines()]
    assert commands.count('train') == 14
    assert commands[-2:] == ['export', 'export']
    assert '--backgrounds /halls --textures /turf' in done.stdout


def test_every_data_set_is_created_before_it_is_read(tmp_path):
    folders = Folders(tmp_path, masks=tmp_path, exported=tmp_path, boxed=tmp_path, photos=tmp_path)
    created = set()
    for step in RECIPE.steps:
        for command in commands_of_step(RECIPE, step, folders):
            outputs = command[command.index('--output') + 1]
            reads = [command[command.index('--data') + 1]] if command[0] == 'train' else []
            if '--append' in command:
                reads = [outputs, *([command[1]] if command[3] == 'minisegnet' else [])]
            assert created.issuperset(reads), command
            created.add(outputs)


def test_what_needs_photos_is_left_out_without_them():
    without = run('--dry-run').stdout
    assert not {'boxes', 'masks', '--backgrounds', '--textures'} & set(without.split())
    assert without.count('minisegnet train ') == 14


def test_a_part_of_the_steps_can_be_chosen():
    listed = run('--list', '--from', 'ninth', '--to', 'tenth').stdout.splitlines()
    assert [line.split()[0] for line in listed] == ['ninth', 'tenth']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--from', 'part9'), '--from part9 is not a step; the steps are: encoder, staged'),
        (('--from', 'tenth', '--to', 'ninth'), '--to ninth comes before --from tenth'),
        (('--photos', '/does/not/exist'), '--photos /does/not/exist is not a folder'),
    ],
)
def test_wrong_options_are_reported(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_step_without_its_start_weights_names_the_step_to_run_first(tmp_path):
    done = run('--smoke', '--runs', str(tmp_path), '--from', 'ninth')
    assert done.returncode == 2
    assert 'run the step eighth before it (--from eighth)' in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda recipe: recipe['steps'][3].update(start='missing/best.safetensors'), 'no earlier step makes missing'),
        (lambda recipe: recipe['steps'][3].update(begin='photos'), 'steps.3.begin'),
        (lambda recipe: recipe['steps'][0]['data'][0]['scenes'].update(view='moon'), 'moon is not one of the views'),
        (lambda recipe: recipe['steps'][0]['data'].append({}), 'expected exactly one of scenes'),
        (lambda recipe: recipe['steps'][1].update(name='encoder'), 'the name is taken'),
    ],
)
def test_an_invalid_recipe_is_refused_with_the_place(tmp_path, change, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(changed(tmp_path, change))


def test_the_recipe_is_not_among_the_configurations_of_users():
    assert {path.name for path in (ROOT / 'config').glob('*.yaml')} == {
        'train.yaml',
        'finetune.yaml',
        'segment.yaml',
        'validation.yaml',
    }
    with pytest.raises(ConfigurationError):
        find_config('recipe.yaml')


def test_the_recipe_is_not_installed():
    assert 'recipes' not in (ROOT / 'setup.py').read_text(encoding='utf-8')
