"""Annotations of pictures: VIA, COCO, Labelbox, iMaterialist, index and colour PNGs, alpha cut-outs. Loads no torch.

    annotations = read_annotations("via.json", images="photos.zip")
    for image in annotations.images:
        for instance in image.instances:
            instance.class_name, instance.mask(image.size)  # (H, W) bool
    write_annotations(annotations, "coco.json", format="coco")

findings.py says what is wrong with an item; shapes.py what a polygon is, and run-lengths; model.py the annotations in
memory; reading.py and writing.py what all formats share. Then comes a file for each format, formats.py with their one
contract, convert.py (splits, and files written whole or not at all), lint.py, and overlay.py.
"""

from shoegen.data.annotations.convert import ConvertReport, convert, split_names, write_annotations
from shoegen.data.annotations.findings import Finding
from shoegen.data.annotations.formats import FORMATS, read_annotations
from shoegen.data.annotations.lint import Lint, lint, shared_pictures
from shoegen.data.annotations.model import AnnotatedImage, Annotations, Instance
from shoegen.data.annotations.overlay import overlay, overlay_sheet
from shoegen.data.annotations.shapes import Polygons, Rle
from shoegen.data.annotations.writing import WriteOptions

__all__ = [
    "FORMATS",
    "AnnotatedImage",
    "Annotations",
    "ConvertReport",
    "Finding",
    "Instance",
    "Lint",
    "Polygons",
    "Rle",
    "WriteOptions",
    "convert",
    "lint",
    "overlay",
    "overlay_sheet",
    "read_annotations",
    "shared_pictures",
    "split_names",
    "write_annotations",
]
