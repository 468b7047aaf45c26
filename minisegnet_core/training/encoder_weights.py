"""The encoder's weights before a training: ImageNet's, random ones, or those of a file."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from torchvision.models import ResNet18_Weights

from minisegnet_core.checkpoint import read_state_dict
from minisegnet_core.errors import ModelError
from minisegnet_core.model import MiniSegNet


def load_encoder_weights(model: MiniSegNet, source: str) -> None:
    """Gives the encoder its starting weights.

    Args:
        source: ``imagenet`` (torchvision's, downloaded once), ``none`` (random), or the path of a file: torchvision's
            ResNet18 ``.pth``, or a checkpoint of ours.

    Raises:
        ModelError: the weights cannot be fetched or the file does not hold them; the text says what to do.
    """
    if source == 'none':
        return
    if source == 'imagenet':
        if model.width_mult != 1:
            raise ModelError(
                f'there are no ImageNet weights for width_mult {model.width_mult:g}, only for 1; take '
                '--encoder-weights none, or a FILE: a checkpoint of that width'
            )
        weights = ResNet18_Weights.IMAGENET1K_V1
        try:
            state = weights.get_state_dict(progress=True, check_hash=True)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f'the ImageNet weights could not be fetched ({error}). Fetch {weights.url} on another machine and '
                'give it with --encoder-weights FILE, or start from random weights with --encoder-weights none'
            ) from error
    else:
        state = _read_encoder_file(Path(source))
    # fc is ResNet18's classifier, which this network has not.
    state = {key: value for key, value in state.items() if not key.startswith('fc.')}
    try:
        model.encoder.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f'{source} does not hold the weights of a ResNet18 encoder of width_mult {model.width_mult:g}: {error}'
        ) from error


def _read_encoder_file(path: Path) -> dict[str, Tensor]:
    state = read_state_dict(path)
    prefix = 'encoder.'
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return own or state
