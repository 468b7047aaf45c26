"""Jobs give equal results wherever they run: in this process, in threads, in processes, or on a cluster."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from minisegnet_core.commands.evaluate import main as evaluate
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.evaluation.job import (
    BagJob,
    DatasetJob,
    FilesJob,
    Outputs,
    model_facts,
    open_executor,
    run_jobs,
    segmenter_for,
)
from minisegnet_core.evaluation.plan import file_names, plan_bags
from minisegnet_core.evaluation.run import EvaluationOptions
from minisegnet_core.evaluation.scoring.frames_file import write_frames
from minisegnet_core.evaluation.sources.bags import BagPart
from minisegnet_core.evaluation.sources.files import DatasetSource
from minisegnet_core.resources import models_directory
from minisegnet_ros.commands.evaluate_bag import main as evaluate_bag
from support.recordings import CONFIG, write_bag

pytestmark = pytest.mark.skipif(
    not (models_directory() / 'minisegnet.onnx').is_file(), reason='the shipped model is missing'
)


def comparable(results, folder: Path) -> list:
    """Return the scores as they are stored, without latencies, and the predicted labels."""
    scores = [score for result in results for score in result.result.scores]
    write_frames(scores, folder / 'frames.jsonl')
    records = [json.loads(line) for line in (folder / 'frames.jsonl').read_text().splitlines()]
    return [record | {'latency_ms': None, 'png': score.labels} for record, score in zip(records, scores, strict=True)]


@pytest.mark.parametrize(
    'kind', ['threads', pytest.param('processes', marks=pytest.mark.slow), pytest.param('dask', marks=pytest.mark.slow)]
)
def test_results_are_equal_wherever_they_run(shapes_dataset, tmp_path, kind):
    pytest.importorskip('openvino')
    whole = run_jobs([DatasetJob(shapes_dataset, 'train')], CONFIG)
    parts = [DatasetJob(shapes_dataset, 'train', (k, 3)) for k in range(3)]
    with ExitStack() as stack:
        if kind == 'dask':
            distributed = pytest.importorskip('distributed')
            local = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
            stack.enter_context(local)
            executor = stack.enter_context(open_executor(1, local.scheduler_address))
        else:
            executor = stack.enter_context(ThreadPoolExecutor(1) if kind == 'threads' else open_executor(2, ''))
        found = run_jobs(parts, CONFIG, executor)
    assert comparable(found, tmp_path) == comparable(whole, tmp_path)
    assert found[0].facts == whole[0].facts == model_facts(segmenter_for(CONFIG))
    kept = sorted((k for d in found for k in d.worst), key=lambda k: k.order)[:6]
    assert [(k.score.name, k.image) for k in kept] == [(k.score.name, k.image) for k in whole[0].worst]


def test_workers_and_cluster_exclude_each_other():
    with open_executor(1, '') as executor:
        assert executor is None
    for workers, cluster, text in ((2, 'tcp://somewhere', 'give one of them'), (0, '', 'must be at least 1')):
        with pytest.raises(ConfigurationError, match=text):
            EvaluationOptions(workers=workers, cluster=cluster)


def test_wrong_use_is_reported_in_one_sentence(shapes_dataset, tmp_path, capsys):
    bag = write_bag(tmp_path / 'b_', 1)
    output = ['--output', str(tmp_path / 'o')]
    for call, arguments, text in (
        (evaluate, [str(bag)], 'use evaluate-bag'),
        (evaluate, [str(tmp_path / 'gone')], 'give the folder of a data set'),
        (evaluate, [str(shapes_dataset), '--labels', str(tmp_path)], 'has its own ground truth'),
        (evaluate_bag, [str(tmp_path / 'gone.bag')], 'there is no ROS bag'),
        (evaluate_bag, [str(bag), '--live', '--workers', '2'], 'one bag after the other'),
    ):
        assert call([*arguments, *output], 'x') == 2
        assert text in capsys.readouterr().err
    with pytest.raises(SystemExit, match='2'):
        evaluate_bag([str(bag), '--live', '--rate', '0', *output], 'x')
    assert '--rate is 0; it must be above 0' in capsys.readouterr().err


def test_every_part_has_a_different_file_name():
    parts = [BagPart(Path('a/m.bag'), '/x/y'), BagPart(Path('b/m.mcap'), '/x'), BagPart(Path('b/m.mcap'), '/z')]
    assert file_names(parts) == ['m', 'm_x', 'm_z']
    assert file_names([BagPart(Path(f'{k}/m.bag'), '/x') for k in 'ab']) == ['m', 'm_2']


def test_a_missing_bag_is_a_failure_of_the_plan(tmp_path):
    plan = plan_bags([tmp_path / 'gone.bag', write_bag(tmp_path / 'b_', 2)])
    assert (plan.frames, len(plan.jobs), len(plan.failures)) == (2, 1, 1)


def test_the_parts_of_a_data_set_contain_each_sample_once(shapes_dataset):
    dataset = open_dataset(shapes_dataset)
    parts = [DatasetSource(dataset, 'train', dataset.classes, (k, 3)) for k in range(3)]
    assert [[f.index for f in part] for part in parts] == [[0, 1], [2, 3, 4], [5, 6, 7]]


def test_jobs_survive_the_way_to_another_process(tmp_path):
    part = BagPart(tmp_path / 'a.bag', '/x')
    for job in (DatasetJob(tmp_path, 'val', (1, 3)), FilesJob(tmp_path), BagJob(part, outputs=Outputs(worst=2))):
        assert pickle.loads(pickle.dumps(job)) == job and hash(job)
