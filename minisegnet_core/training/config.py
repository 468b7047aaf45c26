"""Settings of a training, as validated dataclasses; ``config/train.yaml`` holds the same values.

Contradictions are found here, before any data or weights are touched, and named by the setting's own name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.limits import WIDTH_MULT_RANGE

Policy = Literal['triangular', 'one_cycle', 'fixed']
Resolution = Literal['half', 'full']
Precision = Literal['auto', 'float32', 'bfloat16', 'float16']


@dataclass
class StageConfig:
    """One stage of the schedule.

    Args:
        epochs: number of passes over the training images; 0 leaves the stage out.
        resolution: half trains on the half-resolution copy of the data set, full on its images.
        encoder: frozen keeps encoder weights and batch-norm statistics as they are, trained trains all.
        lr: highest learning rate of the stage; auto: this and base_lr come from an LR range test before the stage.
        base_lr: lowest learning rate of the stage; the policy moves between the two.
        policy: triangular (Smith 2017, one triangle every cycle_epochs), one_cycle (one rise and one long fall to
            base_lr / 10 over the whole stage), or fixed (lr throughout).
        cycle_epochs: epochs of one triangle.
        batch_size: images per optimizer step, of all processes together.
        accumulation: parts in which each process computes its images of a step, one after the other, for a smaller
            memory; the loss is normalised over the whole batch, batch norm sees one part at a time.
        images: drawn for each epoch, anew each time; 0: all of them.
    """

    epochs: int = 30
    resolution: Resolution = 'half'
    encoder: Literal['frozen', 'trained'] = 'trained'
    lr: float | Literal['auto'] = 1e-3
    base_lr: float = 1e-4
    policy: Policy = 'triangular'
    cycle_epochs: float = 5.0
    batch_size: int = 16
    accumulation: int = 1
    images: int = 0

    def check(self, name: str) -> None:
        """Raises ConfigurationError for values out of range, naming them ``name.setting``."""
        _require(self.epochs >= 0, f'{name}.epochs', self.epochs, 'at least 0')
        _require(self.resolution in get_args(Resolution), f'{name}.resolution', self.resolution, 'half or full')
        _require(self.encoder in ('frozen', 'trained'), f'{name}.encoder', self.encoder, 'frozen or trained')
        _require(self.policy in get_args(Policy), f'{name}.policy', self.policy, 'triangular, one_cycle or fixed')
        if self.lr != 'auto':
            _require(self.lr > 0, f'{name}.lr', self.lr, 'above 0, or auto')
            most = f'above 0 and at most lr ({self.lr})'
            _require(0 < self.base_lr <= self.lr, f'{name}.base_lr', self.base_lr, most)
        _require(self.cycle_epochs > 0, f'{name}.cycle_epochs', self.cycle_epochs, 'above 0')
        _require(self.batch_size >= 2, f'{name}.batch_size', self.batch_size, 'at least 2, for batch norm')
        _require(self.accumulation >= 1, f'{name}.accumulation', self.accumulation, 'at least 1')
        parts = f'such that parts of at least 2 images are left of batch_size {self.batch_size}, for batch norm'
        _require(self.batch_size >= 2 * self.accumulation, f'{name}.accumulation', self.accumulation, parts)
        enough = f'0, or at least batch_size ({self.batch_size})'
        _require(self.images == 0 or self.images >= self.batch_size, f'{name}.images', self.images, enough)


@dataclass
class AugmentConfig:
    """Random changes of training images. Geometry moves image and labels together; labels are never interpolated.

    Args:
        enabled: False leaves training images as they are. Validation images are never changed.
        flip: probability of a mirror image.
        geometry: probability of a change of scale, rotation and place.
        scale: smallest and largest magnification; the picture keeps its size, what comes from outside is ignored.
        crop: width and height of the part that is kept of each image, at a random place, in pixels of the resolution
            that is trained at, multiples of 4; empty: all of it. A quarter of the pixels takes a quarter of the time,
            and images of any sizes go together in a batch.
        foreground: probability that a crop, or a magnified view, shows a pixel of a class drawn among those of the
            image, all but the first: rare classes are seen more often.
        paste: probability that a ball of another image is pasted on the ground, as far as there is a class called ball.
        rotation: largest angle either way, degrees.
        translation: largest shift either way, as a share of width and height.
        photometric: probability of a change of brightness, contrast, saturation and hue.
        brightness, contrast, saturation: largest relative change either way.
        hue: largest shift either way, as a share of the colour circle.
        gamma: largest exponent of a brightness curve, and the inverse of the smallest; 1 leaves it out.
        blur: probability of a Gaussian blur.
        noise: probability of Gaussian noise.
        darkness: probability of far too short an exposure, down to a mean grey of 6 to 50 of 255, with noise.
    """

    enabled: bool = True
    flip: float = 0.5
    geometry: float = 0.7
    scale: list[float] = field(default_factory=lambda: [0.7, 1.6])
    crop: list[int] = field(default_factory=list)
    foreground: float = 0.0
    paste: float = 0.0
    rotation: float = 10.0
    translation: float = 0.1
    photometric: float = 0.7
    brightness: float = 0.4
    contrast: float = 0.3
    saturation: float = 0.4
    hue: float = 0.03
    gamma: float = 1.5
    blur: float = 0.15
    noise: float = 0.15
    darkness: float = 0.0

    def check(self) -> None:
        """Raises ConfigurationError for values out of range, naming them ``augment.setting``."""
        for name in ('flip', 'geometry', 'foreground', 'paste', 'photometric', 'blur', 'noise', 'darkness'):
            value = getattr(self, name)
            _require(0 <= value <= 1, f'augment.{name}', value, 'a probability, 0 to 1')
        for name in ('brightness', 'contrast', 'saturation'):
            value = getattr(self, name)
            _require(0 <= value <= 1, f'augment.{name}', value, '0 to 1')
        rising = len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1]
        _require(rising, 'augment.scale', self.scale, 'two magnifications above 0, the second not the lower')
        size = len(self.crop) == 2 and all(side >= 64 and side % 4 == 0 for side in self.crop)
        _require(not self.crop or size, 'augment.crop', self.crop, 'empty, or two multiples of 4 from 64')
        _require(0 <= self.rotation <= 180, 'augment.rotation', self.rotation, '0 to 180 degrees')
        _require(0 <= self.translation < 1, 'augment.translation', self.translation, 'at least 0 and below 1')
        _require(0 <= self.hue <= 0.5, 'augment.hue', self.hue, '0 to 0.5')
        _require(self.gamma >= 1, 'augment.gamma', self.gamma, 'at least 1')


@dataclass
class LossConfig:
    """Share of each term in the training loss; 0 leaves a term out.

    Args:
        cross_entropy: per label pixel, weighted by ``class_weights``.
        dice: one minus the soft Dice coefficient of each class in each image that shows it.
        total_variation: differences of neighbouring probabilities, of all classes but the line.
    """

    cross_entropy: float = 1.0
    dice: float = 1.0
    total_variation: float = 0.0

    def check(self) -> None:
        """Raises ConfigurationError for values out of range, naming them ``loss.setting``."""
        for name in ('cross_entropy', 'dice', 'total_variation'):
            _require(getattr(self, name) >= 0, f'loss.{name}', getattr(self, name), 'at least 0')
        some = self.cross_entropy + self.dice
        _require(some > 0, 'loss.cross_entropy + loss.dice', some, 'above 0: without either, nothing tells the truth')


@dataclass
class TrainConfig:
    """A whole training: the three stages of arXiv 1810.08395 (visual perception) and what they work on.

    Args:
        data: folder of the data set (dataset.yaml, images/, labels/).
        output: folder of the run: best.safetensors, last.ckpt, metrics.csv.
        encoder_weights: where the encoder starts: imagenet, none, or a file (torchvision's ResNet18 or a checkpoint of
            ours).
        width_mult: width multiplier: factor on the channels of all layers, 0.25 to 2. 1 is the paper's network;
            ImageNet's weights fit no other. With init_from the checkpoint's own width is taken.
        init_from: checkpoint from which the whole network starts, for fine-tuning; replaces encoder_weights.
        keep: share of the weights of init_from in those that are validated and kept, 0 to below 1: 0 takes the trained
            ones as they are, more forgets less of what the model knew (weight averaging, WiSE-FT).
        freeze_statistics: normalise by the batch-norm statistics of init_from, and leave them as they are: those of few
            images of one look spoil the network for all others.
        freeze_anyway: freeze the encoder in stage 1 even where it was never trained.
        stage1: epochs 0-29, half resolution, encoder frozen.
        stage2: epochs 30-44, half resolution, encoder trained.
        stage3: epochs 45-79, full resolution, encoder trained.
        loss: what is minimised.
        class_weights: weight of each class in the cross-entropy, in the order of the data set's classes; empty: all 1;
            auto: from the classes' shares in the training images.
        lr_range: lowest and highest rate of the LR range test (lr: auto, and the command lr-range-test).
        lr_range_epochs: epochs over which its rate rises.
        weight_decay: decoupled weight decay of AdamW.
        augment: random changes of training images.
        seed: of all random numbers; the same seed repeats a run.
        repeat: how often in each epoch those images are taken whose names begin so, for such as are few and tell much:
            {"photo_": 6}. All others are taken once. Each time another change is drawn.
        workers: processes that read images; 0 reads them in the training process.
        cache_gb: most decoded images and labels that are kept beside the data set, in 10^9 bytes, so that they are not
            decoded each epoch; what does not fit is decoded each time. 0: nothing is kept.
        device: auto (cuda where there is one), cpu, cuda, cuda:1 ... Several processes are torchrun's to start.
        precision: of the forward pass; auto takes bfloat16 where the hardware has it, else float32. float16 scales the
            loss and needs a GPU.
        compile: let torch.compile make the network's code; auto: on GPUs only, for crops, which are all of one size.
        sync_batchnorm: batch statistics over all processes instead of each one's own; GPUs only.
        tensorboard: write scalars and pictures for TensorBoard into the run's folder, where it is installed.
        curves: draw curves.png after each stage, and the curves of each range test, where matplotlib is installed.
    """

    data: str = ''
    output: str = 'runs/latest'
    encoder_weights: str = 'imagenet'
    width_mult: float = 1.0
    init_from: str | None = None
    keep: float = 0.0
    freeze_statistics: bool = False
    freeze_anyway: bool = False
    stage1: StageConfig = field(default_factory=lambda: StageConfig(30, 'half', 'frozen', 1e-3, 1e-4))
    stage2: StageConfig = field(default_factory=lambda: StageConfig(15, 'half', 'trained', 5e-4, 5e-5))
    stage3: StageConfig = field(default_factory=lambda: StageConfig(35, 'full', 'trained', 3e-4, 3e-5, batch_size=8))
    loss: LossConfig = field(default_factory=LossConfig)
    class_weights: list[float] | Literal['auto'] = field(default_factory=lambda: [1.0, 3.0, 2.0, 1.0])
    lr_range: list[float] = field(default_factory=lambda: [1e-6, 1e-2])
    lr_range_epochs: int = 2
    weight_decay: float = 1e-4
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    seed: int = 0
    repeat: dict[str, int] = field(default_factory=dict)
    workers: int = 2
    cache_gb: float = 8.0
    device: str = 'auto'
    precision: Precision = 'auto'
    compile: bool | Literal['auto'] = 'auto'
    sync_batchnorm: bool = False
    tensorboard: bool = True
    curves: bool = True

    @property
    def stages(self) -> dict[str, StageConfig]:
        """The stages by name, in their order."""
        return {'stage1': self.stage1, 'stage2': self.stage2, 'stage3': self.stage3}

    def check(self) -> None:
        """Checks every value and their agreement.

        Raises:
            ConfigurationError: names the setting, its value and what it may be.
        """
        for name, stage in self.stages.items():
            stage.check(name)
        self.augment.check()
        _require(bool(self.data), 'data', self.data, 'the folder of a data set')
        _require(bool(self.output), 'output', self.output, 'a folder')
        _require(any(s.epochs for s in self.stages.values()), 'epochs', 0, 'above 0 in at least one stage')
        self.loss.check()
        if self.class_weights and self.class_weights != 'auto':
            weights = self.class_weights
            some = min(weights) >= 0 < max(weights)
            _require(some, 'class_weights', weights, 'at least 0 each, one of them above')
        files = bool(self.init_from) and self.encoder_weights not in ('imagenet', 'none')
        _require(not files, 'encoder_weights', self.encoder_weights, 'left out where init_from brings all weights')
        _require(0 <= self.keep < 1, 'keep', self.keep, '0 to below 1')
        _require(
            not self.keep or bool(self.init_from), 'keep', self.keep, '0 without init_from, whose weights it keeps'
        )
        statistics = not self.freeze_statistics or bool(self.init_from)
        _require(statistics, 'freeze_statistics', True, 'false without init_from, whose statistics it freezes')
        smallest, largest = WIDTH_MULT_RANGE
        _require(smallest <= self.width_mult <= largest, 'width_mult', self.width_mult, f'{smallest} to {largest:g}')
        other = self.width_mult != 1 and self.encoder_weights == 'imagenet' and not self.init_from
        _require(not other, 'width_mult', self.width_mult, '1 with encoder_weights imagenet; take none, or a file')
        frozen = any(s.epochs and s.encoder == 'frozen' for s in self.stages.values())
        _require(frozen or not self.freeze_anyway, 'freeze_anyway', True, 'false where no stage has a frozen encoder')
        rising = len(self.lr_range) == 2 and 0 < self.lr_range[0] < self.lr_range[1]
        _require(rising, 'lr_range', self.lr_range, 'two rates above 0, the second the higher')
        _require(self.lr_range_epochs >= 1, 'lr_range_epochs', self.lr_range_epochs, 'at least 1')
        _require(self.weight_decay >= 0, 'weight_decay', self.weight_decay, 'at least 0')
        for prefix, times in self.repeat.items():
            _require(times >= 1, f'repeat.{prefix}', times, 'at least 1')
        _require(0 <= self.seed < 2**32, 'seed', self.seed, '0 to 4294967295')
        _require(self.workers >= 0, 'workers', self.workers, 'at least 0')
        _require(self.cache_gb >= 0, 'cache_gb', self.cache_gb, 'at least 0')
        _require(self.precision in get_args(Precision), 'precision', self.precision, ', '.join(get_args(Precision)))


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise ConfigurationError(f'{name} is {value!r}; it must be {expected}')
