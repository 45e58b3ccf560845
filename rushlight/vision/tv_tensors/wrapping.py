"""wrap_dataset_for_transforms_v2: data sets whose targets become TVTensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any

from rushlight.tensor.creation import tensor
from rushlight.vision.datasets.vision import VisionDataset
from rushlight.vision.tv_tensors.boxes import BoundingBoxes
from rushlight.vision.tv_tensors.pictures import Mask

VOC_CLASSES = ("__background__ aeroplane bicycle bird boat bottle bus car cat chair cow diningtable "
               "dog horse motorbike person pottedplant sheep sofa train tvmonitor").split()
CLASSIFICATION = ("MNIST", "CIFAR10", "SVHN", "STL10", "FakeData", "DatasetFolder",
                  "LabelledFiles", "Digits", "CocoCaptions")
Sample = tuple[Any, Any]


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            columns[name].append(value)
    return dict(columns)


def _keys(wanted: Any, available: set[str], usual: set[str]) -> set[str]:
    if wanted == "all":
        return available
    chosen = usual if wanted is None else set(wanted)
    if chosen - available:
        raise ValueError(f"Target keys {sorted(chosen - available)} are not available; these are: {sorted(available)}")
    return chosen


def _coco(dataset: Any, wanted: Any) -> Callable[[int, Sample], Sample]:
    keys = _keys(wanted, {"segmentation", "area", "iscrowd", "image_id", "bbox", "category_id", "boxes", "labels"},
                 {"image_id", "boxes", "labels"})

    def convert(index: int, sample: Sample) -> Sample:
        from rushlight.vision.transforms.v2.functional import convert_bounding_box_format
        image, target = sample
        number = dataset.ids[index]
        if not target:
            return image, {"image_id": number}
        columns = _columns(target)
        made: dict[str, Any] = {"image_id": number} if "image_id" in keys else {}
        if "boxes" in keys:
            boxes = BoundingBoxes(columns["bbox"], format="XYWH", canvas_size=(image.height, image.width))
            made["boxes"] = convert_bounding_box_format(boxes, new_format="XYXY")
        if "labels" in keys:
            made["labels"] = tensor(columns["category_id"])
        return image, {**made, **{key: columns[key] for key in keys - {"image_id", "boxes", "labels"}}}
    return convert


def _voc_detection(dataset: Any, wanted: Any) -> Callable[[int, Sample], Sample]:
    keys = _keys(wanted, {"annotation", "boxes", "labels"}, {"boxes", "labels"})

    def convert(index: int, sample: Sample) -> Sample:
        image, target = sample
        objects = _columns(target["annotation"]["object"])
        made = dict(target) if "annotation" in keys else {}
        if "boxes" in keys:
            corners = [[int(box[side]) for side in ("xmin", "ymin", "xmax", "ymax")] for box in objects["bndbox"]]
            made["boxes"] = BoundingBoxes(corners, format="XYXY", canvas_size=(image.height, image.width))
        if "labels" in keys:
            made["labels"] = tensor([VOC_CLASSES.index(name) for name in objects["name"]])
        return image, made
    return convert


def _pet(dataset: Any, wanted: Any) -> Callable[[int, Sample], Sample]:
    def convert(index: int, sample: Sample) -> Sample:
        image, target = sample
        several = isinstance(target, tuple)
        parts = [Mask(part) if kind == "segmentation" else part
                 for kind, part in zip(dataset._target_types, target if several else (target,))]
        return image, tuple(parts) if several else parts[0] if parts else None
    return convert


RULES: dict[str, Callable[[Any, Any], Callable[[int, Sample], Sample]]] = {
    "CocoCaptions": lambda dataset, wanted: lambda index, sample: sample,
    "CocoDetection": _coco, "VOCDetection": _voc_detection, "OxfordIIITPet": _pet,
    "VOCSegmentation": lambda dataset, wanted: lambda index, sample: (sample[0], Mask(sample[1])),
    **dict.fromkeys(CLASSIFICATION, lambda dataset, wanted: lambda index, sample: sample),
}


class WrappedDataset(VisionDataset):
    """A data set with its targets converted, then its transforms applied to image and target together."""

    def __init__(self, dataset: VisionDataset, convert: Callable[[int, Sample], Sample]):
        self._dataset, self._convert = dataset, convert
        self.transform, self.target_transform = dataset.transform, dataset.target_transform
        self.transforms = dataset.transforms
        dataset.transform = dataset.target_transform = dataset.transforms = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_dataset" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __getitem__(self, index: int) -> Any:
        sample = self._convert(index, self._dataset[index])
        return sample if self.transforms is None else self.transforms(*sample)

    def __len__(self) -> int:
        return len(self._dataset)


def wrap_dataset_for_transforms_v2(dataset: Any, target_keys: Any = None) -> WrappedDataset:
    """The data set with boxes and masks as TVTensors; ``target_keys`` chooses
    the parts of a detection target, "all" or some.

    TypeError for data sets that are not known.
    """
    if not (target_keys in (None, "all")
            or (isinstance(target_keys, Collection) and all(isinstance(key, str) for key in target_keys))):
        raise ValueError("`target_keys` can be None, 'all', "
                         f"or a collection of strings denoting the keys to be returned, but got {target_keys}")
    if not isinstance(dataset, VisionDataset):
        raise TypeError("This wrapper is meant for subclasses of `torchvision.datasets.VisionDataset`, "
                        f"but got a '{type(dataset).__name__}' instead.")
    name = next((cls.__name__ for cls in type(dataset).__mro__ if cls.__name__ in RULES), None)
    if name is None:
        raise TypeError(f"No wrapper exists for dataset class {type(dataset).__name__}. "
                        "Please wrap the output yourself.")
    if target_keys is not None and name not in ("CocoDetection", "VOCDetection"):
        raise ValueError("`target_keys` is currently only supported for `CocoDetection` "
                         f"and `VOCDetection`, but got {name}.")
    return WrappedDataset(dataset, RULES[name](dataset, target_keys))
