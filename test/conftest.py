"""What all tests share."""

import sys
from pathlib import Path

# colcon test runs pytest in the source tree; so does a newcomer. Both must test this tree.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
