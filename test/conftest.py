"""What all tests share."""

import os
import sys
import tempfile
from pathlib import Path

# colcon test and users run pytest in the source tree. Both must test this tree.
sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

# Tests neither read nor write the user's cache of compiled models.
_cache = tempfile.TemporaryDirectory(prefix='minisegnet-test-cache-')
os.environ['XDG_CACHE_HOME'] = _cache.name
