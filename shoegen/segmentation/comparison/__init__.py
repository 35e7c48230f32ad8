"""Several segmenters on the same pictures: figures, speed, memory, and the pictures where they do worst.

    data = LabelledPictures("test.zip")
    candidates = [Candidate("unet", "runs/unet", load_segmenter("runs/unet")), …]
    write_report(compare(data, candidates), "report/")

pictures.py says what is compared on, and what was trained on the same; classes.py how the classes of data and models
are brought together; runs.py trains what is not there yet; evaluation.py measures; drawing.py and report.py show.
"""

from shoegen.segmentation.comparison.classes import CommonClasses
from shoegen.segmentation.comparison.evaluation import Candidate, Comparison, ModelFigures, compare
from shoegen.segmentation.comparison.pictures import (
    LabelledPictures,
    Origins,
    Source,
    find_shared,
    trained_on,
)
from shoegen.segmentation.comparison.report import check_new_report, write_report
from shoegen.segmentation.comparison.runs import check_run, train_or_take

__all__ = [
    "Candidate",
    "CommonClasses",
    "Comparison",
    "LabelledPictures",
    "ModelFigures",
    "Origins",
    "Source",
    "check_new_report",
    "check_run",
    "compare",
    "find_shared",
    "train_or_take",
    "trained_on",
    "write_report",
]
