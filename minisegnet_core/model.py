"""The mini U-Net of the NimbRo-OP2X paper (arXiv 1810.08395): ResNet18 encoder, lateral skips, a decoder that stops at
a quarter of the input. Read from top to bottom; the assembled network stands last.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18

from minisegnet_core.errors import ModelError

DECODER_CHANNELS = 128
OUTPUT_STRIDE = 4


class Encoder(nn.Module):
    """torchvision's ResNet18 up to layer4, giving the features of strides 4, 8, 16 and 32.

    The modules keep torchvision's names, so its weights load as they are.
    """

    channels = (64, 128, 256, 512)

    def __init__(self) -> None:
        super().__init__()
        trunk = resnet18(weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, 3, H, W) to features of strides 4, 8, 16, 32; each size is the input's over the stride, rounded up."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (N, 64, H/4, W/4)
        c2 = self.layer1(x)  # (N, 64, H/4, W/4)
        c3 = self.layer2(c2)  # (N, 128, H/8, W/8)
        c4 = self.layer3(c3)  # (N, 256, H/16, W/16)
        c5 = self.layer4(c4)  # (N, 512, H/32, W/32)
        return c2, c3, c4, c5


class UpBlock(nn.Module):
    """Activation, transposed convolution to twice the size, concatenation with the lateral of that size."""

    def __init__(self, in_channels: int, lateral_channels: int, *, normalize: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels) if normalize else nn.Identity()
        self.relu = nn.ReLU()
        self.up = nn.ConvTranspose2d(in_channels, DECODER_CHANNELS, 3, stride=2, padding=1, output_padding=1)
        self.lateral = nn.Conv2d(lateral_channels, DECODER_CHANNELS, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(N, C, h, w) and the skip (N, L, H, W) with H in 2h-1..2h to (N, 256, H, W)."""
        x = self.up(self.relu(self.norm(x)))  # (N, 128, 2h, 2w)
        # Cut to the skip's size, which is one less where it was odd. `output_size=` would do the same, but its result
        # cannot be exported with dynamic size.
        x = x[:, :, : skip.shape[2], : skip.shape[3]]  # (N, 128, H, W)
        return torch.cat((x, self.lateral(skip)), dim=1)  # (N, 256, H, W)


class MiniSegNet(nn.Module):
    """The whole network: images in, class logits at a quarter of their size out.

    Args:
        num_classes: channels of the output.
    """

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__()
        c2, c3, c4, c5 = Encoder.channels
        self.encoder = Encoder()
        self.up1 = UpBlock(c5, c4, normalize=False)
        self.up2 = UpBlock(2 * DECODER_CHANNELS, c3, normalize=True)
        self.up3 = UpBlock(2 * DECODER_CHANNELS, c2, normalize=True)
        self.head = nn.Sequential(
            nn.BatchNorm2d(2 * DECODER_CHANNELS),
            nn.ReLU(),
            nn.Conv2d(2 * DECODER_CHANNELS, num_classes, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Class logits of a batch of images.

        Args:
            images: (N, 3, H, W) float, RGB, normalised with the model's mean and std; H, W at least 64.

        Returns:
            (N, classes, ceil(H/4), ceil(W/4)) float logits.
        """
        c2, c3, c4, c5 = self.encoder(images)
        x = self.up1(c5, c4)  # (N, 256, H/16, W/16)
        x = self.up2(x, c3)  # (N, 256, H/8, W/8)
        x = self.up3(x, c2)  # (N, 256, H/4, W/4)
        logits: Tensor = self.head(x)  # (N, classes, H/4, W/4)
        return logits


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
        raise ModelError(f'{source} does not hold the weights of a ResNet18 encoder: {error}') from error


def _read_encoder_file(path: Path) -> dict[str, Tensor]:
    from minisegnet_core.checkpoint import read_state_dict

    state = read_state_dict(path)
    prefix = 'encoder.'
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return own or state
