"""The network: number of parameters, shapes, equality with plain functions, and the sources of its weights."""

import pytest

torch = pytest.importorskip('torch', reason='the network needs PyTorch')

from torch.nn import functional
from torchvision.models import ResNet18_Weights, resnet18

from minisegnet_core.errors import ConfigurationError, ModelError
from minisegnet_core.model import MiniSegNet, scaled_channels
from minisegnet_core.training.config import TrainConfig
from minisegnet_core.training.starting_model import load_encoder_weights


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return MiniSegNet().eval()


def test_the_number_of_parameters_is_that_of_the_design(network):
    assert sum(p.numel() for p in network.parameters()) == 12_425_028


@pytest.mark.parametrize('size', [(64, 64), (65, 99), (243, 331), (240, 320), (130, 66)])
def test_the_output_is_a_quarter_of_the_input_rounded_up(network, size):
    with torch.inference_mode():
        logits = network(torch.zeros(1, 3, *size))
    assert logits.shape == (1, 4, -(-size[0] // 4), -(-size[1] // 4))


def test_the_number_of_classes_is_that_of_the_output_channels():
    assert MiniSegNet(7)(torch.zeros(2, 3, 64, 64)).shape == (2, 7, 16, 16)


def test_the_network_equals_the_design_written_in_plain_functions(network):
    torch.manual_seed(1)
    images = torch.randn(2, 3, 97, 131)
    w = network.state_dict()
    trunk = resnet18(weights=None).eval()
    trunk.load_state_dict({k[8:]: v for k, v in w.items() if k.startswith('encoder.')}, strict=False)

    def up(x, block):
        return functional.conv_transpose2d(
            x, w[f'{block}.up.weight'], w[f'{block}.up.bias'], stride=2, padding=1, output_padding=1
        )

    def batch_norm(x, name):
        keys = ('running_mean', 'running_var', 'weight', 'bias')
        return functional.batch_norm(x, *(w[f'{name}.{key}'] for key in keys))

    def join(x, skip, block):
        lateral = functional.conv2d(skip, w[f'{block}.lateral.weight'], w[f'{block}.lateral.bias'])
        return torch.cat([x[..., : lateral.shape[-2], : lateral.shape[-1]], lateral], 1)

    with torch.inference_mode():
        x = trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(images))))
        c2 = trunk.layer1(x)
        c3 = trunk.layer2(c2)
        c4 = trunk.layer3(c3)
        c5 = trunk.layer4(c4)
        x = join(up(c5.relu(), 'up1'), c4, 'up1')
        x = join(up(batch_norm(x, 'up2.norm').relu(), 'up2'), c3, 'up2')
        x = join(up(batch_norm(x, 'up3.norm').relu(), 'up3'), c2, 'up3')
        expected = functional.conv2d(batch_norm(x, 'head.0').relu(), w['head.2.weight'], w['head.2.bias'], padding=1)
        torch.testing.assert_close(network(images), expected)


def test_forward_has_no_state(network):
    before = dict(vars(network))
    with torch.inference_mode():
        first = network(torch.ones(1, 3, 64, 96))
        network(torch.zeros(1, 3, 128, 128))
        again = network(torch.ones(1, 3, 64, 96))
    assert torch.equal(first, again)
    assert vars(network) == before


def test_the_encoder_loads_torchvisions_file_unchanged(tmp_path):
    trunk = resnet18(weights=None)
    torch.save(trunk.state_dict(), tmp_path / 'resnet18.pth')
    model = MiniSegNet()
    load_encoder_weights(model, str(tmp_path / 'resnet18.pth'))
    assert torch.equal(model.encoder.conv1.weight, trunk.conv1.weight)
    assert torch.equal(model.encoder.layer4[1].bn2.running_var, trunk.layer4[1].bn2.running_var)


def test_a_failed_download_of_imagenet_weights_names_the_alternatives(monkeypatch):
    def offline(*_, **__):
        raise OSError('no route to host')

    monkeypatch.setattr(ResNet18_Weights, 'get_state_dict', offline)
    with pytest.raises(
        ModelError, match=r'--encoder-weights FILE, or start from random weights with --encoder-weights none'
    ):
        load_encoder_weights(MiniSegNet(), 'imagenet')


