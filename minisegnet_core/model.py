"""The mini U-Net of the NimbRo-OP2X paper (arXiv 1810.08395): ResNet18 encoder, lateral skips, a decoder that stops at
a quarter of the input. Read from top to bottom; the assembled network stands last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.limits import WIDTH_MULT_RANGE

DECODER_CHANNELS = 128
CHANNEL_DIVISOR = 8
"""Channels are rounded to multiples of it, which vector instructions want."""

OUTPUT_STRIDE = 4


def scaled(channels: int, width_mult: float) -> int:
    """So many channels of a network whose full width has ``channels``: the nearest multiple of CHANNEL_DIVISOR."""
    return max(CHANNEL_DIVISOR, round(channels * width_mult / CHANNEL_DIVISOR) * CHANNEL_DIVISOR)


class Encoder(nn.Module):
    """torchvision's ResNet18 up to layer4, giving the features of strides 4, 8, 16 and 32.

    The modules keep torchvision's names, so its weights load as they are.

    Args:
        width_mult: factor on the channels of every layer.
    """

    def __init__(self, width_mult: float = 1.0) -> None:
        super().__init__()
        trunk = resnet18(weights=None)
        if width_mult != 1:
            _change_width(trunk, width_mult)
        self.channels = tuple(scaled(channels, width_mult) for channels in (64, 128, 256, 512))
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


def _change_width(trunk: nn.Module, width_mult: float) -> None:
    """Makes every convolution and norm of a ResNet anew with other numbers of channels, initialised as torchvision
    does it.
    """
    for parent in list(trunk.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.BatchNorm2d(scaled(child.num_features, width_mult)))
            elif isinstance(child, nn.Conv2d):
                rgb = child.in_channels == 3
                convolution = nn.Conv2d(
                    3 if rgb else scaled(child.in_channels, width_mult),
                    scaled(child.out_channels, width_mult),
                    child.kernel_size,  # type: ignore[arg-type]
                    stride=child.stride,  # type: ignore[arg-type]
                    padding=child.padding,  # type: ignore[arg-type]
                    bias=False,
                )
                nn.init.kaiming_normal_(convolution.weight, mode='fan_out', nonlinearity='relu')
                setattr(parent, name, convolution)


class UpBlock(nn.Module):
    """Activation, transposed convolution to twice the size, concatenation with the lateral of that size."""

    def __init__(self, in_channels: int, lateral_channels: int, out_channels: int, *, normalize: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels) if normalize else nn.Identity()
        self.relu = nn.ReLU()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)
        self.lateral = nn.Conv2d(lateral_channels, out_channels, 1)

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
        width_mult: width multiplier (A. Howard et al., "MobileNets", arXiv 1704.04861, section 3.3): factor on the
            channels of all layers of encoder and decoder, 0.25 to 2. 1 is the paper's network, the only one that
            ImageNet weights fit. Shapes in the comments are at 1.

    Raises:
        ConfigurationError: the multiplier is out of range.
    """

    def __init__(self, num_classes: int = 4, width_mult: float = 1.0) -> None:
        super().__init__()
        check_width(width_mult)
        self.width_mult = width_mult
        self.encoder = Encoder(width_mult)
        c2, c3, c4, c5 = self.encoder.channels
        width = self.decoder_channels = scaled(DECODER_CHANNELS, width_mult)
        self.up1 = UpBlock(c5, c4, width, normalize=False)
        self.up2 = UpBlock(2 * width, c3, width, normalize=True)
        self.up3 = UpBlock(2 * width, c2, width, normalize=True)
        self.head = nn.Sequential(
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, num_classes, 3, padding=1),
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


def check_width(width_mult: float) -> None:
    """Raises ConfigurationError for a width multiplier out of range."""
    smallest, largest = WIDTH_MULT_RANGE
    if not smallest <= width_mult <= largest:
        raise ConfigurationError(f'width_mult is {width_mult!r}; it must be {smallest} to {largest:g}')
