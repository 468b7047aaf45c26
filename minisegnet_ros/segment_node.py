"""The ROS 2 node `segment`: camera images in, label images and the ball out."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo

from minisegnet_core.errors import ConfigurationError, MinisegnetError
from minisegnet_core.inference.engines.base import file_hash
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_ros.diagnostics import DiagnosticsPublisher, Statistics, make_status, steady_clock
from minisegnet_ros.input import ImageInput
from minisegnet_ros.parameters import TABLE, Change, declare_parameters, values_of
from minisegnet_ros.publishers import Outputs
from minisegnet_ros.qos import check_overrides, warn_about_unused_overrides
from minisegnet_ros.rclpy_compat import SafeTransitionsNode, lifecycle_state
from minisegnet_ros.scheduling import set_scheduling
from minisegnet_ros.vision import SegmenterFactory, Vision, load_vision
from minisegnet_ros.worker import Worker

try:
    from std_srvs.srv import SetBool
except ImportError:  # then there is no service `~/enable`
    SetBool = None

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class SegmentNode(SafeTransitionsNode):
    """Managed node: configure loads and warms up the model, activate subscribes, deactivate stops, cleanup frees.

    Args:
        segmenter_factory: opens a model, as :meth:`Segmenter.from_config`.
        options: options of :class:`rclpy.node.Node`.

    Raises:
        ConfigurationError: the initial value of a parameter is wrong, or the scheduling is not permitted.
    """

    def __init__(self, segmenter_factory: SegmenterFactory = Segmenter.from_config, **options: Any) -> None:
        super().__init__('segment', **options)
        self._factory = segmenter_factory
        declare_parameters(self)
        check_overrides(self)
        self._settings = values_of(self)
        set_scheduling(self._settings['cpu_affinity'], self._settings['nice'])
        self._vision: Vision | None = None
        self._outputs: Outputs | None = None
        self._next: tuple[Vision, Outputs] | None = None  # validated, and not yet in use
        self._images: ImageInput | None = None
        self._worker: Worker | None = None
        self._statistics = Statistics()
        self._configuration_error = ''
        self._lock = threading.Lock()  # held while an image is processed, and while the model is replaced
        self._enabled = threading.Event()
        self._enabled.set()
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)
        if SetBool is not None:
            # In a group of its own, so that it does not wait while a model is loaded in the default group, which holds
            # the parameter and lifecycle services.
            self.create_service(SetBool, '~/enable', self._enable, callback_group=MutuallyExclusiveCallbackGroup())
        self._diagnostics = DiagnosticsPublisher(self, self._report)
        self._diagnostics.restart(self._settings['diagnostics_period'])
        self._starter = self.create_timer(0.0, self._start, clock=steady_clock())

    # Public view

    @property
    def state(self) -> str:
        """Lifecycle state: ``unconfigured``, ``inactive``, ``active`` or ``finalized``."""
        return lifecycle_state(self)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Values of the parameters that are in use, by name."""
        return MappingProxyType(self._settings)

    @property
    def statistics(self) -> Statistics:
        """Counts since the last activation."""
        return self._statistics

    @property
    def vision(self) -> Vision | None:
        """The model in use; None while the node is not configured."""
        return self._vision

    @property
    def outputs(self) -> Outputs | None:
        """The publishers of results; None while the node is not configured."""
        return self._outputs

    @property
    def images(self) -> ImageInput | None:
        """The image subscription; None while the node is not active."""
        return self._images

    @property
    def worker(self) -> Worker | None:
        """The thread that processes images; None while the node is not active."""
        return self._worker

    # Lifecycle

    def _start(self) -> None:
        self.destroy_timer(self._starter)
        if self._settings['autostart'] and self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the outputs."""
        self._settings.update(values_of(self))
        self._configuration_error = ''
        try:
            self._vision = self._load(self._settings)
            self._outputs = Outputs(self, self._vision.segmenter.classes)
            self._outputs.publish_label_info(self._settings['ball_threshold'])
        except Exception as error:  # an engine's own errors too: rclpy would not log them
            self._configuration_error = _reason(error)
            self.get_logger().error(f'cannot configure: {self._configuration_error}')
            self._vision = None
            return FAILURE
        self._diagnostics.restart(self._settings['diagnostics_period'])
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to images and start to process them."""
        self._statistics = Statistics()
        self._diagnostics.restart(self._settings['diagnostics_period'])
        self._worker = Worker(
            self, self._settings, self._statistics, self._current, self._camera_info, self._lock, self._enabled
        )
        try:
            self._images = ImageInput(
                self,
                compressed=self._settings['image_transport'] == 'compressed',
                reliability=self._settings['reliability'],
                on_image=self._worker.put,
                on_lost=self._statistics.lose,
            )
        except Exception as error:  # such as a topic of this name with another type in this process
            self.get_logger().error(f'cannot activate: {_reason(error)}')
            self.stop()
            return FAILURE
        warn_about_unused_overrides(self)
        self.get_logger().info(f'active: waiting for images on {self._images.topic}')
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and stop."""
        self.stop()
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and the outputs."""
        self.stop()
        if self._outputs is not None:
            self._outputs.close()
        self._outputs = self._vision = None
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        return self.on_cleanup(state)

    def stop(self) -> None:
        """End subscriptions and processing; may be called twice."""
        if self._images is not None:
            self._images.close()
        if self._worker is not None:
            self._worker.close()
        self._images = self._worker = None

    def _enable(self, request: Any, response: Any) -> Any:
        """Pause or resume the processing of images, in any state (service `~/enable`)."""
        if request.data:
            self._enabled.set()
        else:
            self._enabled.clear()
        response.success = True
        response.message = 'enabled' if request.data else 'paused: images are counted and not processed'
        if self._worker is None:
            response.message += ', once the node is active'
        self.get_logger().info(response.message)
        return response

    # Model

    def _load(self, settings: Mapping[str, Any]) -> Vision:
        vision = load_vision(self._factory, settings)
        segmenter = vision.segmenter
        self.get_logger().info(
            f'loaded {segmenter.model_path} ({segmenter.model_hash}), engine {segmenter.engine}, {segmenter.precision} '
            f'on the {segmenter.device}'
        )
        for note in segmenter.notes:
            self.get_logger().info(note)
        return vision

    def _current(self) -> tuple[Vision, Outputs]:
        assert self._vision is not None and self._outputs is not None, 'the worker exists only while active'
        return self._vision, self._outputs

    def _camera_info(self, stamp: int) -> CameraInfo | None:
        return self._images.camera_info(stamp) if self._images is not None else None

    # Parameters

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Accept or reject new values. A new model is loaded here, beside the running one."""
        changes: dict[str, Any] = {}
        self._discard_next()
        try:
            for parameter in parameters:
                if parameter.name not in TABLE:
                    continue  # rclpy's own, such as use_sim_time
                entry = TABLE[parameter.name]
                changes[entry.name] = entry.check(parameter.value)
                if entry.change is Change.INACTIVE and self._worker is not None:
                    raise ConfigurationError(
                        f'{entry.name} cannot change while the node is active; deactivate it first'
                    )
            if self._needs_load(changes):
                self._next = self._prepare({**self._settings, **changes})
        except Exception as error:  # an engine's own errors must not end the service and with it the node
            return SetParametersResult(successful=False, reason=_reason(error))
        return SetParametersResult(successful=True)

    def _needs_load(self, changes: Mapping[str, Any]) -> bool:
        """Return whether a model must be loaded; `ros2 param load` sets all parameters, most of them unchanged."""
        if self._vision is None:
            return False
        if any(TABLE[name].change is Change.MODEL and changes[name] != self._settings[name] for name in changes):
            return True
        # The same name again: its file may have been replaced.
        segmenter = self._vision.segmenter
        return 'model' in changes and segmenter.model_hash != _hash_if_readable(segmenter.model_path)

    def _prepare(self, settings: Mapping[str, Any]) -> tuple[Vision, Outputs]:
        """Load the next model and create its outputs. An error here rejects the change and leaves all as it was."""
        assert self._outputs is not None, 'a node with a model has outputs'
        vision = self._load(settings)
        classes = vision.segmenter.classes
        return vision, self._outputs if classes == self._outputs.classes else Outputs(self, classes)

    def _discard_next(self) -> None:
        """Free a model that was validated and not used, because rclpy itself rejected the change."""
        if self._next is not None and self._next[1] is not self._outputs:
            self._next[1].close()
        self._next = None

    def _apply_parameters(self, parameters: list[Parameter]) -> None:
        """Put accepted values into use, between two images."""
        known = [parameter for parameter in parameters if parameter.name in TABLE]
        for parameter in known:
            self._settings[parameter.name] = TABLE[parameter.name].check(parameter.value)
        # rclpy declares the QoS overrides of a publisher as parameters while the publisher is created.
        if not known or self._vision is None or self._outputs is None:
            return
        with self._lock:
            if self._next is not None:
                before = self._outputs
                (self._vision, self._outputs), self._next = self._next, None
                if before is not self._outputs:
                    before.close()
            self._vision.segmenter.ball_threshold = self._settings['ball_threshold']
            self._vision.segmenter.ball_confidence = self._settings['ball_confidence']
        if any(TABLE[p.name].change is Change.MODEL or p.name == 'ball_threshold' for p in known):
            self._outputs.publish_label_info(self._settings['ball_threshold'])

    # Diagnostics

    def _report(self, name: str) -> DiagnosticStatus:
        """Return the diagnostic status; its level is ERROR only after a failed configuration."""
        vision, images = self._vision, self._images
        if self._configuration_error:
            return make_status(name, DiagnosticStatus.ERROR, self._configuration_error, {})
        if vision is None:
            return make_status(name, DiagnosticStatus.WARN, 'not configured', {})
        segmenter = vision.segmenter
        facts: dict[str, object] = {
            'engine': segmenter.engine,
            'precision': segmenter.precision,
            'device': segmenter.device,
            'model': segmenter.model_path.name,
            'model hash': segmenter.model_hash,
        }
        if images is None:
            return make_status(name, DiagnosticStatus.OK, 'inactive', facts)
        facts |= {'image topic': images.topic, 'reliability': images.profile.reliability.name.lower()}
        cameras = [publisher.node_name for publisher in images.publishers]
        return self._statistics.status(name, facts, cameras, not self._enabled.is_set())


def _reason(error: Exception) -> str:
    """Return the message of an error; errors of other libraries with their type."""
    return str(error) if isinstance(error, MinisegnetError) else f'{type(error).__name__}: {error}'


def _hash_if_readable(path: Path) -> str | None:
    """Return the hash of a file, or None if it cannot be read: loading it then reports the error."""
    try:
        return file_hash(path)
    except OSError:
        return None
