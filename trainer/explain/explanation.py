"""Explains predictions of a run's best model."""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from absl import logging

from cxr_command.radiograph.account import Account
from trainer.best_model import BestModel
from trainer.data import own_files
from trainer.data.examples import Example, load_split
from trainer.data.mask_folder import MaskFolder
from trainer.data.opening import open_dataset
from trainer.errors import UserError
from trainer.evaluation.predictions import predictor
from trainer.explain.heatmap import enlarge
from trainer.explain.heatmap_metrics import evaluate_heatmap
from trainer.explain.methods import METHODS, Method
from trainer.explain.options import PREDICTED, TRUE, Options
from trainer.explain.selection import examples_of_files, selected
from trainer.progress_line import ProgressLine
from trainer.run import Run

BATCH = 32


@dataclasses.dataclass(frozen=True)
class Explanation:
    """One radiograph and the explanation of its prediction.

    Attributes:
        example: the radiograph, with its label if known.
        heatmap: `[h, w] float32`, non-negative, in the size of the layer's feature maps.
        heat: the heatmap as `[H, W]` in the radiograph's size, scaled to 0 to 1.
        probabilities: `[classes] float32`.
        target: label of the explained class.
        numbers: the result of `evaluate_heatmap`.
    """

    example: Example
    heatmap: np.ndarray
    heat: np.ndarray
    probabilities: np.ndarray
    target: int
    numbers: dict[str, float | bool | None]


class Explainer:
    """A run's best model, its method of explanation, and the radiographs to explain."""

    def __init__(self, run: Run, images: Sequence[str], options: Options) -> None:
        """Loads the model; reads no radiographs.

        Args:
            run: a run with at least one finished epoch.
            images: a user's own files, folders and globs; empty: explain a split.
            options: the user's options.

        Raises:
            UserError: the options contradict each other, or a model or file is missing.
        """
        options.check(images)
        self.run, self.images, self.options = run, images, options
        self.content = run.finished_config()
        run.warn_if_unfinished()
        self.class_names = tuple(self.content["dataset"]["class_names"])
        self._target = options.target_among(self.class_names)
        self._found = own_files.find(images, "images") if images else None
        self.account = Account(self._found.left_out if self._found else ())
        self._size = tuple(self.content["dataset"]["image_shape"][:2])
        masks_dir = options.masks_dir
        self._masks = MaskFolder(pathlib.Path(masks_dir), self._size) if masks_dir else None
        self.best: BestModel = run.load_model()
        self._predict: Callable[[np.ndarray], np.ndarray] = predictor(self.best.network, flip=False)
        self.method: Method = METHODS[options.method](self.best.network, options.layer)
        logging.info("explaining %s at layer %s", run.path, self.method.layer_name)
        if self.method.caution:
            logging.warning(self.method.caution)

    def explain(self) -> Iterator[Explanation]:
        """Explains the radiographs.

        Yields:
            Each explanation.

        Raises:
            UserError: no radiograph matches, or none can be read.
        """
        if self._found:
            count, examples = self._of_files(self._found.files)
        else:
            count, examples = self._of_split(str(self.options.split))
        progress, done = ProgressLine("explaining", count, 1), 0
        while batch := list(itertools.islice(examples, BATCH)):
            for example, heatmap, shares, target in self._explained(batch):
                heat = enlarge(heatmap, example.image.shape[:2])
                asked = self._predict if self.options.curves else None
                numbers = evaluate_heatmap(example, heat, target, asked, self.options.seed)
                yield Explanation(example, heatmap, heat, shares, target, numbers)
                done += 1
                progress.show(done)
        progress.clear()
        if not done:
            raise UserError(f"--images={','.join(self.images)}: {self.account.told()}")
        logging.info("%d images explained", done)

    def _of_files(self, files: list[pathlib.Path]) -> tuple[int, Iterator[Example]]:
        """Returns the maximum number of radiographs, and an iterator over the readable ones."""
        every = examples_of_files(
            files, (*self._size, 1), self._masks, self.account, any_view=self.options.any_view
        )
        count = min(len(files), self.options.max_images or len(files))
        return count, itertools.islice(every, count)

    def _of_split(self, split: str) -> tuple[int, Iterator[Example]]:
        """Returns the number of selected radiographs, and an iterator over them."""
        config, trained_on = self.content["config"], self.content["dataset"]
        dataset = open_dataset(config["dataset"], self.options.data_dir or config["data_dir"])
        dataset.require_classes(trained_on["class_names"])
        dataset.require_content("the run", self.content)
        if list(dataset.image_shape) != trained_on["image_shape"]:
            raise UserError(
                f"{dataset.name} in {dataset.data_dir} has images of shape "
                f"{list(dataset.image_shape)}; the run was trained on {trained_on['image_shape']}: "
                "give its --data_dir"
            )
        examples, selection = load_split(dataset, split), self.options.selection
        selection.check(examples)
        predicted = None
        if selection.answered != "any":
            predicted = self._predict(examples.images).argmax(axis=1)
        rows = selection.rows(examples, predicted)
        return len(rows), selected(examples, rows, self._masks)

    def _explained(
        self, batch: list[Example]
    ) -> Iterator[tuple[Example, np.ndarray, np.ndarray, int]]:
        """Yields each example of a batch with heatmap, probabilities and explained class."""
        images = np.stack([example.image for example in batch])
        targets = None
        if self._target == TRUE:
            targets = np.array([example.label for example in batch])
        elif self._target != PREDICTED:
            targets = np.full(len(batch), self._target)
        heatmaps, probabilities = self.method(images, targets)
        if targets is None:
            targets = probabilities.argmax(axis=1)
        return zip(batch, heatmaps, probabilities, map(int, targets), strict=True)
