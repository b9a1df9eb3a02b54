"""Groups of related radiographs: copies, and radiographs of one patient."""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse


def join(groups: Mapping[str, str], links: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Merges groups that share a link, directly or through other groups.

    Args:
        groups: the group of each id.
        links: keys that each id shares with others, such as "patient 12".

    Returns:
        The group of each id, named after its member that comes first in `groups`.
    """
    ids = list(groups)
    ends: dict[tuple[str, str], int] = {}
    edges = [
        (place, len(ids) + ends.setdefault(end, len(ends)))
        for place, one in enumerate(ids)
        for end in [("group", groups[one]), *(("link", link) for link in links[one])]
    ]
    nodes = len(ids) + len(ends)
    graph = scipy.sparse.coo_array((np.ones(len(edges)), np.transpose(edges)), (nodes, nodes))
    _, component_of = scipy.sparse.csgraph.connected_components(graph, directed=False)
    first: dict[int, str] = {}
    return {one: first.setdefault(component_of[place], one) for place, one in enumerate(ids)}
