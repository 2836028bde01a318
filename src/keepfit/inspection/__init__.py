"""What a file holds, told without building any of it.

`inspect` reads bytes into a graph and describes the graph; no class is looked up, no object is made, and no library is
imported for it. What it reports is bounded however the file is made: each node is looked at once, shared nodes are
shown once, and long lists and texts are cut with a note of how much was left out.
"""

from keepfit.inspection.inspecting import inspect
from keepfit.inspection.report import ArrayInfo, Obstacle, Report
from keepfit.inspection.tree import TreeNode

__all__ = ["ArrayInfo", "Obstacle", "Report", "TreeNode", "inspect"]
