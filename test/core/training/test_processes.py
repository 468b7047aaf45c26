"""Several processes train as one: same gradients, batch statistics and scores; one of them writes files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.checkpoint import load_checkpoint, read_training_state
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.settings import plain_values
from minisegnet_core.training.config import AugmentConfig, StageConfig, TrainConfig
from minisegnet_core.training.context import TrainingContext, make_context
from minisegnet_core.training.data.loader import training_loader
from minisegnet_core.training.hardware import make_fabric
from minisegnet_core.training.loop import train_step
from minisegnet_core.training.reporting import Silence
from minisegnet_core.training.stage import enter_stage, make_learner, open_stage_data, training_batches
from minisegnet_core.training.trainer import train
from minisegnet_core.training.validation import validate
from support.shapes import tiny_training

ROOT = Path(__file__).resolve().parents[3]
OFF = StageConfig(epochs=0)


def config_for(data, output, **changes) -> TrainConfig:
    stage = StageConfig(epochs=1, batch_size=4, lr=1e-3, base_lr=1e-3, policy='fixed')
    alone = {'stage1': stage, 'stage2': OFF, 'stage3': OFF, 'augment': AugmentConfig(enabled=False)}
    return tiny_training(data, output, **{**alone, **changes})


def context_of(config: TrainConfig) -> TrainingContext:
    return make_context(config, open_dataset(config.data), make_fabric(config), Silence())


def run_two_processes(config: TrainConfig, folder: Path) -> str:
    """Run the command under torchrun and return its output."""
    (folder / 'c.yaml').write_text(yaml.safe_dump(plain_values(config)))
    program = folder / 'train.py'
    program.write_text('import sys\nfrom minisegnet_core.commands.train import main\nsys.exit(main())\n')
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    command += [str(program), '--config', str(folder / 'c.yaml')]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def dice_by_hand(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the sum of 1 - 2 |P T| / (|P| + |T|) over the images and the classes that each shows."""
    truth = torch.nn.functional.one_hot(torch.where(targets == 255, 4, targets), 5)[..., :4].permute(0, 3, 1, 2).bool()
    probabilities, valid = logits.softmax(1), (targets != 255)[:, None]
    # Sum in the order of the loss, because Adam magnifies rounding errors.
    both = (probabilities * valid).sum((2, 3)) + truth.sum((2, 3))
    return (1 - 2 * (probabilities * truth).sum((2, 3)) / both)[truth.flatten(2).any(2)].sum()


def half_batches_by_hand(config: TrainConfig) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Return weights after one epoch and losses, in plain PyTorch: two halves with their own batch statistics."""
    context = context_of(config)
    stage = enter_stage(context, 'stage1', Path(config.output), Silence())
    parameters = {key: value.requires_grad_() for key, value in dict(context.model.named_parameters()).items()}
    statistics = [{key: value.clone() for key, value in context.model.named_buffers()} for _ in range(2)]
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-3, weight_decay=config.weight_decay, fused=True)
    class_weights = torch.tensor(context.class_weights)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    context.model.train()
    losses = []
    for images, targets, _ in training_loader(stage.train_data, 4, 0, epoch=0):
        valid_weight = class_weights[targets[targets != 255]].sum()
        shown = sum(len(truth[truth != 255].unique()) for truth in targets)
        optimizer.zero_grad()
        loss = 0.0
        for half in range(2):
            x, y = (images[half::2].float() / 255 - mean) / std, targets[half::2]
            x = x.contiguous(memory_format=stage.memory_format)  # otherwise Adam magnifies rounding errors
            logits = torch.func.functional_call(context.model, (parameters, statistics[half]), (x,))
            part = torch.nn.functional.cross_entropy(logits, y, class_weights, ignore_index=255, reduction='sum')
            part = part / valid_weight + config.loss.dice * dice_by_hand(logits, y) / shown
            part.backward()
            loss += part.item()
        optimizer.step()
        losses.append(loss)
    averaged = {
        key: (statistics[0][key] + statistics[1][key]) / 2 if 'running' in key else statistics[0][key]
        for key in statistics[0]
    }
    return {**{key: value.detach() for key, value in parameters.items()}, **averaged}, losses


@pytest.mark.slow
def test_two_processes_equal_one_that_runs_the_same_half_batches(shapes_dataset, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        config = config_for(shapes_dataset, tmp_path / 'run')
        output = run_two_processes(config, tmp_path)
        expected, losses = half_batches_by_hand(config)
    finally:
        torch.set_num_threads(threads)
    state = read_training_state(tmp_path / 'run' / 'last.ckpt')
    row = state['rows'][0]
    assert row['train_loss'] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert state['model'].keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(state['model'][key], value, rtol=1e-4, atol=1e-5, msg=key)
    assert output.count('best: epoch 0') == 1  # one process prints

    # The merged scores of two halves of the split equal those of one process that sees the whole split.
    context = context_of(config)
    context.model.load_state_dict(load_checkpoint(tmp_path / 'run' / 'last.ckpt')[0].state_dict())
    _, val_data = open_stage_data(context, config.stage1, tmp_path, Silence())
    alone = validate(context, config.stage1, val_data)
    assert alone.total.images == 4
    assert row['mean_iou'] == alone.total.confusion.mean_iou()
    assert row['val_loss'] == pytest.approx(alone.loss, rel=1e-6)
    balls = alone.total.balls
    assert [row[f'ball_{kind}'] for kind in ('found', 'missed', 'false')] == [balls.found, balls.missed, balls.false]


def test_accumulation_equals_the_whole_batch_except_for_batch_norm(shapes_dataset, tmp_path):
    results = []
    for accumulation in (1, 2):
        stage = StageConfig(
            epochs=1, batch_size=4, lr=1e-3, base_lr=1e-3, policy='fixed', encoder='frozen', accumulation=accumulation
        )
        config = config_for(shapes_dataset, tmp_path / str(accumulation), stage1=stage, freeze_anyway=True)
        context = context_of(config)
        entered = enter_stage(context, 'stage1', tmp_path, Silence())
        context.model.eval()  # with running statistics, the parts are independent
        batch = next(iter(training_batches(context, entered, 0)))
        loss, accuracy = train_step(make_learner(context, entered, 1e-3), batch, 1e-3)
        gradients = {key: p.grad.clone() for key, p in context.model.named_parameters() if p.grad is not None}
        results.append((loss, accuracy, gradients))
    (loss, accuracy, whole), (parts_loss, parts_accuracy, parts) = results
    assert parts_loss == pytest.approx(loss, rel=1e-6)
    assert parts_accuracy == accuracy
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=1e-4, atol=1e-6, msg=key)


@pytest.mark.parametrize(
    ('changes', 'environment', 'message'),
    [
        ({'sync_batchnorm': True}, {}, 'sync_batchnorm needs GPUs'),
        ({'precision': 'float16'}, {}, 'precision float16 needs a GPU'),
        ({'device': 'cuda:1'}, {'WORLD_SIZE': '2', 'LOCAL_WORLD_SIZE': '2'}, 'device'),
        ({}, {'WORLD_SIZE': '4', 'LOCAL_WORLD_SIZE': '4'}, r'stage1\.batch_size is 4, but 4 processes .* at least 8'),
    ],
)
def test_unsupported_hardware_settings_are_refused_before_anything_is_loaded(
    tmp_path, monkeypatch, changes, environment, message
):
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ConfigurationError, match=message):
        train(config_for(tmp_path / 'no data set at all', tmp_path / 'run', **changes))
