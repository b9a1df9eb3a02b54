"""The maximum size of images that the commands decode."""

# The largest detectors have about 4,300 by 4,300 elements, and film scanners produce as much. A
# file of a few bytes can claim far more, for which a decoder would allocate memory and take
# seconds, so larger images are rejected by their header.
MOST_PIXELS = 25_000_000
