"""CPU affinity and niceness of this process: vision must not starve the walking controller.

Both apply to the whole process: the threads of the engine, of the middleware and of the node. They are set before the
engine starts, because its threads inherit them; an engine that pins its threads, as OpenVINO does, pins them to these
CPUs.
"""

from __future__ import annotations

import os

from minisegnet_core.errors import ConfigurationError

MAXIMUM_CPUS = 4096


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Return the CPU numbers of a list such as ``0,2-3``, sorted, as ``taskset --cpu-list`` reads it.

    Raises:
        ConfigurationError: the text is not such a list.
    """
    cpus: set[int] = set()
    try:
        for part in text.replace(' ', '').split(',') if text.strip() else ():
            first, dash, last = part.partition('-')
            low, high = int(first), int(last) if dash else int(first)
            if not 0 <= low <= high < MAXIMUM_CPUS:
                raise ValueError
            cpus.update(range(low, high + 1))
    except ValueError:
        raise ConfigurationError(f'cpu_affinity must be a list of CPU numbers such as 0,2-3, not {text!r}') from None
    return tuple(sorted(cpus))


def set_scheduling(cpu_affinity: str, nice: int) -> None:
    """Set CPU affinity and niceness of all present and future threads of this process.

    Args:
        cpu_affinity: as :func:`parse_cpu_list` reads it; an empty list changes nothing.
        nice: added to the niceness of the process; 0 changes nothing.

    Raises:
        ConfigurationError: a CPU is not available, or the user may not raise the priority.
    """
    cpus = parse_cpu_list(cpu_affinity)
    if not cpus and not nice:
        return
    if not hasattr(os, 'sched_setaffinity'):
        raise ConfigurationError('cpu_affinity and nice need Linux; leave cpu_affinity empty and nice 0')
    allowed = os.sched_getaffinity(0)
    if cpus and not set(cpus) <= allowed:
        missing = ', '.join(map(str, sorted(set(cpus) - allowed)))
        raise ConfigurationError(
            f'cpu_affinity names CPU {missing}, which this process may not use; choose from '
            f'{", ".join(map(str, sorted(allowed)))}'
        )
    niceness = min(max(os.getpriority(os.PRIO_PROCESS, 0) + nice, -20), 19)
    # On Linux both are attributes of a thread and not of a process.
    for thread in map(int, os.listdir('/proc/self/task')):
        try:
            if cpus:
                os.sched_setaffinity(thread, cpus)
            if nice:
                os.setpriority(os.PRIO_PROCESS, thread, niceness)
        except ProcessLookupError:
            continue  # the thread has ended
        except PermissionError as error:
            raise ConfigurationError(
                f'nice: {nice} would raise the priority, which this user may not do; use 0 or more, or grant `nice` in '
                '/etc/security/limits.conf'
            ) from error
