"""The mini U-Net of the NimbRo-OP2X paper (arXiv 1810.08395).

A ResNet18 encoder, lateral skip connections, and a decoder that stops at a quarter of the input's size. Comments give
tensor shapes at width multiplier 1; H/4 means ceil(H/4).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.limits import WIDTH_MULT_RANGE, scaled_channels

DECODER_CHANNELS = 128


class Encoder(nn.Module):
    """torchvision's ResNet18 up to layer4. The modules keep their names, so that torchvision's weights can be loaded.

    Args:
        width_mult: factor on the channels of every layer.

    Attributes:
        channels: of the four outputs.
    """

    def __init__(self, width_mult: float = 1.0) -> None:
        super().__init__()
        trunk = resnet18(weights=None)
        if width_mult != 1:
            _change_width(trunk, width_mult)
        self.channels = tuple(scaled_channels(channels, width_mult) for channels in (64, 128, 256, 512))
        self.conv1, self.bn1, self.relu, self.maxpool = trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return features of strides 4, 8, 16 and 32 of normalized images (N, 3, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (N, 64, H/4, W/4)
        c2 = self.layer1(x)  # (N, 64, H/4, W/4)
        c3 = self.layer2(c2)  # (N, 128, H/8, W/8)
        c4 = self.layer3(c3)  # (N, 256, H/16, W/16)
        c5 = self.layer4(c4)  # (N, 512, H/32, W/32)
        return c2, c3, c4, c5


def _change_width(trunk: nn.Module, width_mult: float) -> None:
    """Replace every convolution and norm of a ResNet by one of scaled width, initialized as torchvision does."""
    for parent in list(trunk.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.BatchNorm2d(scaled_channels(child.num_features, width_mult)))
            elif isinstance(child, nn.Conv2d):
                rgb = child.in_channels == 3
                convolution = nn.Conv2d(
                    3 if rgb else scaled_channels(child.in_channels, width_mult),
                    scaled_channels(child.out_channels, width_mult),
                    child.kernel_size,  # type: ignore[arg-type]
                    stride=child.stride,  # type: ignore[arg-type]
                    padding=child.padding,  # type: ignore[arg-type]
                    bias=False,
                )
                nn.init.kaiming_normal_(convolution.weight, mode='fan_out', nonlinearity='relu')
                setattr(parent, name, convolution)


class UpBlock(nn.Module):
    """Activation, transposed convolution to twice the size, concatenation with a lateral connection.

    Args:
        in_channels: of the features from below.
        lateral_channels: of the encoder's features.
        out_channels: of the transposed convolution and of the lateral; the output has twice as many.
        normalize: apply batch norm before the activation.
    """

    def __init__(self, in_channels: int, lateral_channels: int, out_channels: int, *, normalize: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels) if normalize else nn.Identity()
        self.relu = nn.ReLU()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)
        self.lateral = nn.Conv2d(lateral_channels, out_channels, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return (N, 256, H, W) from x (N, C, h, w) and skip (N, L, H, W), where H is 2h or 2h - 1, W likewise."""
        x = self.up(self.relu(self.norm(x)))  # (N, 128, 2h, 2w)
        # Crop to the size of the skip, which is smaller by one where it is odd. `output_size=` would do the same, but
        # cannot be exported with dynamic sizes.
        x = x[:, :, : skip.shape[2], : skip.shape[3]]  # (N, 128, H, W)
        return torch.cat((x, self.lateral(skip)), dim=1)  # (N, 256, H, W)


class MiniSegNet(nn.Module):
    """The whole network, from images to class logits at a quarter of their size.

    Args:
        num_classes: channels of the output.
        width_mult: factor on the channels of all layers, 0.25 to 2 (A. Howard et al., "MobileNets", arXiv 1704.04861,
            section 3.3). 1 is the paper's network and the only width with ImageNet weights.

    Raises:
        ConfigurationError: the width multiplier is out of range.
    """

    def __init__(self, num_classes: int = 4, width_mult: float = 1.0) -> None:
        super().__init__()
        check_width(width_mult)
        self.width_mult = width_mult
        self.encoder = Encoder(width_mult)
        c2, c3, c4, c5 = self.encoder.channels
        width = self.decoder_channels = scaled_channels(DECODER_CHANNELS, width_mult)
        self.up1 = UpBlock(c5, c4, width, normalize=False)
        self.up2 = UpBlock(2 * width, c3, width, normalize=True)
        self.up3 = UpBlock(2 * width, c2, width, normalize=True)
        self.head = nn.Sequential(
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, num_classes, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the class logits of a batch of images.

        Args:
            images: (N, 3, H, W) float RGB, from :func:`~minisegnet_core.preprocessing.normalize`; H and W at least 64.

        Returns:
            (N, classes, ceil(H/4), ceil(W/4)) float logits.
        """
        c2, c3, c4, c5 = self.encoder(images)  # 64, 128, 256, 512 channels at strides 4, 8, 16, 32
        x = self.up1(c5, c4)  # (N, 256, H/16, W/16)
        x = self.up2(x, c3)  # (N, 256, H/8, W/8)
        x = self.up3(x, c2)  # (N, 256, H/4, W/4)
        logits: Tensor = self.head(x)  # (N, classes, H/4, W/4)
        return logits


def check_width(width_mult: float) -> None:
    """Raise ConfigurationError for a width multiplier out of range."""
    smallest, largest = WIDTH_MULT_RANGE
    if not smallest <= width_mult <= largest:
        raise ConfigurationError(f'width_mult is {width_mult!r}; it must be {smallest} to {largest:g}')
