"""Transitions in every order, through the services that other nodes call, and the diagnostics in each state."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from minisegnet_ros.segment_node import SegmentNode
from support.peers import RELIABLE, camera_image, stamps
from support.peers import Peer as Camera

CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE, SHUTDOWN = (
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_CLEANUP,
    Transition.TRANSITION_ACTIVATE,
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_INACTIVE_SHUTDOWN,
)


@pytest.fixture
def manager(spin, wait, fake):
    """A node that does not start itself, with functions change(transition) -> success and state() -> id."""

    def begin(**parameters):
        overrides = [Parameter(name, value=value) for name, value in {'autostart': False, **parameters}.items()]
        node = spin(SegmentNode(fake, parameter_overrides=overrides))
        client = spin(Node('manager'), 1)
        changer = client.create_client(ChangeState, 'segment/change_state')
        getter = client.create_client(GetState, 'segment/get_state')
        assert changer.wait_for_service(60) and getter.wait_for_service(60)

        def call(service, request):
            future = service.call_async(request)
            wait(future.done, what='the service')
            return future.result()

        def change(transition):
            return call(changer, ChangeState.Request(transition=Transition(id=transition))).success

        return node, change, lambda: call(getter, GetState.Request()).current_state.id

    return begin


def test_transitions_can_be_repeated_and_wrong_ones_are_refused(manager, fake, wait):
    node, change, state = manager()
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert not fake.created, 'nothing is loaded before configure'
    assert not change(ACTIVATE)
    for _ in range(2):
        assert change(CONFIGURE)
        assert state() == State.PRIMARY_STATE_INACTIVE
        assert node.count_subscribers('/image') == 0
        for _ in range(2):
            assert change(ACTIVATE)
            wait(lambda: node.count_subscribers('/image') == 1)
            assert not change(CONFIGURE)
            assert change(DEACTIVATE)
            wait(lambda: node.count_subscribers('/image') == 0)
        assert change(CLEANUP)
        assert state() == State.PRIMARY_STATE_UNCONFIGURED
        assert node.vision is None
        wait(lambda: node.count_publishers('/segment/label_image') == 0)
    assert len(fake.created) == 2
    assert change(CONFIGURE)
    assert change(SHUTDOWN)
    assert state() == State.PRIMARY_STATE_FINALIZED


def test_an_active_node_can_be_shut_down(manager):
    node, change, state = manager()
    assert change(CONFIGURE) and change(ACTIVATE)
    assert change(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert state() == State.PRIMARY_STATE_FINALIZED
    assert node.worker is None


def test_a_failed_load_leaves_the_node_unconfigured(manager, wait):
    node, change, state = manager(model='missing')
    assert not change(CONFIGURE)
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    node.set_parameters([Parameter('model', value='')])
    assert change(CONFIGURE), 'after the parameter is corrected'


def test_diagnostics_report_why_the_node_could_not_configure(manager, spin, wait):
    """The level ERROR is what a program can rely on; the message is for people."""
    node, change, _ = manager(model='missing', diagnostics_period=0.1)
    reported: list[DiagnosticStatus] = []
    listener = spin(Node('listener'), 1)
    listener.create_subscription(DiagnosticArray, '/diagnostics', lambda m: reported.extend(m.status), 10)
    wait(lambda: any(s.level == DiagnosticStatus.WARN for s in reported), what='"not configured"')
    assert not change(CONFIGURE)
    error = wait(lambda: next((s for s in reported if s.level == DiagnosticStatus.ERROR), None), what='the error')
    assert error.message == 'there is no model file missing'
    node.set_parameters([Parameter('model', value='')])
    assert change(CONFIGURE)
    wait(lambda: reported[-1].level == DiagnosticStatus.OK, what='the error to disappear')


def test_an_error_of_another_library_is_logged(manager, monkeypatch, capfd, fake):
    _, change, state = manager()
    monkeypatch.setattr(fake, 'run', lambda *_, **__: 1 / 0)
    assert not change(CONFIGURE)
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert 'cannot configure: ZeroDivisionError: division by zero' in capfd.readouterr().err
    monkeypatch.undo()
    assert change(CONFIGURE), 'after the engine works again'


def test_autostart_configures_and_activates(manager, wait):
    _, _, state = manager(autostart=True)
    wait(lambda: state() == State.PRIMARY_STATE_ACTIVE)


def test_images_are_answered_after_a_second_activation(manager, spin, wait):
    node, change, _ = manager()
    camera = spin(Camera(), 1)
    change(CONFIGURE)
    for stamp in (1, 2):
        change(ACTIVATE)
        wait(lambda: camera.images.get_subscription_count() == 1 and node.outputs.have_subscribers)
        wait(
            lambda stamp=stamp: (camera.send(camera_image(1), stamp), stamp in stamps(camera.received['label_image']))[
                1
            ]
        )
        change(DEACTIVATE)
        wait(lambda: camera.images.get_subscription_count() == 0)


def test_diagnostics_report_each_state(manager, spin, wait):
    node, change, _ = manager(diagnostics_period=0.1)
    camera = spin(Camera(), 1)
    reported: list[DiagnosticStatus] = []
    camera.create_subscription(DiagnosticArray, '/diagnostics', lambda m: reported.extend(m.status), 10)

    def status(text, **image):
        """Return the first status from now on with this text; images keep coming, if fields of theirs are given."""

        def found():
            if image:
                camera.send(camera_image(1), 3, **image)
            return next((s for s in reported if text in s.message), None)

        reported.clear()
        return wait(found, what=f'diagnostics with {text}')

    assert status('not configured').level == DiagnosticStatus.WARN
    change(CONFIGURE)
    assert status('inactive').level == DiagnosticStatus.OK
    change(ACTIVATE)
    wait(lambda: node.images.reliability == camera.images.qos_profile.reliability and node.outputs.have_subscribers)
    wait(lambda: camera.images.get_subscription_count() == 1)
    camera.send(camera_image(1), 1)
    wait(lambda: camera.received['label_image'])
    assert status("unknown image encoding 'rubbish'", encoding='rubbish').level == DiagnosticStatus.WARN
    good = status('segmenting', encoding='rgb8')
    bad = node.statistics.bad  # final: images are processed in their order, and the last ones were good
    assert good.level == DiagnosticStatus.OK
    assert good.name == 'segment: segmentation'
    values = {pair.key: pair.value for pair in good.values}
    assert bad and (values['engine'], values['model hash'], values['bad images']) == ('fake', '0123456789ab', str(bad))
    images = int(values['images taken']) + int(values['lost by the middleware'])
    assert 0 <= images - int(values['images answered']) - int(values['dropped']) <= 2, 'at most two are in flight'
    assert 0 <= float(values['overhead p50 [ms]']) <= float(values['latency p95 [ms]'])
    assert float(values['rate [Hz]']) > 0 and float(values['latency p95 [ms]']) >= float(values['latency p50 [ms]']) > 0
    wait(lambda: (camera.send(camera_image(1) // 100, 3), any('dark' in s.message for s in reported))[1], what='dark')
    camera.send(camera_image(1), 4)
    wait(lambda: (camera.send(camera_image(1), 5), any('frozen' in s.message for s in reported))[1], what='frozen')
    assert status('no image').level == DiagnosticStatus.WARN


def test_a_topic_of_another_type_does_not_stop_the_node(manager, spin):
    _, change, state = manager()
    other = spin(Node('other'), 1)
    other.create_publisher(Image, 'image/compressed', RELIABLE)
    assert change(CONFIGURE) and change(ACTIVATE)
    assert state() == State.PRIMARY_STATE_ACTIVE


def test_an_error_on_activation_is_logged_and_leaves_the_node_inactive(manager, monkeypatch, capfd):
    node, change, state = manager()
    assert change(CONFIGURE)
    monkeypatch.setattr('minisegnet_ros.segment_node.ImageInput', lambda *_, **__: 1 / 0)
    assert not change(ACTIVATE)
    assert state() == State.PRIMARY_STATE_INACTIVE and node.worker is None
    assert 'cannot activate: ZeroDivisionError: division by zero' in capfd.readouterr().err
    monkeypatch.undo()
    assert change(ACTIVATE), 'after the error is gone'
