"""Networks of every architecture that are small enough to run in every test; pytest collects nothing here."""

from shoegen.segmentation.config import SegmenterConfig

CONFIGS = {
    "unet": SegmenterConfig(architecture="unet", classes=5, resolution=32, decoder_channels=(16, 8, 8)),
    "segnet": SegmenterConfig(
        architecture="segnet", classes=5, resolution=32, width=1 / 16, blocks=(1, 1, 1, 1, 1)
    ),
    "deeplab": SegmenterConfig(
        architecture="deeplab", classes=5, resolution=32, width=1 / 16, blocks=(1, 1, 1, 1)
    ),
    "fcn": SegmenterConfig(architecture="fcn", classes=5, resolution=32, width=1 / 16, blocks=(1, 1, 1, 1)),
    "densenet": SegmenterConfig(
        architecture="densenet", classes=5, resolution=32, width=1 / 4, blocks=(1, 1, 1, 1, 1, 1)
    ),
}
