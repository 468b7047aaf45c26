"""The same evaluation wherever its parts run: here, in threads, in processes, on a cluster; and wrong use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from minisegnet_core.commands.evaluate import main as evaluate
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.evaluation.job import DatasetWork, do_all, model_facts, open_executor, segmenter_for
from minisegnet_core.resources import models_directory
from minisegnet_ros.commands.evaluate_bag import file_names, plan_of
from minisegnet_ros.commands.evaluate_bag import main as evaluate_bag
from support.recordings import ENGINE, segmenter_settings, write_bag

pytestmark = pytest.mark.skipif(
    not (models_directory() / 'minisegnet.onnx').is_file(), reason='the shipped model is not in this tree'
)


def comparable(done) -> list:
    return [
        {k: v for k, v in s.record().items() if k != 'latency_ms'} | {'png': s.labels}
        for d in done
        for s in d.result.scores
    ]


@pytest.mark.parametrize(
    'kind', ['threads', pytest.param('processes', marks=pytest.mark.slow), pytest.param('dask', marks=pytest.mark.slow)]
)
def test_results_are_the_same_wherever_they_run(shapes_dataset, kind):
    pytest.importorskip('openvino')
    settings = segmenter_settings(ENGINE)
    whole = do_all([DatasetWork(shapes_dataset, 'train')], settings)
    parts = [DatasetWork(shapes_dataset, 'train', (k, 3)) for k in range(3)]
    with ExitStack() as stack:
        if kind == 'dask':
            distributed = pytest.importorskip('distributed')
            local = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
            stack.enter_context(local)
            executor = stack.enter_context(open_executor(1, local.scheduler_address))
        else:
            executor = stack.enter_context(ThreadPoolExecutor(1) if kind == 'threads' else open_executor(2, ''))
        found = do_all(parts, settings, executor)
    assert comparable(found) == comparable(whole)
    assert found[0].facts == whole[0].facts == model_facts(segmenter_for(settings))
    kept = sorted((k for d in found for k in d.worst), key=lambda k: k.order)[:6]
    assert [(k.score.name, k.image) for k in kept] == [(k.score.name, k.image) for k in whole[0].worst]


def test_workers_and_cluster_exclude_each_other():
    with open_executor(1, '') as executor:
        assert executor is None
    for workers, cluster, text in ((2, 'tcp://somewhere', 'give one of them'), (0, '', 'must be 1 or more')):
        with pytest.raises(ConfigurationError, match=text), open_executor(workers, cluster):
            pass


def test_wrong_use_is_one_sentence(shapes_dataset, tmp_path, capsys):
    bag = write_bag(tmp_path / 'b_', 1)
    output = ['--output', str(tmp_path / 'o')]
    for call, arguments, text in (
        (evaluate, [str(bag)], 'use evaluate-bag'),
        (evaluate, [str(tmp_path / 'gone')], 'no data set'),
        (evaluate, [str(shapes_dataset), '--labels', 'x'], 'brings its own truth'),
        (evaluate_bag, [str(tmp_path / 'gone.bag')], 'there is no ROS bag'),
        (evaluate_bag, [str(bag), '--live', '--workers', '2'], 'one bag after the other'),
        (evaluate_bag, [str(bag), '--live', '--rate', '0'], 'must be above 0'),
    ):
        assert call([*arguments, *output], 'x') == 2
        assert text in capsys.readouterr().err


def test_names_of_files_differ(tmp_path):
    from minisegnet_core.evaluation.sources.bags import BagPart, BagQuestion

    parts = [BagPart(Path('a/m.bag'), '/x/y'), BagPart(Path('b/m.mcap'), '/x'), BagPart(Path('b/m.mcap'), '/z')]
    assert file_names(parts) == ['m', 'm_x', 'm_z']
    assert file_names([BagPart(Path(f'{k}/m.bag'), '/x') for k in 'ab']) == ['m', 'm_2']
    plan = plan_of([tmp_path / 'gone.bag', write_bag(tmp_path / 'b_', 2)], BagQuestion())
    assert (plan.images, len(plan.parts), len(plan.failures)) == (2, 1, 1)


def test_dataset_parts_cover_it_once(shapes_dataset):
    from minisegnet_core.evaluation.sources.files import DatasetSource

    dataset = open_dataset(shapes_dataset)
    parts = [DatasetSource(dataset, 'train', dataset.classes, (k, 3)) for k in range(3)]
    assert [[f.index for f in part] for part in parts] == [[0, 1], [2, 3, 4], [5, 6, 7]]
