"""What all tests share."""

import os
import sys
import tempfile
from pathlib import Path

# colcon test runs pytest in the source tree; so does a newcomer. Both must test this tree.
sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

# Compiled models of tests are nobody's cache: not read from the user's, not left in it.
_cache = tempfile.TemporaryDirectory(prefix='minisegnet-test-cache-')
os.environ['XDG_CACHE_HOME'] = _cache.name
