"""How far an item can be trusted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.confidence import WEIGHTS, ConfidenceCalculator
from scrapy_resilience.exceptions import ConfigurationError

BEST = {
    "content": "x" * 20_000,
    "sources": ["json-ld", "microdata", "css"],
    "extraction_method": "structured",
    "response_time": 0.3,
    "status": 200,
    "structured_data": True,
}
WORST = {
    "content": "",
    "sources": [],
    "extraction_method": "raw",
    "response_time": 60,
    "status": 503,
    "structured_data": False,
}
FACTOR = {
    "content": "content_length",
    "sources": "source_count",
    "extraction_method": "extraction",
    "response_time": "speed",
    "status": "response_quality",
    "structured_data": "structured_data",
}
inputs = st.fixed_dictionaries(
    {},
    optional={
        "content": st.none()
        | st.text()
        | st.binary()
        | st.integers(0, 30_000).map("x".__mul__),
        "sources": st.none()
        | st.lists(st.sampled_from("abcd"))
        | st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2)),
        "extraction_method": st.none()
        | st.sampled_from(["structured", "semantic", "raw", "?"]),
        "response_time": st.none() | st.floats(),
        "status": st.none() | st.integers(0, 999),
        "structured_data": st.none() | st.booleans() | st.lists(st.integers()),
    },
)


def calculate(weights=None, **known):
    """The confidence by *weights*."""
    return ConfidenceCalculator(weights).calculate(**known)


def test_the_weights():
    """The shares are those of the specification."""
    assert WEIGHTS == {
        "content_length": 0.25,
        "source_count": 0.2,
        "extraction": 0.2,
        "response_quality": 0.15,
        "structured_data": 0.1,
        "speed": 0.1,
    }
    assert sum(WEIGHTS.values()) == pytest.approx(1)


def test_the_best():
    """All that is good makes high quality, and nothing to warn of."""
    best = calculate(**BEST)

    assert best.overall == 0.98
    assert best.extraction_quality == "high"
    assert best.source_count == 3
    assert set(best.factors) == set(WEIGHTS)
    assert best.warnings == []


def test_the_worst():
    """All that is bad makes low quality, and a warning for each."""
    worst = calculate(**WORST)

    assert worst.overall == 0.09
    assert worst.extraction_quality == "low"
    assert worst.warnings == [
        "the page has 0 characters",
        "no source",
        "the status is 503",
        "the answer took 60.0 s",
    ]


def test_nothing_is_known():
    """Without an input the confidence is 0, low, and says why."""
    nothing = calculate()

    assert (nothing.overall, nothing.extraction_quality) == (0.0, "low")
    assert (nothing.factors, nothing.warnings) == ({}, ["nothing is known of it"])


@pytest.mark.parametrize("known", BEST)
def test_what_is_unknown_drops_out(known):
    """One input alone has all the weight: its factor is the confidence."""
    alone = calculate(**{known: BEST[known]})

    assert alone.factors == {FACTOR[known]: alone.overall}


@pytest.mark.parametrize("known", BEST)
def test_each_input_counts(known):
    """A worse input makes a lower confidence."""
    assert calculate(**{**BEST, known: WORST[known]}).overall < calculate(**BEST).overall


@pytest.mark.parametrize("known", BEST)
def test_a_weight_of_nothing(known):
    """A factor with the weight 0 changes nothing."""
    weights = {FACTOR[known]: 0}

    changed = calculate(weights, **{**BEST, known: WORST[known]})
    assert changed.overall == calculate(weights, **BEST).overall


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"extraction_method": "structured"}, {"extraction_method": "semantic"}),
        ({"extraction_method": "semantic"}, {"extraction_method": "raw"}),
        ({"content": "x" * 5_000}, {"content": "x" * 500}),
        ({"content": b"x" * 500}, {"content": b" " * 5_000}),
        ({"sources": ["a", "b"]}, {"sources": ["a"]}),
        ({"sources": ["a", "b"]}, {"sources": ["a", "a"]}),
        ({"sources": {"a": 1, "b": 1}}, {"sources": {"a": 1, "b": 2}}),
        ({"sources": {"a": 1}}, {"sources": {"a": 1, "b": 2}}),
        ({"status": 200}, {"status": 206}),
        ({"status": 206}, {"status": 404}),
        ({"status": 304}, {"status": 302}),
        ({"status": 200}, {"status": 204}),
        ({"response_time": 0.5}, {"response_time": 5}),
        ({"response_time": 5}, {"response_time": 9}),
        ({"structured_data": [{"@type": "Product"}]}, {"structured_data": []}),
        ({"structured_data": True}, {"structured_data": {}}),
    ],
)
def test_better_and_worse(better, worse):
    """The order of what can be known."""
    assert calculate(**better).overall > calculate(**worse).overall


@pytest.mark.parametrize(
    ("overall", "quality"), [(0.8, "high"), (0.79, "medium"), (0.5, "medium"), (0.49, "low")]
)
def test_the_bounds_of_quality(overall, quality):
    """High from 0.8 on, medium from 0.5 on."""
    weights = {**dict.fromkeys(WEIGHTS, 0), "structured_data": overall, "speed": 1 - overall}

    found = calculate(weights, structured_data=True, response_time=100)
    assert (found.overall, found.extraction_quality) == (overall, quality)


@pytest.mark.parametrize("usual", [40, 900, 20_000, 300_000])
def test_a_usual_length(usual):
    """A page is judged by what is usual: a small API is as good as a large shop."""
    score = [
        calculate(content="x" * int(usual * share), usual_length=usual).overall
        for share in (3, 1, 0.5, 0.2, 0.04)
    ]
    assert score[:3] == [1, 1, 1]
    assert 1 > score[3] > score[4] == 0


def test_an_unusual_length_is_warned_of():
    """The warning names both lengths; a page without a text is as bad as ever."""
    found = calculate(content="x" * 500, usual_length=8000.4)
    assert found.warnings == ["the page has 500 characters, usual are 8000 and more"]
    for blank in ("", b" \n"):
        found = calculate(content=blank, usual_length=1)
        assert (found.overall, found.warnings) == (0, ["the page has 0 characters"])


@pytest.mark.parametrize("usual", [None, 0, -5, float("nan"), float("inf")])
def test_no_usual_length(usual):
    """What is not a length is not known: all pages are judged alike then."""
    content = {"content": "x" * 1000, "response_time": 5}
    found = calculate(**content, usual_length=usual, usual_response_time=usual)
    assert found == calculate(**content)


def test_a_usual_response_time():
    """A site that always takes its time is in no trouble; ten times as much is."""
    assert calculate(response_time=6, usual_response_time=6).overall == 1
    assert calculate(response_time=60, usual_response_time=6).overall == 0
    assert calculate(response_time=5, usual_response_time=0.1) == calculate(response_time=5)


def test_reasons():
    """The warnings say why; where there is none, the factors that are too low do."""
    dull = calculate(status=203, extraction_method="raw", structured_data=False)
    assert dull.warnings == []
    assert dull.reasons(0.75) == [
        "a pattern in the text has found it",
        "the answer is partial",
        "the page has no structured data",
    ]
    assert calculate(status=503, structured_data=False).reasons(0.75) == ["the status is 503"]


@given(inputs, st.floats(0, 1))
def test_there_is_always_a_reason(known, minimum):
    """Whatever is below a minimum has a reason."""
    found = calculate(**known)
    assert found.overall >= minimum or found.reasons(minimum)


def test_sources_that_disagree():
    """Disagreement is warned of; agreement and names alone are not."""
    assert calculate(sources={"a": 1, "b": 2}).warnings == ["the sources disagree"]
    assert calculate(sources={"a": [1], "b": [1]}).warnings == []
    assert calculate(sources=["a", "b"]).source_count == 2
    assert calculate(sources="json-ld").source_count == 1


def test_an_unknown_method():
    """A method that is not known drops out, with a warning."""
    found = calculate(extraction_method="magic", status=200)

    assert found.factors == {"response_quality": 1.0}
    assert found.warnings == ["unknown method of extraction: magic"]


@pytest.mark.parametrize(
    "weights",
    [{"charm": 1}, {"speed": -1}, {"speed": float("nan")}, {"speed": "1"}, {"speed": True},
     dict.fromkeys(WEIGHTS, 0)],
)  # fmt: skip
def test_wrong_weights(weights):
    """Weights that are none are refused with a sentence."""
    with pytest.raises(ConfigurationError, match="confidence"):
        ConfidenceCalculator(weights)


@given(inputs)
def test_any_input(known):
    """The confidence and all factors are from 0 to 1, and can be written as JSON."""
    found = calculate(**known)

    assert all(0 <= each <= 1 for each in [found.overall, *found.factors.values()])
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()


@given(inputs, st.floats(0.001, 1000))
def test_weights_are_shares(known, times):
    """Only the proportions of the weights count."""
    weights = {name: share * times for name, share in WEIGHTS.items()}

    assert calculate(weights, **known).overall == pytest.approx(calculate(**known).overall)


def test_each_result_is_its_own():
    """A result that is changed changes no other."""
    calculator = ConfidenceCalculator()
    calculator.calculate(status=200).factors.clear()

    assert calculator.calculate(status=200).factors == {"response_quality": 1.0}
