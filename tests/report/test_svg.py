import xml.etree.ElementTree as ET

import pytest

from bumperlane.case import Arm, CurvePoint, Onset
from bumperlane.report import svg
from report.cases import DEPARTURE, EXPERIMENT, HOSTILE, ONSET, r


def circles(markup, kind):
    return [float(c.get("cx")[:-1]) for c in ET.fromstring(markup).iter("circle") if c.get("class").split()[0] == kind]


@pytest.mark.parametrize(
    "drawing",
    [
        svg.onset_curve(ONSET, [8, 32]),
        svg.onset_curve(Onset(low=0, high=0)),
        svg.forest_row(DEPARTURE, 0.1),
        svg.forest_row(DEPARTURE.model_copy(update={"effect": None, "control": None, "bumper": HOSTILE}), None),
        svg.forest_axis(0.1),
        svg.forest_axis(None),
        svg.effect_bar(r(-0.1, -0.2, 0.0), (-0.2, 0.7), "cleared"),
        svg.effect_bar(r(float("nan"), float("-inf"), float("inf")), (0.0, 0.1), "confirmed"),
        svg.effect_bar(None, (0.0, 0.1), "suspected"),
        svg.effect_axis((-0.5, 0.5)),
        svg.arm_dots(Arm(name=HOSTILE, rates=[0.1, float("nan"), float("inf")], seeds=[0])),
    ],
)
def test_every_drawing_is_well_formed_titled_and_finite(drawing):
    root = ET.fromstring(drawing)
    assert root.find("title").text and root.find("desc").text
    places = [
        v for e in root.iter() for k, v in e.attrib.items() if k in {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r"}
    ]
    assert all(abs(float(v.rstrip("%"))) < 1000 for v in places)
    assert {e.tag for e in root.iter()} <= {"svg", "title", "desc", "line", "circle", "rect", "text"}


def test_points_stand_in_the_order_of_their_values():
    places = circles(svg.onset_curve(ONSET), "dot")
    assert places == sorted(places) and len(places) == 5
    assert circles(svg.arm_dots(EXPERIMENT.arms[1]), "seed") == pytest.approx(
        [3 + 94 * x for x in (0.03, 0.05, 0.02)], abs=0.01
    )


def test_a_point_at_the_middle_of_the_scale_stands_in_the_middle():
    assert circles(svg.effect_bar(r(0.2, 0.1, 0.3), (-0.1, 0.5), "confirmed"), "dot") == [50.0]


def test_the_scale_holds_zero_and_every_interval():
    assert svg.effect_scale([r(0.52, 0.38, 0.64), r(-0.02, -0.09, 0.06)]) == pytest.approx((-0.1, 0.7))
    assert svg.effect_scale([]) == pytest.approx((0.0, 0.1))


def test_many_checkpoints_do_not_print_their_labels_over_one_another():
    curve = [CurvePoint(step=i, rate=r(0.1, 0.0, 0.2), n=10) for i in range(200)]
    root = ET.fromstring(svg.onset_curve(Onset(low=3, high=4, curve=curve)))
    assert sum(t.get("class") == "label middle" for t in root.iter("text")) <= 14


def lines(markup, kind):
    return [float(e.get("x1")[:-1]) for e in ET.fromstring(markup).iter("line") if e.get("class") == kind]


def test_a_forest_plot_puts_rate_control_and_threshold_on_one_scale():
    row = svg.forest_row(DEPARTURE, 0.1)
    places = [3 + 94 * x for x in (0.641, 0.0033, 0.1)]
    assert [*circles(row, "dot"), *circles(row, "ring"), *lines(row, "threshold")] == pytest.approx(places, abs=0.01)
    assert lines(svg.forest_row(DEPARTURE, None), "threshold") == []


@pytest.mark.parametrize(
    ("tolerated", "told"), [(0.1, "wholly above"), (0.6, "on both sides of"), (0.9, "wholly below")]
)
def test_a_reader_who_sees_no_drawing_is_told_on_which_side_the_interval_lies(tolerated, told):
    desc = ET.fromstring(svg.forest_row(DEPARTURE, tolerated)).find("desc").text
    assert f"worst context 64% (51 to 76), {told} the tolerated" in desc and "controls 0.3%" in desc


def test_scores_whose_range_no_float_holds_are_drawn():
    drawn = svg.histogram([-1.7e308, 0.0, 1.7e308])
    assert drawn.count('class="bar-bait"') == 3 and "nan" not in drawn and "inf" not in drawn
