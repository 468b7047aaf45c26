"""Settings of a training. ``config/train.yaml`` holds the same values with their defaults.

Values are validated when a configuration is created, before any data or weights are read; see
:mod:`minisegnet_core.settings`. The field docstrings are the help texts of ``minisegnet train``.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from minisegnet_core.limits import WIDTH_MULT_RANGE
from minisegnet_core.settings import require, settings_class

Policy = Literal['triangular', 'one_cycle', 'fixed']
Resolution = Literal['half', 'full']
Precision = Literal['auto', 'float32', 'bfloat16', 'float16']

Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
CropSide = Annotated[int, Field(ge=64, multiple_of=4)]

SOCCER_WEIGHTS = {'background': 1.0, 'ball': 3.0, 'line': 2.0, 'field': 1.0}
"""The default class weights of data sets with exactly these classes."""


def _as_text(value: Any) -> Any:
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    return os.path.expanduser(value) if isinstance(value, str) else value


PathText = Annotated[str, BeforeValidator(_as_text)]
"""A path as text, which YAML and checkpoints hold; ``pathlib`` paths are accepted, and ``~`` is the home folder."""


@settings_class
class StageConfig:
    """One stage of the training schedule."""

    epochs: Count = 30
    """Passes over the training images. 0 leaves the stage out."""
    resolution: Resolution = 'half'
    """Size of the images: the half-resolution copy of the data set, or the images themselves."""
    encoder: Literal['frozen', 'trained'] = 'trained'
    """`frozen` keeps the encoder's weights and batch-norm statistics, `trained` trains all layers."""
    lr: Positive | Literal['auto'] = 1e-3
    """Maximum learning rate. `auto` takes lr and base_lr from an LR range test before the stage."""
    base_lr: Positive = 1e-4
    """Minimum learning rate. The policy moves between base_lr and lr."""
    policy: Policy = 'triangular'
    """Course of the learning rate: `triangular` (one triangle every cycle_epochs), `one_cycle` (one rise, then a fall
    to base_lr / 10 over the rest of the stage) or `fixed` (lr throughout)."""
    cycle_epochs: Positive = 5.0
    """Epochs of one triangle."""
    batch_size: Annotated[int, Field(ge=2)] = 16
    """Images per optimizer step, summed over all processes."""
    accumulation: PositiveCount = 1
    """Parts into which each process splits its images of a step, to save memory. The loss is normalized over the whole
    batch; batch norm sees one part at a time."""
    images: Count = 0
    """Images drawn at random for each epoch. 0 uses all."""

    @model_validator(mode='after')
    def _check(self) -> StageConfig:
        if self.lr != 'auto':
            require(self.base_lr <= self.lr, 'base_lr', self.base_lr, f'above 0 and at most lr ({self.lr:g})')
        parts = f'at most {self.batch_size // 2}, so that each part of batch_size {self.batch_size} has 2 images'
        require(self.batch_size >= 2 * self.accumulation, 'accumulation', self.accumulation, parts)
        enough = self.images == 0 or self.images >= self.batch_size
        require(enough, 'images', self.images, f'0, or at least batch_size ({self.batch_size})')
        return self


