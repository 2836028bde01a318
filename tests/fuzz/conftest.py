"""The battery of estimators lies one folder up, the forge for files among the tests of the
artifact, C pickle without names among those of pickles."""

import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "artifact"), str(TESTS / "pickles")]
