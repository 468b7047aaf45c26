"""The ROS 2 node `segment`: camera images in, label images and the ball out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from minisegnet_core.errors import ConfigurationError, MinisegnetError
from minisegnet_core.inference.engines.base import file_hash
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_ros.diagnostics import Statistics, status
from minisegnet_ros.image_input import ImageInput, steady_clock
from minisegnet_ros.parameters import TABLE, Change, declare_parameters, values_of
from minisegnet_ros.publishers import Outputs
from minisegnet_ros.qos import check_overrides, overriding_options, warn_of_unused_overrides
from minisegnet_ros.scheduling import set_scheduling
from minisegnet_ros.vision import SegmenterFactory, Vision, load
from minisegnet_ros.worker import Worker

try:
    from std_srvs.srv import SetBool
except ImportError:  # then there is no `~/enable`
    SetBool = None

RCLError = rclpy_implementation.RCLError


class SegmentNode(LifecycleNode):
    """A managed node: configure loads and warms the model, activate subscribes, deactivate stops, cleanup frees.

    Args:
        segmenter_factory: called as :class:`Segmenter` is; tests put their own here.
        options: of :class:`rclpy.node.Node`.

    Raises:
        ConfigurationError: a parameter's first value is wrong, or the process may not be scheduled so.
    """

    def __init__(self, segmenter_factory: SegmenterFactory = Segmenter, **options: Any) -> None:
        super().__init__('segment', **options)
        self._factory = segmenter_factory
        declare_parameters(self)
        check_overrides(self)
        self._settings = values_of(self)
        set_scheduling(self._settings['cpu_affinity'], self._settings['nice'])
        self._vision: Vision | None = None
        self._outputs: Outputs | None = None
        self._next: tuple[Vision, Outputs] | None = None  # checked, and not yet taken into use
        self._input: ImageInput | None = None
        self._worker: Worker | None = None
        self._statistics = Statistics()
        self._swap = threading.Lock()  # held while a frame is in work
        self._enabled = threading.Event()
        self._enabled.set()
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)
        if SetBool is not None:
            # In a group of its own: it must not wait for a model that is being loaded.
            self.create_service(SetBool, '~/enable', self._enable, callback_group=MutuallyExclusiveCallbackGroup())
        overrides = overriding_options(self, self.resolve_topic_name('/diagnostics'), 'publisher')
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10, qos_overriding_options=overrides)
        # Parameter and lifecycle services stay in the default group: loading a model there holds nothing else up.
        self._diagnostics_group = MutuallyExclusiveCallbackGroup()
        self._diagnostics_timer = self._new_diagnostics_timer()
        self._starter = self.create_timer(0.0, self._start, clock=steady_clock())

    # Lifecycle

    def _start(self) -> None:
        self.destroy_timer(self._starter)
        if self._settings['autostart'] and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:  # noqa: N802
        """Refuses transitions that are not possible now, where Jazzy's rclpy lets them end the whole executor."""
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)  # type: ignore[misc]
        except RCLError as error:
            self.get_logger().error(f'transition {transition_id} is not possible now: {str(error).strip()}')
            return TransitionCallbackReturn.ERROR

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._settings.update(values_of(self))
        try:
            self._vision = self._load(self._settings)
            self._outputs = Outputs(self, self._vision.segmenter.classes)
            self._outputs.publish_label_info(self._settings['ball_threshold'])
        except Exception as error:  # also an engine's own trouble: rclpy would say nothing of it
            self.get_logger().error(f'cannot configure: {_reason(error)}')
            self._vision = None
            return TransitionCallbackReturn.FAILURE
        self._new_diagnostics()
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._statistics = Statistics()
        self._new_diagnostics()
        self._worker = Worker(
            self, self._settings, self._statistics, self._tools, self._camera_info, self._swap, self._enabled
        )
        try:
            self._input = ImageInput(
                self,
                compressed=self._settings['image_transport'] == 'compressed',
                reliability=self._settings['reliability'],
                on_image=self._worker.put,
                on_lost=self._statistics.lose,
            )
        except Exception as error:  # such as a topic of that name with another type in this very process
            self.get_logger().error(f'cannot activate: {_reason(error)}')
            self.stop()
            return TransitionCallbackReturn.FAILURE
        warn_of_unused_overrides(self)
        self.get_logger().info(f'active: waiting for images on {self._input.topic}')
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.stop()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.stop()
        if self._outputs is not None:
            self._outputs.close()
        self._outputs = self._vision = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self.on_cleanup(state)

    def stop(self) -> None:
        """Ends subscriptions and work; may be called twice."""
        if self._input is not None:
            self._input.close()
        if self._worker is not None:
            self._worker.close()
        self._input = self._worker = None

    def _enable(self, request: Any, response: Any) -> Any:
        """`~/enable`: stops work on images, or takes it up again, in whatever state the node is."""
        if request.data:
            self._enabled.set()
        else:
            self._enabled.clear()
        response.success = True
        response.message = 'enabled' if request.data else 'paused: images are counted and left alone'
        if self._worker is None:
            response.message += ', once the node is active'
        self.get_logger().info(response.message)
        return response

    # Model

    def _load(self, settings: dict[str, Any]) -> Vision:
        vision = load(self._factory, settings)
        segmenter = vision.segmenter
        self.get_logger().info(
            f'loaded {segmenter.model_path} ({segmenter.model_hash}), engine {segmenter.engine}, {segmenter.precision} '
            f'on the {segmenter.device}'
        )
        for note in segmenter.notes:
            self.get_logger().info(note)
        return vision

    def _tools(self) -> tuple[Vision, Outputs]:
        assert self._vision is not None and self._outputs is not None, 'the worker lives only while active'
        return self._vision, self._outputs

    def _camera_info(self, stamp: int) -> Any:
        return self._input.camera_info(stamp) if self._input is not None else None

    # Parameters

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        changes: dict[str, Any] = {}
        self._forget_successors()
        try:
            for parameter in parameters:
                if parameter.name not in TABLE:
                    continue  # use_sim_time and the like are rclpy's
                entry = TABLE[parameter.name]
                changes[entry.name] = entry.check(parameter.value)
                if entry.change is Change.INACTIVE and self._worker is not None:
                    raise ConfigurationError(f'{entry.name} cannot change while the node is active, deactivate it')
            if self._asks_for_a_load(changes):
                self._next = self._successors({**self._settings, **changes})
        except Exception as error:  # an engine's own trouble must not end the service, and with it the node
            return SetParametersResult(successful=False, reason=_reason(error))
        return SetParametersResult(successful=True)

    def _asks_for_a_load(self, changes: dict[str, Any]) -> bool:
        """Whether a model must be loaded: `ros2 param load` names all parameters, and most as they are."""
        if self._vision is None:
            return False
        if any(TABLE[name].change is Change.MODEL and changes[name] != self._settings[name] for name in changes):
            return True
        # The same name again: somebody may have put another file there.
        segmenter = self._vision.segmenter
        return 'model' in changes and segmenter.model_hash != _hash_if_readable(segmenter.model_path)

    def _successors(self, settings: dict[str, Any]) -> tuple[Vision, Outputs]:
        """What takes the place of model and outputs. What fails here is refused, and leaves all as it was."""
        assert self._outputs is not None, 'there is a model, so there are outputs'
        vision = self._load(settings)
        classes = vision.segmenter.classes
        return vision, self._outputs if classes == self._outputs.classes else Outputs(self, classes)

    def _forget_successors(self) -> None:
        """Ends what was checked and never taken into use: rclpy refused the change itself."""
        if self._next is not None and self._next[1] is not self._outputs:
            self._next[1].close()
        self._next = None

    def _apply_parameters(self, parameters: list[Parameter]) -> None:
        ours = [parameter for parameter in parameters if parameter.name in TABLE]
        for parameter in ours:
            self._settings[parameter.name] = TABLE[parameter.name].check(parameter.value)
        # rclpy declares overrides of a publisher's quality of service as parameters, while we make it.
        if not ours or self._vision is None or self._outputs is None:
            return
        with self._swap:
            if self._next is not None:
                before = self._outputs
                (self._vision, self._outputs), self._next = self._next, None
                if before is not self._outputs:
                    before.close()
            self._vision.segmenter.ball_threshold = self._settings['ball_threshold']
            self._vision.segmenter.ball_confidence = self._settings['ball_confidence']
        if any(TABLE[p.name].change is Change.MODEL or p.name == 'ball_threshold' for p in ours):
            self._outputs.publish_label_info(self._settings['ball_threshold'])

    # Diagnostics

    def _new_diagnostics_timer(self) -> Any:
        period = self._settings['diagnostics_period']
        return self.create_timer(period, self._publish_diagnostics, self._diagnostics_group, clock=steady_clock())

    def _new_diagnostics(self) -> None:
        self.destroy_timer(self._diagnostics_timer)
        self._diagnostics_timer = self._new_diagnostics_timer()

    def _publish_diagnostics(self) -> None:
        name = f'{self.get_fully_qualified_name().lstrip("/")}: segmentation'
        vision, source = self._vision, self._input
        facts: dict[str, object] = {}
        if vision is not None:
            facts = {
                'engine': vision.segmenter.engine,
                'precision': vision.segmenter.precision,
                'device': vision.segmenter.device,
                'model': vision.segmenter.model_path.name,
                'model hash': vision.segmenter.model_hash,
            }
        if source is not None:
            facts |= {'image topic': source.topic, 'reliability': source.profile.reliability.name.lower()}
            cameras = [publisher.node_name for publisher in source.publishers]
            report = self._statistics.status(name, facts, cameras, not self._enabled.is_set())
        elif vision is not None:
            report = status(name, DiagnosticStatus.OK, 'inactive', facts)
        else:
            report = status(name, DiagnosticStatus.WARN, 'not configured', facts)
        message = DiagnosticArray(status=[report])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def _reason(error: Exception) -> str:
    """What went wrong: our errors say it themselves."""
    return str(error) if isinstance(error, MinisegnetError) else f'{type(error).__name__}: {error}'


def _hash_if_readable(path: Path) -> str | None:
    try:
        return file_hash(path)
    except OSError:
        return None  # so it is loaded, which says what is wrong
