"""What the tests of the contact file share."""

from __future__ import annotations

import sys
from pathlib import Path

# With importlib mode a test module does not see its neighbours.
sys.path.insert(0, str(Path(__file__).parent))
