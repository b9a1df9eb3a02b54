"""One radiograph from a file: `reading`; which files of a folder are radiographs: `listing`."""
