"""The largest image that any command decodes."""

# The largest detectors have some 4,300 by 4,300 elements, and scanners of films give as much. A
# file of a few bytes can claim far more, for which a decoder would reserve memory and take seconds:
# what claims more is refused by its header.
MOST_PIXELS = 25_000_000