def test_a_file_without_the_encoder_is_refused(tmp_path):
    torch.save({'weight': torch.zeros(3)}, tmp_path / 'other.pth')
    with pytest.raises(ModelError, match='does not hold the weights of a ResNet18'):
        load_encoder_weights(MiniSegNet(), str(tmp_path / 'other.pth'))


@pytest.mark.parametrize(('width_mult', 'channels', 'decoder'), [(0.5, (32, 64, 128, 256), 64),
                                                                 (0.75, (48, 96, 192, 384), 96)])  # fmt: skip
def test_the_width_scales_every_layer(width_mult, channels, decoder):
    model = MiniSegNet(4, width_mult).eval()
    with torch.inference_mode():
        features = model.encoder(torch.zeros(1, 3, 65, 99))
        logits = model(torch.zeros(1, 3, 65, 99))
    assert tuple(f.shape[1] for f in features) == channels == model.encoder.channels
    assert logits.shape == (1, 4, 17, 25)
    assert {block.lateral.out_channels for block in (model.up1, model.up2, model.up3)} == {decoder}
    with torch.device('meta'):
        full = MiniSegNet(4).state_dict()
    for name, value in model.state_dict().items():
        # Colour channels, kernel sizes and classes stay; all other dimensions scale with the width.
        assert tuple(value.shape) == tuple(n if n in (1, 3, 4, 7) else n * width_mult for n in full[name].shape), name


def test_half_the_width_has_a_quarter_of_the_parameters():
    with torch.device('meta'):
        full, half = (sum(p.numel() for p in MiniSegNet(4, width).parameters()) for width in (1, 0.5))
    assert half / full == pytest.approx(0.25, rel=0.01)


def test_channel_counts_are_multiples_of_eight():
    assert [scaled_channels(64, width) for width in (1, 0.75, 0.6, 0.3, 0.01)] == [64, 48, 40, 16, 8]


def test_a_narrow_encoder_is_initialized_as_torchvision_does():
    """He initialization by outgoing connections: standard deviation sqrt(2 / (9 * channels))."""
    torch.manual_seed(0)
    weight = MiniSegNet(4, 0.5).encoder.layer4[0].conv2.weight
    assert float(weight.detach().std()) == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)


@pytest.mark.parametrize('width_mult', [0.0, 0.2, 2.1, float('nan')])
def test_widths_out_of_range_are_refused(width_mult):
    with pytest.raises(ConfigurationError, match=r'width_mult is .*0\.25 to 2'):
        MiniSegNet(4, width_mult)


def test_imagenet_weights_fit_width_one_only():
    with torch.device('meta'):
        model = MiniSegNet(4, 0.5)
    with pytest.raises(ModelError, match=r'no ImageNet weights for width_mult 0\.5, only for 1'):
        load_encoder_weights(model, 'imagenet')


def test_imagenet_weights_with_another_width_are_a_configuration_error():
    TrainConfig(data='d', width_mult=0.5, encoder_weights='none')
    TrainConfig(data='d', width_mult=0.5, encoder_weights='narrow.safetensors')
    with pytest.raises(ConfigurationError, match=r'width_mult is 0\.5; it must be 1 with encoder_weights imagenet'):
        TrainConfig(data='d', width_mult=0.5)
    with pytest.raises(ConfigurationError, match=r'width_mult is 3; it must be 0\.25 to 2'):
        TrainConfig(data='d', width_mult=3, encoder_weights='none')


def test_an_encoder_of_another_width_is_refused(tmp_path):
    torch.save(MiniSegNet(4, 0.5).state_dict(), tmp_path / 'narrow.pth')
    with pytest.raises(ModelError, match='ResNet18 encoder of width_mult 1'):
        load_encoder_weights(MiniSegNet(), str(tmp_path / 'narrow.pth'))
    model = MiniSegNet(7, 0.5)
    load_encoder_weights(model, str(tmp_path / 'narrow.pth'))