@settings_class
class AugmentConfig:
    """Random changes of training images. Geometry moves image and labels together; labels are never interpolated."""

    enabled: bool = True
    """Change training images at random. Validation images are never changed."""
    flip: Fraction = 0.5
    """Probability of mirroring."""
    geometry: Fraction = 0.7
    """Probability of a random scale, rotation and translation."""
    scale: tuple[Positive, Positive] = (0.7, 1.6)
    """Minimum and maximum magnification. The image keeps its size; pixels from outside are ignored."""
    crop: tuple[CropSide, CropSide] | tuple[()] = ()
    """Width and height, multiples of 4, of a random crop in pixels of the stage's resolution. Empty keeps the whole
    image. A quarter of the pixels takes a quarter of the time, and images of all sizes fit into one batch."""
    foreground: Fraction = 0.0
    """Probability that a crop or magnified view shows a pixel of a randomly drawn class other than the first."""
    paste: Fraction = 0.0
    """Probability that a ball of another image is pasted on the ground. Needs a class called ball."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 10.0
    """Maximum angle in either direction, in degrees."""
    translation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Maximum shift in either direction, as a fraction of width and height."""
    photometric: Fraction = 0.7
    """Probability of a random brightness, contrast, saturation and hue."""
    brightness: Fraction = 0.4
    """Maximum relative change of the brightness."""
    contrast: Fraction = 0.3
    """Maximum relative change of the contrast."""
    saturation: Fraction = 0.4
    """Maximum relative change of the saturation."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.03
    """Maximum shift of the hue in either direction, as a fraction of the colour circle."""
    gamma: Annotated[float, Field(ge=1)] = 1.5
    """Maximum exponent of the brightness curve; the minimum is its inverse. 1 leaves the curve out."""
    blur: Fraction = 0.15
    """Probability of a Gaussian blur."""
    noise: Fraction = 0.15
    """Probability of Gaussian noise."""
    darkness: Fraction = 0.0
    """Probability of a strong underexposure with noise: a mean grey of 6 to 50 of 255."""

    @model_validator(mode='after')
    def _check(self) -> AugmentConfig:
        require(self.scale[0] <= self.scale[1], 'scale', self.scale, 'two magnifications in rising order')
        return self


@settings_class
class LossConfig:
    """Weight of each term of the training loss. 0 leaves a term out."""

    cross_entropy: NonNegative = 1.0
    """Weight of the cross-entropy per label pixel, itself weighted by class_weights."""
    dice: NonNegative = 1.0
    """Weight of one minus the soft Dice coefficient, per image and class that it shows."""
    total_variation: NonNegative = 0.0
    """Weight of the differences between neighbouring probabilities, for all classes except the line."""

    @model_validator(mode='after')
    def _check(self) -> LossConfig:
        supervised = self.cross_entropy + self.dice
        require(supervised > 0, 'cross_entropy', self.cross_entropy, 'above 0 where dice is 0: one loss is required')
        return self


@settings_class
class TrainConfig:
    """A whole training: the three stages of arXiv 1810.08395 (section on visual perception) and their context."""

    data: PathText = ''
    """Folder of the data set (dataset.yaml, images/, labels/)."""
    output: Annotated[PathText, Field(min_length=1)] = 'runs/latest'
    """Folder of the run: best.safetensors, last.ckpt, metrics.csv."""
    encoder_weights: PathText = 'imagenet'
    """Weights that the encoder starts from: `imagenet`, `none`, or a file (torchvision's ResNet18 or a checkpoint of
    minisegnet)."""
    width_mult: Annotated[float, Field(ge=WIDTH_MULT_RANGE[0], le=WIDTH_MULT_RANGE[1])] = 1.0
    """Factor on the channels of all layers. ImageNet weights exist only for 1, the paper's network. With init_from the
    width of the checkpoint is used."""
    init_from: PathText | None = None
    """Checkpoint from which the whole network starts, for fine-tuning. Replaces encoder_weights."""
    keep: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of the weights of init_from in the averaged weights that are validated and saved (WiSE-FT). 0 saves the
    trained weights; higher values forget less."""
    freeze_statistics: bool = False
    """Normalize with the batch-norm statistics of init_from and leave them unchanged. A few similar images would make
    the network worse on all others."""
    freeze_anyway: bool = False
    """Freeze the encoder in stages with `encoder: frozen` even if it starts from random weights."""
    stage1: StageConfig = StageConfig(epochs=30, resolution='half', encoder='frozen', lr=1e-3, base_lr=1e-4)
    """Epochs 0-29: half resolution, encoder frozen."""
    stage2: StageConfig = StageConfig(epochs=15, resolution='half', encoder='trained', lr=5e-4, base_lr=5e-5)
    """Epochs 30-44: half resolution, encoder trained."""
    stage3: StageConfig = StageConfig(
        epochs=35, resolution='full', encoder='trained', lr=3e-4, base_lr=3e-5, batch_size=8
    )
    """Epochs 45-79: full resolution, encoder trained."""
    loss: LossConfig = LossConfig()
    """Training loss."""
    class_weights: tuple[NonNegative, ...] | dict[str, NonNegative] | Literal['default', 'auto'] = 'default'
    """Weight of each class in the cross-entropy: by name, where classes that are not named weigh 1; or a list in the
    order of the data set's classes, where an empty list means 1 each. `auto`: from the class fractions of the training
    labels. `default`: ball 3, line 2, others 1 if the classes are background, ball, line and field; else as `auto`."""
    lr_range: tuple[Positive, Positive] = (1e-6, 1e-2)
    """Lowest and highest learning rate of the LR range test (lr: auto, and `minisegnet lr-range-test`)."""
    lr_range_epochs: PositiveCount = 2
    """Epochs over which the rate of the LR range test rises."""
    weight_decay: NonNegative = 1e-4
    """Decoupled weight decay of AdamW."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of training images."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Random seed. The same seed repeats a run."""
    repeat: dict[str, PositiveCount] = dataclasses.field(default_factory=dict)
    """How often each epoch uses the images whose name begins with PREFIX, for images that are rare and valuable. The
    longest matching prefix counts; other images are used once. Each use is augmented differently."""
    workers: Count = 2
    """Number of processes that load images. 0 loads in the training process."""
    cache_gb: NonNegative = 8.0
    """Maximum size, in 10^9 bytes, of the cache of decoded images beside the data set. The rest is decoded in each
    epoch. 0 caches nothing."""
    device: str = 'auto'
    """Device that PyTorch trains on: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:1`."""
    precision: Precision = 'auto'
    """Numeric precision of the forward pass. `auto` selects bfloat16 where the hardware supports it, else float32.
    float16 scales the loss and needs a GPU."""
    compile: bool | Literal['auto'] = 'auto'
    """Use torch.compile. `auto`: on GPUs, with crops, whose size is constant."""
    sync_batchnorm: bool = False
    """Compute batch statistics over all processes instead of per process. GPUs only."""
    tensorboard: bool = True
    """Write scalars and images for TensorBoard into the run's folder, where TensorBoard is installed."""
    curves: bool = True
    """Draw curves.png after each stage and the curves of each LR range test, where matplotlib is installed."""

    @property
    def stages(self) -> dict[str, StageConfig]:
        """The stages by name, in order."""
        return {'stage1': self.stage1, 'stage2': self.stage2, 'stage3': self.stage3}

    @property
    def starts_pretrained(self) -> bool:
        """Whether the encoder starts from trained weights."""
        return bool(self.init_from) or self.encoder_weights != 'none'

    @model_validator(mode='after')
    def _check(self) -> TrainConfig:
        used = [stage for stage in self.stages.values() if stage.epochs]
        require(bool(used), 'stage1.epochs', 0, 'above 0 in at least one stage')
        weights = self.class_weights
        listed = isinstance(weights, tuple) and bool(weights)
        require(not listed or any(weights), 'class_weights', weights, 'above 0 for one class')
        files = bool(self.init_from) and self.encoder_weights not in ('imagenet', 'none')
        require(not files, 'encoder_weights', self.encoder_weights, 'left out with init_from, which holds all weights')
        require(not self.keep or bool(self.init_from), 'keep', self.keep, '0 without init_from, whose weights it keeps')
        statistics = not self.freeze_statistics or bool(self.init_from)
        require(statistics, 'freeze_statistics', True, 'false without init_from, whose statistics it keeps')
        impossible = self.width_mult != 1 and self.encoder_weights == 'imagenet' and not self.init_from
        alternatives = '1 with encoder_weights imagenet; set encoder_weights to none or to a file'
        require(not impossible, 'width_mult', self.width_mult, alternatives)
        frozen = any(stage.encoder == 'frozen' for stage in used)
        require(frozen or not self.freeze_anyway, 'freeze_anyway', True, 'false where no stage has a frozen encoder')
        require(self.lr_range[0] < self.lr_range[1], 'lr_range', self.lr_range, 'two rates in rising order')
        return self
