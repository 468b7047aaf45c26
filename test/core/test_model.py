"""The network: its size, its shapes, the same numbers as a plain restatement, its weights' sources."""

import pytest

torch = pytest.importorskip('torch', reason='the network needs PyTorch')

from torch.nn import functional  # noqa: E402
from torchvision.models import ResNet18_Weights, resnet18  # noqa: E402

from minisegnet_core.errors import ModelError  # noqa: E402
from minisegnet_core.model import MiniSegNet, load_encoder_weights  # noqa: E402


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return MiniSegNet().eval()


def test_parameter_count(network):
    assert sum(p.numel() for p in network.parameters()) == 12_425_028


@pytest.mark.parametrize('size', [(64, 64), (65, 99), (243, 331), (240, 320), (130, 66)])
def test_output_is_a_quarter_rounded_up(network, size):
    with torch.inference_mode():
        logits = network(torch.zeros(1, 3, *size))
    assert logits.shape == (1, 4, -(-size[0] // 4), -(-size[1] // 4))


def test_other_numbers_of_classes():
    assert MiniSegNet(7)(torch.zeros(2, 3, 64, 64)).shape == (2, 7, 16, 16)


def test_equals_a_restatement_in_plain_functions(network):
    """The design's words, one after the other, on the same weights."""
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


def test_forward_keeps_no_state(network):
    before = dict(vars(network))
    with torch.inference_mode():
        first = network(torch.ones(1, 3, 64, 96))
        network(torch.zeros(1, 3, 128, 128))
        again = network(torch.ones(1, 3, 64, 96))
    assert torch.equal(first, again)
    assert vars(network) == before


def test_encoder_takes_torchvisions_file_as_it_is(tmp_path):
    trunk = resnet18(weights=None)
    torch.save(trunk.state_dict(), tmp_path / 'resnet18.pth')
    model = MiniSegNet()
    load_encoder_weights(model, str(tmp_path / 'resnet18.pth'))
    assert torch.equal(model.encoder.conv1.weight, trunk.conv1.weight)
    assert torch.equal(model.encoder.layer4[1].bn2.running_var, trunk.layer4[1].bn2.running_var)


def test_imagenet_that_cannot_be_fetched_says_what_to_do(monkeypatch):
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
