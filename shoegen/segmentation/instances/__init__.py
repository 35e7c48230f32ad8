"""Instance segmentation: one contract (contract.py), two engines of Mask R-CNN: torchvision's and detectron2's."""
