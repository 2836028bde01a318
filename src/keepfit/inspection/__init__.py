"""What a file holds, told without building any of it.

`inspect` reads bytes into a graph and describes the graph; of keepfit's own files no class is looked up, no object is
made, and no library is imported for it. Pickles and their like are read as data (`keepfit.pickles`); what they stand
for is built by keepfit's own tables and checks, to tell whether it could be converted. What it reports is bounded
however the file is made: each node is looked at once, shared nodes are shown once, and long lists and texts are cut
with a note of how much was left out.
"""

from keepfit.inspection.inspecting import inspect
from keepfit.inspection.report import ArrayInfo, Effect, Obstacle, Report
from keepfit.inspection.sarif import as_sarif
from keepfit.inspection.tree import TreeNode

__all__ = ["ArrayInfo", "Effect", "Obstacle", "Report", "TreeNode", "as_sarif", "inspect"]
