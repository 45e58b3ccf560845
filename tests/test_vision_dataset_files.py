"""Data sets of picture files beside torchvision's: folders, Food101, Flowers102, Oxford-IIIT Pet, VOC, COCO."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from rushlight.data import DataLoader
from rushlight.tensor.core import unwrap
from rushlight.vision import datasets as ours
from rushlight.vision import transforms as T
from vision_datasets import RNG, assert_same_data, md5, photograph, same
from vision_oracle import torchvision

theirs = torchvision.datasets


# --- files ---

@pytest.fixture
def folder(tmp_path):
    for name, files in {"cat": ["a.png", "b.jpg",
                                "notes.txt"], "dog": ["x.JPEG", "deep/y.bmp"], "emu": ["z.webp"]}.items():
        for i, file in enumerate(files):
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("no picture") if file.endswith("txt") else photograph(seed=i).save(path)
    return tmp_path


def test_image_folder(folder):
    mine, reference = ours.ImageFolder(str(folder)), theirs.ImageFolder(str(folder))
    assert_same_data(mine, reference)
    assert mine.samples == reference.samples and mine.imgs is mine.samples and mine.targets == reference.targets
    chosen = [module.ImageFolder(str(folder), is_valid_file=lambda p: p.endswith("png"), allow_empty=True)
              for module in (ours, theirs)]
    assert chosen[0].samples == chosen[1].samples and len(chosen[0]) == 1
    gray = photograph().convert("LA")
    gray.save(folder / "cat" / "gray.png")
    assert_same_data(ours.ImageFolder(str(folder)), theirs.ImageFolder(str(folder)))


def test_dataset_folder(folder):
    arguments = (str(folder), lambda p: os.path.getsize(p), (".txt", ".png"))
    mine, reference = (module.DatasetFolder(*arguments, allow_empty=True) for module in (ours, theirs))
    assert_same_data(mine, reference)


def test_image_folder_in_threads(folder):
    dataset = ours.ImageFolder(folder, T.Compose([T.Resize((8, 8)), T.ToTensor()]))
    plain = list(DataLoader(dataset, batch_size=2))
    threads = list(DataLoader(dataset, batch_size=2, num_workers=2))
    assert [t.tolist() for _, t in plain] == [t.tolist() for _, t in threads] == [[0, 0], [1, 1], [2]]
    assert all(unwrap(a).tobytes() == unwrap(b).tobytes() for (a, _), (b, _) in zip(plain, threads))


def test_an_empty_class_folder_is_named(folder):
    (folder / "fox").mkdir()
    with pytest.raises(FileNotFoundError) as reference:
        theirs.ImageFolder(str(folder))
    with pytest.raises(FileNotFoundError, match="allow_empty=True") as caught:
        ours.ImageFolder(str(folder))
    assert str(caught.value).startswith(str(reference.value)) and str(folder / "fox") in str(caught.value)
    with pytest.raises(FileNotFoundError, match="Couldn't find any class folder in .*cat"):
        ours.ImageFolder(folder / "cat")


@pytest.mark.parametrize(("keep", "suffix"), [(0.6, "jpg"), (0.6, "png"), (0.9, "png")])
def test_a_truncated_picture_is_named(folder, keep, suffix):
    path = folder / "cat" / f"whole.{suffix}"
    photograph((100, 80)).save(path)
    path.write_bytes(path.read_bytes()[:int(path.stat().st_size * keep)])
    dataset = ours.ImageFolder(folder)
    with pytest.raises(OSError, match="The picture is damaged: fetch the file again or remove it") as caught:
        dataset[[p for p, _ in dataset.samples].index(str(path))]
    assert str(path) in str(caught.value)


def test_a_text_file_named_png_is_named(folder):
    (folder / "cat" / "aa.png").write_text("This is a text.")
    dataset = ours.ImageFolder(folder)
    with pytest.raises(UnidentifiedImageError, match="aa.png.*b'This is a te'.*Remove the file"):
        dataset[1]
    with pytest.raises(UnidentifiedImageError, match="aa.png"):
        list(DataLoader(dataset, batch_size=3, num_workers=2))


def test_food101(tmp_path):
    base = tmp_path / "food-101"
    (base / "meta").mkdir(parents=True)
    listing = {"waffles": ["waffles/1", "waffles/2"], "apple_pie": ["apple_pie/9"]}
    (base / "meta" / "train.json").write_text(json.dumps(listing))
    for name in (n for names in listing.values() for n in names):
        (base / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        photograph().save(base / "images" / f"{name}.jpg")
    assert_same_data(ours.Food101(str(tmp_path)), theirs.Food101(str(tmp_path)))
    with pytest.raises(RuntimeError, match="meta/train.json"):
        ours.Food101(tmp_path / "elsewhere")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_flowers102(tmp_path, monkeypatch, split):
    scipy = pytest.importorskip("scipy.io")
    base = tmp_path / "flowers-102"
    (base / "jpg").mkdir(parents=True)
    scipy.savemat(base / "imagelabels.mat", {"labels": np.array([[3, 1, 2, 1, 7, 5]], np.uint8)})
    scipy.savemat(base / "setid.mat", {"trnid": np.array([[2, 1]], np.uint16), "valid": np.array([[3, 6]], np.uint16),
                                       "tstid": np.array([[4, 5]], np.uint16)})
    for i in range(1, 7):
        photograph(seed=i).save(base / "jpg" / f"image_{i:05d}.jpg")
    for module in (ours, theirs):
        for key, name in (("label", "imagelabels.mat"), ("setid", "setid.mat")):
            monkeypatch.setitem(module.Flowers102._file_dict, key, (name, md5(base / name)))
    assert_same_data(ours.Flowers102(str(tmp_path), split), theirs.Flowers102(str(tmp_path), split))
    with pytest.raises(RuntimeError, match="102flowers.tgz"):
        ours.Flowers102(tmp_path / "elsewhere")


@pytest.mark.parametrize("types", ["category", "binary-category", "segmentation", ("category", "segmentation"), ()])
def test_oxford_iiit_pet(tmp_path, types):
    base = tmp_path / "oxford-iiit-pet"
    (base / "annotations" / "trimaps").mkdir(parents=True)
    (base / "images").mkdir()
    (base / "annotations" / "trainval.txt").write_text("Abyssinian_100 1 1 1\nbasset_hound_4 2 2 1\n")
    for name in ("Abyssinian_100", "basset_hound_4"):
        photograph().save(base / "images" / f"{name}.jpg")
        Image.fromarray(RNG.integers(1, 4, (5, 6), np.uint8)).save(base / "annotations" / "trimaps" / f"{name}.png")
    mine, reference = (module.OxfordIIITPet(str(tmp_path), target_types=types) for module in (ours, theirs))
    assert_same_data(mine, reference)
    both = ours.OxfordIIITPet(tmp_path, transforms=lambda image, target: (image.size, target))
    assert both[0] == ((23, 17), 0)
    with pytest.raises(RuntimeError, match="images.tar.gz"):
        ours.OxfordIIITPet(tmp_path / "elsewhere")


ANNOTATION = """<annotation><folder>VOC2012</folder><size><width>23</width><height>17</height></size>
<object><name>dog</name><bndbox><xmin>1</xmin><ymin>2</ymin></bndbox></object>{}</annotation>"""


@pytest.mark.parametrize("name", ["VOCSegmentation", "VOCDetection"])
@pytest.mark.parametrize("year", ["2012", "2011", "2007"])
def test_voc(tmp_path, name, year):
    base = tmp_path / ("TrainVal" if year == "2011" else "") / "VOCdevkit" / f"VOC{year}"
    for folder in ("ImageSets/Main", "ImageSets/Segmentation", "JPEGImages", "SegmentationClass", "Annotations"):
        (base / folder).mkdir(parents=True)
    for task in ("Main", "Segmentation"):
        (base / "ImageSets" / task / "train.txt").write_text("a_1\na_2\n")
    for i, more in (("a_1", ""), ("a_2", "<object><name>cat</name></object>")):
        photograph().save(base / "JPEGImages" / f"{i}.jpg")
        mask = Image.fromarray(RNG.integers(0, 21, (17, 23), np.uint8))
        mask = mask.convert("P")
        mask.save(base / "SegmentationClass" / f"{i}.png")
        (base / "Annotations" / f"{i}.xml").write_text(ANNOTATION.format(more))
    mine, reference = (getattr(module, name)(str(tmp_path), year) for module in (ours, theirs))
    assert_same_data(mine, reference)
    with pytest.raises(RuntimeError, match="ImageSets.*val.txt"):
        getattr(ours, name)(tmp_path, year, "val")
    with pytest.raises(ValueError, match="Unknown value 'test'" if year != "2007" else "Unknown value 'odd'"):
        getattr(ours, name)(tmp_path, year, "test" if year != "2007" else "odd")


def test_voc_annotations_that_are_no_xml(tmp_path):
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (base / folder).mkdir(parents=True)
    (base / "ImageSets" / "Main" / "train.txt").write_text("a\nb\n")
    for i, text in (("a", "<annotation><object>"),
                    ("b", '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>')):
        photograph().save(base / "JPEGImages" / f"{i}.jpg")
        (base / "Annotations" / f"{i}.xml").write_text(text)
    dataset = ours.VOCDetection(tmp_path)
    with pytest.raises(ValueError, match="a.xml is no whole XML file"):
        dataset[0]
    with pytest.raises(ValueError, match="b.xml declares XML entities"):
        dataset[1]


def test_coco(tmp_path):
    for i in (3, 1):
        photograph(seed=i).save(tmp_path / f"{i:012d}.jpg")
    annotations = [{"id": 10, "image_id": 3, "category_id": 2, "bbox": [1, 2, 3, 4],
                    "area": 12.0, "iscrowd": 0, "caption": "a dog"},
                   {"id": 11, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2],
                    "area": 4.0, "iscrowd": 1, "caption": "a cat"},
                   {"id": 12, "image_id": 3, "category_id": 1, "bbox": [5, 5, 1, 1],
                    "area": 1.0, "iscrowd": 0, "caption": "two dogs"}]
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps({"images": [{"id": i, "file_name": f"{i:012d}.jpg"} for i in (3, 1)],
                                "annotations": annotations,
                                "categories": [{"id": 1, "name": "cat", "supercategory": "animal"},
                                               {"id": 2, "name": "dog", "supercategory": "animal"}]}))
    detection = ours.CocoDetection(tmp_path, str(file))
    assert len(detection) == 2 and detection.ids == [1, 3]
    assert detection[0][1] == [annotations[1]] and detection[1][1] == [annotations[0], annotations[2]]
    assert same(detection[0][0], Image.open(tmp_path / "000000000001.jpg"))
    assert ours.CocoCaptions(tmp_path, str(file))[1][1] == ["a dog", "two dogs"]
    coco = detection.coco
    assert coco.getCatIds(["dog"]) == [2] and coco.getAnnIds(catIds=[1], iscrowd=False) == [12]
    assert coco.getImgIds(catIds=[1, 2]) == [3]
    with pytest.raises(ValueError, match="Index must be of type integer"):
        detection[[0]]
    file.write_text("[1, 2")
    with pytest.raises(ValueError, match="annotations.json is no annotation file of COCO"):
        ours.CocoDetection(tmp_path, str(file))
    with pytest.raises(FileNotFoundError, match="annotations_trainval2017.zip"):
        ours.CocoDetection(tmp_path, str(tmp_path / "none.json"))



def test_wrapping_for_transforms_v2(tmp_path):
    from rushlight.vision import tv_tensors
    from rushlight.vision.transforms import v2
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("ImageSets/Main", "ImageSets/Segmentation", "JPEGImages", "Annotations", "SegmentationClass"):
        (base / name).mkdir(parents=True)
    for task in ("Main", "Segmentation"):
        (base / "ImageSets" / task / "train.txt").write_text("a\n")
    photograph().save(base / "JPEGImages" / "a.jpg")
    box = "<bndbox><xmin>3</xmin><ymin>2</ymin><xmax>20</xmax><ymax>15</ymax></bndbox>"
    (base / "Annotations" / "a.xml").write_text(f"<annotation><object><name>dog</name>{box}</object></annotation>")
    Image.fromarray(np.full((17, 23), 12, np.uint8)).save(base / "SegmentationClass" / "a.png")
    both = v2.RandomHorizontalFlip(1.0)
    wrapped = ours.wrap_dataset_for_transforms_v2(ours.VOCDetection(tmp_path, transforms=both))
    image, target = wrapped[0]
    assert type(target["boxes"]) is tv_tensors.BoundingBoxes and unwrap(target["boxes"]).tolist() == [[3, 2, 20, 15]]
    assert unwrap(target["labels"]).tolist() == [12] and target["boxes"].canvas_size == (17, 23) and len(wrapped) == 1
    image, mask = ours.wrap_dataset_for_transforms_v2(ours.VOCSegmentation(tmp_path, transforms=v2.Resize((4, 5))))[0]
    assert image.size == (5, 4) and type(mask) is tv_tensors.Mask and tuple(mask.shape)[-2:] == (4, 5)
    assert ours.wrap_dataset_for_transforms_v2(ours.FakeData(2))[1][0].size == (224, 224)
    with pytest.raises(ValueError, match="not available"):
        ours.wrap_dataset_for_transforms_v2(ours.VOCDetection(tmp_path), target_keys={"odd"})
    with pytest.raises(TypeError, match="meant for subclasses"):
        ours.wrap_dataset_for_transforms_v2([1])
