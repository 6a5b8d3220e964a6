"""Part of the fuzzer, of this release's seed: problems against the oracle, and hostile inputs."""

import numpy as np
import pytest
import sklearn

from tests.fuzz.campaign import Table, campaign
from tests.fuzz.draw import ATTACKS, NAMES, SEED, draw
from tests.fuzz.hostile import cases, complaint
from tests.fuzz.known import KNOWN, which
from tests.fuzz.problems import Problem
from tests.fuzz.progress import Progress
from tests.fuzz.run import run, warm_up

N_PROBLEMS, PART, N_HOSTILE = 300, 25, 500


@pytest.mark.skipif(
    sklearn.__version__ < "1.7", reason="fits of the oldest scikit-learn overflow on their own"
)
@pytest.mark.parametrize("start", range(0, N_PROBLEMS, PART))
def test_problems(start):
    table = Table()
    for record in campaign(SEED, range(start, start + PART), n_questions=2):
        table.add(record)
    assert table.counts["right"] > 5 * PART
    lines = [
        f"{finding.kind}: {finding.question}: {finding.detail}\n    {record.problem!r}"
        for record, finding in table.unknown
    ]
    assert not lines, "\n".join(lines)


def test_the_quotas_of_these_problems():
    drawn = [draw(SEED, index) for index in range(N_PROBLEMS)]
    models = [problem.model for problem, _ in drawn]
    kinds = [kind for _, some in drawn for kind in some]
    assert min(map(models.count, NAMES)) >= N_PROBLEMS // len(NAMES)
    assert min(map(kinds.count, ATTACKS)) >= N_PROBLEMS // 60


@pytest.mark.parametrize("entry", KNOWN, ids=lambda entry: entry.name)
def test_what_is_known_still_shows(entry):
    warm_up()
    problem = entry.example
    findings = run(problem, entry.questions).findings
    assert any(which(problem, finding) is entry for finding in findings), "remove the entry"


