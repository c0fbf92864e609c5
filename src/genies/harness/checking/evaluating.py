"""Check eval.py by its evaluations of a tuned model."""

from __future__ import annotations

from collections.abc import Iterator

from genies.evaluation_file import Evaluation
from genies.harness.checking.advice import advice
from genies.harness.checking.figures import (
    Evaluated,
    difference_between_runs,
    difference_by_order,
    fault_in_pairs,
    tested_pairs,
)
from genies.harness.checking.made_project import EVALUATED, Role
from genies.harness.checking.outputs import Outputs, read_outputs
from genies.harness.checking.report import Verdict, failed, ok, skipped
from genies.harness.checking.runs import Ran, Runs


def judge_evaluation(runs: Runs, usual: Ran, unusual: Ran | None) -> Iterator[Verdict]:
    """Verdicts on evaluating the model of training run `usual`, and that of `unusual`, its repetition with awkward
    paths."""
    plain, awkward = runs.project.plain, runs.project.awkward
    orders = [(plain, usual.output_dir, EVALUATED)]
    if unusual is not None:
        orders.append((awkward, unusual.output_dir, EVALUATED))
    first, *others = runs.evaluate(*orders)
    second = others[0] if others else None
    if first.succeeded:
        yield ok("eval.py runs", f"{first.outcome.seconds:.1f} s, exit status 0")
        files = read_outputs(dict.fromkeys(EVALUATED, first))
        yield from _judge_presence(files)
    elif first.outcome.timed_out:
        yield _eval_fails(first, runs)
        return
    else:
        alone = dict(
            zip(EVALUATED, runs.evaluate(*((plain, usual.output_dir, [role]) for role in EVALUATED)), strict=True)
        )
        verdict = _stumbles_over(first, alone, runs)
        yield verdict
        if verdict.check == "eval.py runs":
            return
        if verdict.check != "several distributions":
            yield skipped("several distributions", "eval.py fails when it is given all of them")
        yield ok("eval.py runs", f"{alone['two'].outcome.seconds:.1f} s, exit status 0 for one distribution")
        files = read_outputs({role: ran for role, ran in alone.items() if ran.succeeded})
        second = None
    yield from _judge_content(files)
    evaluated = {
        role: Evaluated(evaluation, tested_pairs(plain.distributions[role], runs.eval_kwargs.get("max_examples")))
        for role, evaluation in files.valid.items()
    }
    in_pairs = _judge_pairs(files, evaluated)
    yield in_pairs
    why = "eval.py fails when it is given all distributions" if not first.succeeded else ""
    again = None if second is None else read_outputs(dict.fromkeys(EVALUATED, second))
    yield _judge_paths(files, second, again, why)
    repeated = _judge_repetition(files, again, second, why)
    yield repeated
    yield _judge_order(files, evaluated, in_pairs, repeated)


def _stumbles_over(first: Ran, alone: dict[Role, Ran], runs: Runs) -> Verdict:
    """The check that a failed evaluation of all distributions fails, from evaluations of one distribution each."""
    if not alone["two"].succeeded:
        return _eval_fails(alone["two"], runs)
    if not alone["target"].succeeded:
        ran = alone["target"]
        return failed(
            "2 to 4 responses",
            expected="eval.py accepts examples with 2 to 4 responses; it accepts those with 2",
            came=ran.describe(),
            log=ran.log,
            change="exactly one response of an example has the value 1.0; it forms a pair with each of the others",
        )
    if not alone["source"].succeeded:
        ran = alone["source"]
        return failed(
            "source as target",
            expected="eval.py evaluates on the distribution that the model was tuned on, as on any other: "
            "every table has a column for it",
            came=ran.describe(),
            log=ran.log,
            change="accept the source in --distribution_dirs; eval.py reads its test.json, train.py its train.json",
        )
    return failed(
        "several distributions",
        expected=f"one run evaluates {len(alone)} distributions; it evaluates each of them alone",
        came=first.describe(),
        log=first.log,
        change="iterate over --distribution_dirs and --output_paths together, and keep no state between distributions",
    )


def _eval_fails(ran: Ran, runs: Runs) -> Verdict:
    given = "".join(f", --{name}" for name in runs.eval_kwargs)
    return failed(
        "eval.py runs",
        expected="eval.py exits with status 0 when it is given --model_dir, --distribution_dirs, "
        f"--output_paths{given}, each followed by its value as a separate argument; the two lists are JSON, "
        'such as \'["d1", "d2"]\'',
        came=ran.describe(),
        log=ran.log,
        change=advice(
            ran,
            "accept these arguments and require no others, and read the lists with json.loads; other arguments need "
            "a default, or must be passed here with --eval_kwargs as in the main job",
        ),
    )


def _judge_presence(files: Outputs) -> Iterator[Verdict]:
    log = next(iter(files.ran.values())).log
    asked = len(files.ran)
    there = asked - len(files.missing)
    if files.missing and there:
        yield failed(
            "several distributions",
            expected=f"for {asked} distributions, a file at each of {asked} output paths",
            came="exit status 0, but no file at\n" + _paths(files),
            log=log,
            change="iterate over --distribution_dirs and --output_paths together and write a file for each",
        )
    elif files.missing:
        yield failed(
            "valid evaluations",
            expected="eval.py writes a JSON object at each of --output_paths",
            came="exit status 0, but no file at\n" + _paths(files),
            log=log,
            change="write to exactly the given paths, which are absolute or relative to the working directory; do not "
            "put them below another folder, and do not change their suffix",
        )
        yield skipped("several distributions", "no file was written")
    else:
        yield ok("several distributions", f"{asked} in one run")


def _paths(files: Outputs) -> str:
    return "\n".join(str(files.ran[role].outputs[role]) for role in files.missing)


