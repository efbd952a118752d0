"""The papers' own figures: as printed, in our units, without the cells that are slips."""

import csv
import re
from pathlib import Path

import pytest

import repaudit.published
from repaudit.published import Paper, conventions, is_same_architecture, rows

FOLDER = Path(repaudit.published.__file__).parent


def named(paper: Paper, name: str):
    return next(row for row in rows(paper) if row.name == name)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        # copied from the printed tables by hand
        ("ResNet50, Mixup, ImageNet", "accuracy.top1", 0.766),
        ("ResNet50, Mixup, ImageNet", "geometry.rms", 0.30),
        ("ResNet50, Mixup, ImageNet", "calibration.ece", 0.202),
        ("ResNet50, Mixup, ImageNet", "robustness.autoattack_s.asr", 0.997),
        ("Swin-T, Label smoothing, ImageNet", "geometry.cosine.minimum_loss", 0.44),
        ("ViT-B-16, CutMix, ImageNet", "robustness.autoattack_s.asr", 0.933),
        ("ViT-B/16, PyTorch V1, ImageNet", "robustness.pgd_w.asr", 0.376),
        ("EfficientNet-B1, PyTorch V2, ImageNet", "robustness.fgsm.asr", 0.621),
        ("ConvNeXt-T, Label smoothing, ImageNet", "geometry.pearson.minimum_loss", 0.74),
        ("MobileNetV2, Baseline, ImageNet", "cones.first_error_step", 91.3),
        ("Swin-T, Baseline, CIFAR-100", "accuracy.top1", 0.667),
        ("MobileNetV2, PyTorch V2, ImageNet", "geometry.bias_dependence", 0.0084),
    ],
)
def test_rs_is_quoted_as_printed_in_our_units(name, key, value):
    assert named(Paper.RS, name).values[key] == value


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("ResNet-18, VS α = 0.8, CIFAR100", "accuracy.top1", 0.7805),
        ("T2T-ViT-24, one-hot, ImageNet", "accuracy.top1", 0.7868),
        ("network not given, VS α = 0.9, CIFAR10", "calibration.ece", 0.0098),
        ("network not given, one-hot, ImageNet", "calibration.ece", 0.1054),
    ],
)
def test_vs_is_quoted_as_printed_in_our_units(name, key, value):
    assert named(Paper.VS, name).values[key] == value


def test_every_attack_success_of_the_large_table_is_a_hundredth_of_what_is_printed():
    with (FOLDER / "rs_table2_overall.csv").open(newline="") as file:
        printed = list(csv.DictReader(file))

    assert len(printed) == 17
    for line in printed:
        values = named(Paper.RS, f"{line['model']}, {line['method']}, ImageNet").values
        for attack in ("fgsm", "pgd_w", "pgd_s", "autoattack_w", "autoattack_s"):
            assert values[f"robustness.{attack}.asr"] == pytest.approx(float(line[f"asr_{attack}_percent"]) / 100)


def test_tables_of_one_network_stand_in_one_row():
    row = named(Paper.RS, "ResNet50, Baseline, ImageNet")

    assert row.tables == ("2", "1", "5", "6")
    assert row.values["cones.first_error_step"] == 99.8
    assert row.values["geometry.bias_abs"] == 0.009


@pytest.mark.parametrize(
    ("paper", "name", "key"),
    [
        (Paper.RS, "ResNet50, Baseline, ImageNet", "geometry.pearson.minimum_loss"),
        (Paper.VS, "network not given, LS α = 0.3, CIFAR100", "calibration.ece"),
    ],
)
def test_a_slip_of_a_paper_is_left_out_with_its_reason(paper, name, key):
    row = named(paper, name)

    assert key not in row.values
    assert len(row.missing[key]) > 20


def test_every_empty_cell_is_a_slip_that_is_named():
    with (FOLDER / "slips.csv").open(newline="") as file:
        named_slips = {(line["file"], line["column"], line["row"].partition(" / ")[0]) for line in csv.DictReader(file)}
    empty = set()
    for file in FOLDER.glob("*_table*.csv"):
        with file.open(newline="") as stream:
            for line in csv.DictReader(stream):
                empty |= {(file.stem, column, next(iter(line.values()))) for column, value in line.items() if not value}

    assert {cell for cell in empty if cell[1] != "alpha"} == named_slips  # one-hot labels have no mass


def test_every_file_is_on_the_page_that_says_where_it_comes_from():
    page = (FOLDER / "README.md").read_text()

    assert set(re.findall(r"`(\w+\.csv)`", page)) == {file.name for file in FOLDER.glob("*.csv")}


@pytest.mark.parametrize("paper", Paper)
def test_fractions_lie_between_0_and_1_and_each_table_says_how_it_measured(paper):
    fractions = [
        value
        for row in rows(paper)
        for key, value in row.values.items()
        if key.startswith(("accuracy", "calibration", "robustness"))
    ]

    assert fractions
    assert min(fractions) > 0
    assert max(fractions) < 1
    told = " ".join(conventions(paper))
    assert all(number in told for row in rows(paper) for number in row.tables)


@pytest.mark.parametrize(
    ("printed", "architecture"),
    [
        ("ResNet50", "resnet50"),
        ("ResNet50", "resnet50.a1_in1k"),
        ("Swin-T", "swin_tiny_patch4_window7_224"),
        ("Swin-T", "swin_t"),
        ("MobileNetV2", "mobilenet_v2"),
        ("MobileNetV2", "mobilenetv2_100"),
        ("ConvNeXt-T", "convnext_tiny"),
        ("ViT-B-16", "vit_base_patch16_224"),
        ("ViT-B/16", "vit_b_16"),
        ("EfficientNet-B1", "efficientnet_b1"),
        ("ResNet-18", "resnet18"),
        ("ResNeXt-50", "resnext50_32x4d"),
    ],
)
def test_a_network_is_known_by_the_names_of_timm_and_torchvision(printed, architecture):
    assert is_same_architecture(printed, architecture)


@pytest.mark.parametrize(
    ("printed", "architecture"),
    [("ResNet50", "resnet50d"), ("ResNet50", "wide_resnet50_2"), ("Swin-T", "swin_small_patch4_window7_224"),
     ("MobileNetV2", "mobilenetv2_140"), ("ResNet-18", "resnet50"), ("Nobody's", "resnet50")],
)  # fmt: skip
def test_a_variant_is_another_network(printed, architecture):
    assert not is_same_architecture(printed, architecture)
