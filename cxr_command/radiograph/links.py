"""Which radiographs belong together: copies of each other, and those of one patient."""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse


def join(groups: Mapping[str, str], links: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Joins groups that share a link, and so whatever groups are joined to those.

    Args:
        groups: the group of each id.
        links: what each id shares with others, such as "patient 12".

    Returns:
        The group of each id, named after that member whose id comes first in `groups`.
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