def _judge_content(files: Outputs) -> Iterator[Verdict]:
    """Verdicts on the content of the files, and on the kinds of distribution with valid files."""
    if files.faults:
        role, fault = next(iter(files.faults.items()))
        numbers = "field " in fault
        yield failed(
            "valid evaluations",
            expected="a JSON object with eval_accuracy, a number from 0 to 1; other values of the contract, "
            "if there are any, in their ranges",
            came=fault + (f"\nand {len(files.faults) - 1} more files" if len(files.faults) > 1 else ""),
            log=files.ran[role].log,
            change="write it with json.dump from plain Python numbers (float(x), not an array or a tensor)"
            + (", and find out why it is NaN or out of range" if numbers else ", write all of it, and close the file"),
        )
    elif files.valid:
        yield ok("valid evaluations", _keys(files))
    kinds: list[tuple[str, list[Role], str]] = [
        ("2 to 4 responses", ["two", "target"], "2, 3 and 4, and only 2"),
        ("source as target", ["source"], ""),
    ]
    for check, roles, note in kinds:
        if all(role in files.valid for role in roles):
            yield ok(check, note)
        else:
            yield skipped(check, "no valid evaluation")


def _keys(files: Outputs) -> str:
    evaluation = next(iter(files.valid.values()))
    known = [name for name in Evaluation.model_fields if name in evaluation.model_fields_set]
    more = len(evaluation.model_extra or {})
    listed = ", ".join(known[:3]) + (f" and {len(known) - 3} more" if len(known) > 3 else "")
    return listed + (f", {more} of its own" if more else "")


def _judge_pairs(files: Outputs, evaluated: dict[Role, Evaluated]) -> Verdict:
    check = "values of pairs"
    if not evaluated:
        return skipped(check, "no valid evaluation")
    for role, each in evaluated.items():
        fault = fault_in_pairs(each)
        if fault is not None:
            expected, came = fault
            path = files.ran[role].outputs[role]
            return failed(
                check,
                expected=expected,
                came=f"{came}\nin {path}",
                log=files.ran[role].log,
                change="write one probability for each pair of the best response and a worse one, in the order of the "
                "examples and of their worse responses; or leave eval_probabilities and eval_example_indices out",
            )
    if all(each.evaluation.eval_probabilities is None for each in evaluated.values()):
        return skipped(check, "no eval_probabilities, so there are no intervals and no calibration error")
    return ok(check, f"{sum(len(each.pairs) for each in evaluated.values())} pairs")


def paths_fail(ran: Ran, came: str = "") -> Verdict:
    return failed(
        "paths",
        expected=f"{ran.script} works with paths that contain spaces, quotes, commas and letters of other scripts and "
        "that are relative to the working directory; it works with plain absolute paths",
        came=came or ran.describe(),
        log=ran.log,
        change="use each path as it is given: do not split it at spaces or commas, do not use a shell command (give "
        "subprocess a list), and do not call os.chdir before using it",
    )


def _judge_paths(files: Outputs, second: Ran | None, again: Outputs | None, why: str) -> Verdict:
    if second is None or again is None:
        return skipped("paths", why)
    if not second.succeeded:
        return paths_fail(second)
    if not files.valid:
        return skipped("paths", "no valid evaluation")
    lost = [role for role in files.valid if role not in again.valid]
    if lost:
        fault = again.faults.get(lost[0], f"exit status 0, but no file at\n{second.outputs[lost[0]]}")
        return paths_fail(second, fault)
    return ok("paths", "spaces, quotes, commas, other scripts; absolute and relative")


def _judge_repetition(files: Outputs, again: Outputs | None, second: Ran | None, why: str) -> Verdict:
    check = "same values again"
    if second is None or again is None or not second.succeeded:
        return skipped(check, why or "the second run, with other paths, failed")
    both = [role for role in files.valid if role in again.valid]
    if not both:
        return skipped(check, "no valid evaluation")
    for role in both:
        difference = difference_between_runs(files.valid[role], again.valid[role])
        if difference is not None:
            return failed(
                check,
                expected="training and evaluating twice on the same data with the same arguments gives the same "
                "values, whatever the paths",
                came=f"{difference}\nin {files.ran[role].outputs[role]}\nand {second.outputs[role]}",
                log=second.log,
                change="seed every generator (random, numpy, torch) from an argument --seed with a default; the result "
                "must not depend on the order of a set, the time, a path or the order of a directory listing",
            )
    return ok(check, f"trained and evaluated twice, {len(both)} distributions")


def _judge_order(files: Outputs, evaluated: dict[Role, Evaluated], in_pairs: Verdict, repeated: Verdict) -> Verdict:
    check = "order of responses"
    given, reordered = evaluated.get("target"), evaluated.get("reordered")
    if given is None or reordered is None:
        return skipped(check, "no valid evaluation")
    if in_pairs.state == "FAILED":
        return skipped(check, "until 'values of pairs' is ok")
    difference = difference_by_order(given, reordered)
    if difference is None:
        compared = "accuracy" if given.evaluation.eval_probabilities is None else "accuracy and probabilities"
        return ok(check, compared)
    if repeated.state == "FAILED":
        return skipped(check, "until 'same values again' is ok: values differ between runs")
    ran = files.ran["target"]
    return failed(
        check,
        expected="the same accuracy, and the same probability for each pair, when the file contains the responses of "
        "every example in another order",
        came=f"{difference}\nin {ran.outputs['target']}\nand {files.ran['reordered'].outputs['reordered']}",
        log=ran.log,
        change="score each response by itself, or present each pair in both orders; the score must not depend on the "
        "best response's position in the file, and a tie counts half in either order",
    )