MENDED = {
    "the loss of a row of weight 0 is infinite where its mean leaves the range: 0 times infinity": (
        Problem(
            "tweedie",
            seed=1760699310,
            n=18,
            p=1,
            m=4,
            strength=0.0,
            options=(("power", 1.0), ("link", "identity")),
            weights="zeros",
            shift=1e6,
            storage="frame",
            through="pipeline",
            curvature="cg",
        ),
        "loo_estimate",
    ),
    "the path of a hinge's dual divided by 0 where the free rows that stay depend on each other": (
        Problem(
            "trained hinge",
            seed=1132368245,
            n=10,
            m=1,
            outputs=2,
            strength=50.7,
            options=(("kernel", "linear"), ("temperature", 0.893)),
            data="binary",
            weights="uniform",
        ),
        "self_influence",
    ),
    "the leverage of a row that all but alone settles an intercept lost its other directions": (
        Problem(
            "sparse logistic",
            seed=270982469,
            n=10,
            p=3,
            outputs=3,
            strength=0.249,
            options=(("l1_ratio", 1.0),),
            data="duplicate columns",
            weights="zeros",
            scale="wide",
        ),
        "loo_estimate",
    ),
    "a group without which no row has curvature ended in a reshape": (
        Problem(
            "kernel logistic",
            seed=1712827835,
            n=6,
            p=4,
            outputs=3,
            strength=11.7,
            options=(("kernel", "linear"),),
            weights="wide",
        ),
        "loo_estimate",
    ),
    "refits of sparse rows went to the row space of a column without a penalty": (
        Problem(
            "tweedie",
            seed=454448218,
            n=16,
            p=1,
            intercept=False,
            strength=0.0,
            options=(("power", 1.5), ("link", "log")),
            storage="csr",
            curvature="dual",
        ),
        "influence",
    ),
    "joint steps multiplied what the fit had left of its gradient": (
        Problem(
            "poisson", seed=1534689832, n=14, p=4, m=4, strength=0.216, scale="wide", storage="csr"
        ),
        "group_influence",
    ),
    "the same, a little": (
        Problem(
            "gamma",
            seed=683326922,
            n=10,
            p=1,
            strength=0.00472,
            data="integers",
            weights="equal",
            labels="str",
            curvature="dual",
        ),
        "group_influence",
    ),
    "bounds at a low temperature did not know the rounding of a gradient": (
        Problem(
            "svr",
            seed=1347098740,
            n=2,
            p=1,
            strength=0.0124,
            options=(("kernel", "linear"), ("epsilon", 0.5), ("temperature", 0.0226)),
            weights="equal",
        ),
        "loo_estimate",
    ),
    "bounds did not know where a series ends": (
        Problem(
            "tweedie",
            seed=364298938,
            n=2,
            p=1,
            m=2,
            intercept=False,
            strength=0.000167,
            options=(("power", 1.5), ("link", "log")),
            weights="uniform",
            shift=1e6,
            labels="str",
            curvature="cg",
        ),
        "loo_estimate",
    ),
    "a polynomial kernel of rows far from zero said nothing": (
        Problem(
            "kernel ridge",
            seed=111938621,
            n=8,
            p=4,
            strength=2.25,
            options=(("kernel", "poly"), ("gamma", 0.623), ("degree", 2), ("coef0", 1.0)),
            data="saturated",
            weights="zeros",
            shift=1000.0,
        ),
        "loo_estimate",
    ),
    "rows that no active coefficient sees were never refitted": (
        Problem(
            "quantile",
            seed=1490969868,
            n=13,
            p=4,
            intercept=False,
            strength=0.152,
            options=(("quantile", 0.73), ("temperature", 0.745)),
            data="integers",
            labels="odd",
            storage="F",
            through="pipeline",
            curvature="dual",
        ),
        "most_influential",
    ),
    "a refit ended where heavy rows outweighed the gradient of light ones": (
        Problem(
            "quantile",
            seed=674959829,
            p=4,
            m=1,
            strength=0.0,
            options=(("quantile", 0.34), ("temperature", 0.0514)),
            weights="wide",
            storage="frame",
            through="pipeline",
        ),
        "loo_estimate",
    ),
    "classes shared a change that no prediction sees, at rows far from zero": (
        Problem(
            "logistic",
            seed=111924043,
            n=8,
            p=3,
            m=2,
            outputs=3,
            intercept=False,
            strength=2.42,
            shift=10000.0,
            labels="odd",
            storage="F",
            through="explainer",
            curvature="dual",
        ),
        "loo_estimate",
    ),
    "a sum of squares without a row was what three terms of a thousand times its size left": (
        Problem("ridge", seed=2051677893, n=3, p=4, m=1, strength=0.00019),
        "case_deletion_diagnostics",
    ),
    "a row whose dual variable ended at its cap kept the intercept from its interval's middle": (
        Problem(
            "trained hinge",
            seed=2091690750,
            n=11,
            p=1,
            m=1,
            outputs=3,
            options=(("kernel", "rbf"), ("gamma", 0.139), ("temperature", 0.707)),
        ),
        "loo_estimate",
    ),
    "an L1 refit to rows whose columns are dependent took a solution of 1e14": (
        Problem("lasso", seed=1536352099, n=7, p=1, m=1, strength=0.0318, shift=1000.0),
        "group_influence",
    ),
    "an L1 refit to one row stayed where it was": (
        Problem(
            "quantile",
            seed=2128159868,
            n=2,
            m=1,
            strength=0.0927,
            options=(("quantile", 0.7), ("temperature", 0.0975)),
            weights="equal",
        ),
        "loo_estimate",
    ),
    "a Brier score lost the largest of its slopes": (
        Problem("logistic", seed=928335371, n=4, p=1, m=1, outputs=3, weights="wide"),
        "influence",
    ),
    "a Poisson deviance of a mean far above the response was -inf": (
        Problem("poisson", seed=220114932, n=7, p=3, m=1, weights="wide"),
        "influence",
    ),
    "local influence needed eigenvalues that a sum had lost": (
        Problem(
            "ridge",
            seed=649625696,
            n=5,
            p=4,
            m=1,
            intercept=False,
            weights="wide",
            shift=1000000.0,
        ),
        "local_influence",
    ),
    "bounds did not know the rounding of a fit with heavy rows": (
        Problem(
            "logistic",
            seed=1907149570,
            n=15,
            m=1,
            outputs=2,
            strength=5.66,
            data="saturated",
            weights="wide",
            shift=1000.0,
        ),
        "loo_estimate",
    ),
    "sparse rows of great weight lost the digits of one minus their leverage": (
        Problem(
            "svc",
            seed=434057253,
            m=1,
            outputs=3,
            strength=2.59,
            options=(("kernel", "linear"), ("decision_function_shape", "ovo")),
            weights="wide",
            storage="csr float32",
            through="explainer",
        ),
        "self_influence",
    ),
    "an rbf kernel of rows of 1e6 lost the distance between near ones": (
        Problem(
            "svc",
            seed=1269935072,
            n=4,
            p=3,
            m=1,
            outputs=2,
            options=(("kernel", "rbf"), ("gamma", 0.786)),
            data="integers",
            scale="wide",
            through="explainer",
        ),
        "parameter_influence",
    ),
    "a small leverage of several outputs was a difference from 1": (
        Problem(
            "linear svc",
            seed=2116478561,
            n=5,
            p=1,
            m=2,
            outputs=3,
            intercept=False,
            strength=0.112,
            options=(("loss", "hinge"), ("intercept_scaling", 1.0)),
            data="integers",
            through="explainer",
        ),
        "case_deletion_diagnostics",
    ),
    "bounds of steps of a trained hinge were those of the smooth one": (
        Problem(
            "svc",
            seed=1080758442,
            n=16,
            m=1,
            outputs=2,
            strength=0.0224,
            options=(("kernel", "linear"),),
            weights="equal",
            through="explainer",
        ),
        "loo_estimate",
    ),
    "rows whose kernels differ by a ten thousandth of a millionth were taken for one": (
        Problem(
            "svc",
            seed=173728263,
            n=16,
            p=1,
            m=2,
            outputs=2,
            strength=0.0587,
            options=(("kernel", "poly"), ("gamma", 2.95), ("degree", 2), ("coef0", 1.0)),
            data="integers",
            weights="uniform",
            scale="wide",
            through="explainer",
        ),
        "parameter_influence",
    ),
    "a hinge of columns far from zero, whose margins rounding leaves violated, said nothing": (
        Problem(
            "linear svc",
            seed=229204957,
            n=7,
            p=1,
            m=1,
            outputs=2,
            options=(("loss", "hinge"), ("intercept_scaling", 1.0)),
            shift=100000.0,
            through="explainer",
        ),
        "influence",
    ),
    "the oracle took a row's share of the penalty from its leverage": (
        Problem("poisson", seed=1876867628, n=2, m=1, strength=0.000168),
        "case_deletion_diagnostics",
    ),
    "a step whose predictors overflow was no number, and the next an error": (
        Problem("poisson", seed=1055008198, n=7, p=4, m=1, strength=0.0, weights="wide"),
        "influence",
    ),
    "a gradient that overflows had a length of 0, and the refit of a group ended there": (
        Problem("poisson", seed=261248163, n=6, m=1, weights="wide"),
        "loo_estimate",
    ),
    "refits of groups ended with short steps where next to none of the curvature was left": (
        Problem(
            "gamma", seed=1642556960, n=4, p=7, m=2, strength=0.000115, data="heavy", y_scale=1e-4
        ),
        "group_influence",
    ),
    "refits of groups of heavy rows ended far from the optimum of the light ones": (
        Problem("gamma", seed=659709945, n=10, p=4, m=1, strength=0.0, weights="wide"),
        "loo_estimate",
    ),
    "conjugate gradients gave a row that alone spans a direction a refit of its own": (
        Problem("lasso", seed=177998440, n=4, p=5, m=1, strength=0.174, curvature="cg"),
        "influence",
    ),
    "steps of a fit overflowed in the penalty, and nothing was tried from elsewhere": (
        Problem(
            "sparse logistic",
            seed=777798847,
            n=15,
            p=3,
            m=1,
            outputs=3,
            strength=0.201,
            options=(("l1_ratio", 0.5),),
            weights="wide",
        ),
        "influence",
    ),
    "a fit stopped where the rounding of its predictors hid that the objective fell": (
        Problem(
            "quantile",
            seed=1707013795,
            n=15,
            p=3,
            m=1,
            strength=0.0,
            options=(("quantile", 0.78), ("temperature", 70400.0)),
            y_scale=1e6,
            y_shift=1e4,
        ),
        "parameter_influence",
    ),
    "curvature=cg of dependent columns ended in NumPy's words": (
        Problem(
            "least squares",
            seed=1690112373,
            n=6,
            p=4,
            m=1,
            data="saturated",
            weights="zeros",
            curvature="cg",
        ),
        "self_influence",
    ),
    "the oracle had no optimum of least squares with a column that no row has": (
        Problem(
            "least squares",
            seed=205322893,
            n=3,
            m=1,
            intercept=False,
            shift=1000.0,
            storage="csr float32",
        ),
        "influence",
    ),
    "and none of least squares whose only column is constant": (
        Problem(
            "least squares",
            seed=802997557,
            n=6,
            p=1,
            m=1,
            data="constant column",
            labels="str",
            through="explainer",
        ),
        "influence",
    ),
    "curvature=dual lost the little that a heavy row moves, and so its dual coefficient": (
        Problem(
            "kernel ridge",
            seed=1198816352,
            n=9,
            p=1,
            m=1,
            strength=0.0161,
            options=(("kernel", "rbf"), ("gamma", 0.383)),
            weights="wide",
            curvature="dual",
        ),
        "parameter_influence",
    ),
    "an rbf kernel in wide columns was not 1 between a row and itself": (
        Problem(
            "kernel ridge",
            seed=606195113,
            n=6,
            p=1,
            m=1,
            options=(("kernel", "rbf"), ("gamma", 0.276)),
            scale="wide",
        ),
        "loo_estimate",
    ),
    "new rows were read in features without the small pivots of a kernel": (
        Problem(
            "svr",
            seed=853159772,
            n=16,
            p=1,
            intercept=False,
            strength=22.8,
            options=(("kernel", "rbf"), ("gamma", 1.02), ("epsilon", 0.0), ("temperature", 0.333)),
            weights="uniform",
        ),
        "influence",
    ),
    "a pivot below 1e-12 of a polynomial kernel's largest entry was left out": (
        Problem(
            "svr",
            seed=226309481,
            n=5,
            m=1,
            options=(
                ("kernel", "poly"),
                ("gamma", 0.115),
                ("degree", 2),
                ("coef0", 1.0),
                ("epsilon", 0.1),
                ("temperature", 0.12),
            ),
            scale="wide",
        ),
        "loo_estimate",
    ),
    "the difference of two infinite deviances was a warning of NumPy's": (
        Problem(
            "tweedie",
            seed=1421893148,
            n=3,
            p=1,
            strength=0.0,
            options=(("power", 1.0), ("link", "identity")),
        ),
        "influence",
    ),
    "the slope of a cube near 0 was the error of a difference": (
        Problem(
            "transformed target",
            seed=1219724166,
            n=9,
            p=1,
            intercept=False,
            strength=0.0113,
            options=(("kind", "cube"),),
            scale="wide",
            through="explainer",
        ),
        "influence",
    ),
    "curvature=dual lost the digits of heavy rows in a column of many": (
        Problem(
            "svr",
            seed=2108464778,
            p=4,
            m=2,
            strength=4.86,
            options=(("kernel", "linear"), ("epsilon", 0.5), ("temperature", 0.774)),
            data="saturated",
            weights="equal",
            scale="wide",
            storage="csr",
        ),
        "influence",
    ),
    "the oracle kept a sum of softmax coefficients": (
        Problem(
            "logistic",
            seed=1787120586,
            p=4,
            m=2,
            outputs=3,
            intercept=False,
            strength=2.17,
            weights="zeros",
            shift=1000000.0,
            curvature="dual",
        ),
        "loo_estimate",
    ),
    "warnings of NumPy's came out of a Poisson deviance, which the fuzzer did not hear": (
        Problem(
            "transformed target",
            seed=26050772,
            n=15,
            p=3,
            intercept=False,
            strength=19.1,
            options=(("kind", "cube"),),
            data="saturated",
            weights="zeros",
            through="explainer",
        ),
        "influence",
    ),
    "and of groups without which a log link overflows on the way": (
        Problem(
            "tweedie",
            seed=56857590,
            n=4,
            m=2,
            strength=0.000104,
            options=(("power", 1.0), ("link", "log")),
            weights="wide",
            storage="F",
            curvature="dense",
        ),
        "group_influence",
    ),
    "a fit ended before saturated rows were at rest that alone hold a direction": (
        Problem(
            "kernel logistic",
            seed=69910975,
            n=16,
            p=4,
            outputs=2,
            strength=9.0,
            options=(("kernel", "linear"),),
            data="saturated",
            weights="zeros",
            scale="wide",
            labels="str",
            storage="F",
        ),
        "loo_estimate",
    ),
    "a log loss was the scorer's, which has lost the digits of the first of two classes": (
        Problem(
            "liblinear",
            seed=1621758759,
            n=14,
            p=1,
            outputs=2,
            strength=71.4,
            options=(("intercept_scaling", 3.0),),
            weights="wide",
            storage="float32",
            curvature="cg",
        ),
        "score_influence",
    ),
    "a bound lacked what the end of a series hides of the last gradient": (
        Problem(
            "gamma",
            seed=1004690628,
            n=2,
            p=1,
            m=1,
            intercept=False,
            strength=0.0253,
            through="pipeline",
        ),
        "loo_estimate",
    ),
    "sparse rows far from zero lost digits in the space of the rows, of which no bound knew": (
        Problem(
            "liblinear",
            seed=78818863,
            n=3,
            p=3,
            m=1,
            outputs=2,
            options=(("intercept_scaling", 1.0),),
            shift=1000.0,
            storage="csr float32",
        ),
        "loo_estimate",
    ),
    "and of more columns than rows": (
        Problem(
            "liblinear",
            seed=4,
            n=6,
            p=12,
            outputs=2,
            strength=0.08,
            options=(("intercept_scaling", 1.0),),
            shift=1000.0,
            storage="csr",
        ),
        "loo_estimate",
    ),
    "a step through next to no curvature overflowed with warnings of NumPy's": (
        Problem(
            "smooth hinge",
            seed=606241803,
            n=11,
            m=1,
            outputs=2,
            strength=1.44,
            options=(
                ("kernel", "poly"),
                ("gamma", 0.195),
                ("degree", 2),
                ("coef0", 1.0),
                ("class_weight", (1.46, 0.63, 2.96, 2.59)),
                ("temperature", 0.219),
            ),
            weights="equal",
            shift=1000.0,
        ),
        "loo_estimate",
    ),
    "a bound of inf times a row that no active coefficient sees was a warning of NumPy's": (
        Problem(
            "quantile",
            seed=332143438,
            n=8,
            p=4,
            m=1,
            intercept=False,
            strength=0.105,
            options=(("quantile", 0.73), ("temperature", 0.109)),
            storage="csr float32",
        ),
        "loo_estimate",
    ),
    "a path of dual variables ended near the optimum, which a new start finds": (
        Problem(
            "trained hinge",
            seed=427785734,
            n=8,
            p=1,
            m=1,
            outputs=2,
            options=(("kernel", "rbf"), ("gamma", 2.25), ("temperature", 0.0511)),
            scale="wide",
        ),
        "loo_estimate",
    ),
}


