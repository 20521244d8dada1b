"""What the tests of the contact file share."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

# With importlib mode a test module does not see its neighbours.
sys.path.insert(0, str(Path(__file__).parent))

# How long one example takes says more about a busy machine than about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
