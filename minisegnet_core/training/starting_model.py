"""The network at the start of a training: resumed, fine-tuned from a checkpoint, or with a pre-trained encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor
from torchvision.models import ResNet18_Weights

from minisegnet_core.checkpoint import load_checkpoint, load_weights, read_state_dict
from minisegnet_core.data.dataset import Dataset
from minisegnet_core.errors import ConfigurationError, ModelError, listed, shortened
from minisegnet_core.model import MiniSegNet
from minisegnet_core.model_files import record_from_metadata
from minisegnet_core.preprocessing import Preprocessing
from minisegnet_core.training.config import TrainConfig

ENCODER_PREFIX = 'encoder.'
CLASSIFIER_PREFIX = 'fc.'


def make_starting_model(
    config: TrainConfig, dataset: Dataset, state: dict[str, Any] | None = None
) -> tuple[MiniSegNet, Preprocessing]:
    """Return the network that a training starts from, on the CPU, and its preprocessing.

    Args:
        dataset: gives the classes.
        state: content of ``last.ckpt`` of the run that is resumed; replaces all other weights.

    Raises:
        ConfigurationError: classes or width contradict the data set or the settings.
        ModelError: weights cannot be read or downloaded.
    """
    if state:
        return _resumed_model(config, dataset, state)
    if config.init_from:
        return _fine_tuned_model(config, config.init_from, dataset)
    model = MiniSegNet(len(dataset.classes), config.width_mult)
    load_encoder_weights(model, config.encoder_weights)
    return model, Preprocessing()


def _resumed_model(config: TrainConfig, dataset: Dataset, state: dict[str, Any]) -> tuple[MiniSegNet, Preprocessing]:
    names = dataset.classes.names
    path = Path(config.output) / 'last.ckpt'
    record = record_from_metadata(state['record'], path)
    recorded = record.classes.names
    if recorded != names:
        raise ConfigurationError(
            f'a resumed run keeps its classes, {", ".join(recorded)}, but {dataset.root} has {", ".join(names)}; '
            'start a new run with another --output'
        )
    model = MiniSegNet(len(names), record.width_mult)
    load_weights(model, state['model'], path)
    return model, Preprocessing.from_dict(state['preprocessing'])


def _fine_tuned_model(config: TrainConfig, path: str, dataset: Dataset) -> tuple[MiniSegNet, Preprocessing]:
    model, record = load_checkpoint(Path(path))
    if record.classes.names != dataset.classes.names:
        raise ConfigurationError(
            f'init_from has the classes {", ".join(record.classes.names)}, but {dataset.root} has '
            f'{", ".join(dataset.classes.names)}; import the data set with the classes of the model'
        )
    if config.width_mult not in (1, record.width_mult):
        raise ConfigurationError(
            f'width_mult is {config.width_mult:g}, but init_from has {record.width_mult:g}; remove width_mult'
        )
    return model, record.preprocessing


def load_encoder_weights(model: MiniSegNet, source: str) -> None:
    """Load pre-trained weights into the encoder.

    Args:
        source: ``imagenet`` (torchvision's weights, downloaded once), ``none`` (leaves the random weights), or the path
            of a file: torchvision's ResNet18 ``.pth``, or a checkpoint of minisegnet.

    Raises:
        ModelError: the weights cannot be downloaded, or the file does not hold an encoder of the model's width.
    """
    if source == 'none':
        return
    state = _imagenet_weights(model.width_mult) if source == 'imagenet' else _encoder_weights_of(Path(source))
    state = {key: value for key, value in state.items() if not key.startswith(CLASSIFIER_PREFIX)}
    load_weights(model.encoder, state, source, f'a ResNet18 encoder of width_mult {model.width_mult:g}')
    broken = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise ModelError(f'{source} holds weights that are NaN or infinite ({listed(broken, 3)}); download it again')


def _imagenet_weights(width_mult: float) -> dict[str, Tensor]:
    if width_mult != 1:
        raise ModelError(
            f'there are no ImageNet weights for width_mult {width_mult:g}, only for 1; '
            'use --encoder-weights none, or a checkpoint of that width'
        )
    weights = ResNet18_Weights.IMAGENET1K_V1
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f'cannot download the ImageNet weights ({shortened(str(error))}). Download {weights.url} on another '
            'machine and use --encoder-weights FILE, or start from random weights with --encoder-weights none'
        ) from error


def _encoder_weights_of(path: Path) -> dict[str, Tensor]:
    """Return a ResNet18's weights from a file of its own, or from a checkpoint of minisegnet."""
    state = read_state_dict(path)
    of_encoder = {
        key.removeprefix(ENCODER_PREFIX): value for key, value in state.items() if key.startswith(ENCODER_PREFIX)
    }
    return of_encoder or state