@pytest.mark.parametrize("name", MENDED)
def test_what_was_mended_stays_so(name):
    warm_up()
    problem, question = MENDED[name]
    tally = run(problem, (question,))
    assert tally.counts["questions"] > 0
    assert not tally.findings


@pytest.mark.parametrize("part", range(5))
def test_hostile_inputs_end_in_a_clear_error_at_once(part):
    everything = cases()
    picked = np.random.default_rng(SEED).permutation(len(everything))[part:N_HOSTILE:5]
    ends = {str(everything[k]): complaint(everything[k]) for k in picked}
    assert not {case: end for case, end in ends.items() if end is not None}


def test_a_campaign_goes_on_where_it_was_ended(tmp_path):
    first = Progress(tmp_path, SEED, 1)
    for record in campaign(SEED, range(3), n_questions=1):
        record.tally.find("wrong", "influence", "made up")
        first.add(record)  # written at once, for what was found
    (tmp_path / ".000004-1.json.part").write_text("{ a process that was ended while it wr")
    again = Progress(tmp_path, SEED, 1)
    assert list(again.records()) == [0, 1, 2]
    for record in campaign(SEED, range(2, 4), n_questions=1):
        again.add(record)
    again.flush()
    found = Progress(tmp_path, SEED, 1).records()
    assert list(found) == [0, 1, 2, 3]
    assert [len(record.tally.findings) for record in found.values()] == [1, 1, 0, 0]
    assert found[3] == record
    with pytest.raises(ValueError, match="not of"):
        Progress(tmp_path, SEED, 2).records()
