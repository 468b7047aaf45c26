"""Which CPUs this process uses and how readily it gives way: vision must not starve the walking controller.

Both are of the whole process: an engine's threads, the middleware's and ours. They are set before the engine starts,
whose threads inherit them; one that pins its threads, as OpenVINO does, then pins them within these CPUs.
"""

from __future__ import annotations

import os

from minisegnet_core.errors import ConfigurationError

MOST_CPUS = 4096


def cpus_of(text: str) -> tuple[int, ...]:
    """CPU numbers of a list such as ``0,2-3``, in order, as ``taskset --cpu-list`` takes them; empty text: none.

    Raises:
        ConfigurationError: it is no such list.
    """
    cpus: set[int] = set()
    try:
        for part in text.replace(' ', '').split(',') if text.strip() else ():
            first, dash, last = part.partition('-')
            low, high = int(first), int(last) if dash else int(first)
            if not 0 <= low <= high < MOST_CPUS:
                raise ValueError
            cpus.update(range(low, high + 1))
    except ValueError:
        raise ConfigurationError(f'cpu_affinity must be a list of CPU numbers such as 0,2-3, not {text!r}') from None
    return tuple(sorted(cpus))


def set_scheduling(cpu_affinity: str, nice: int) -> None:
    """Restricts this process, all threads it has and will have, to CPUs, and sets how readily it gives way.

    Args:
        cpu_affinity: as :func:`cpus_of` takes it; empty: nothing changes.
        nice: added to the niceness at which the process was started; 0: nothing changes.

    Raises:
        ConfigurationError: no such CPU here, or no right to raise the priority.
    """
    cpus = cpus_of(cpu_affinity)
    if not cpus and not nice:
        return
    if not hasattr(os, 'sched_setaffinity'):
        raise ConfigurationError('cpu_affinity and nice are known on Linux only; leave them empty and 0 here')
    allowed = os.sched_getaffinity(0)
    if cpus and not set(cpus) <= allowed:
        missing = ', '.join(map(str, sorted(set(cpus) - allowed)))
        raise ConfigurationError(
            f'cpu_affinity names CPU {missing}, which this process cannot have; there are '
            f'{", ".join(map(str, sorted(allowed)))}'
        )
    niceness = min(max(os.getpriority(os.PRIO_PROCESS, 0) + nice, -20), 19)
    # On Linux both are of a thread, not of a process.
    for thread in map(int, os.listdir('/proc/self/task')):
        try:
            if cpus:
                os.sched_setaffinity(thread, cpus)
            if nice:
                os.setpriority(os.PRIO_PROCESS, thread, niceness)
        except ProcessLookupError:
            continue  # it has ended since
        except PermissionError as error:
            raise ConfigurationError(
                f'nice: {nice} would raise the priority, and this user may not: allow it (`nice` in '
                '/etc/security/limits.conf), or use 0 or more'
            ) from error
