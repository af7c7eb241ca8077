"""The mutants of `python tests/mutants`, by the module that they change.

A group names its module once, and the tests that should notice; a mutant may name fewer or others. The old text of a
mutant stands once in the module: short, and without what a renaming elsewhere would touch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One replacement, and what it comes to."""

    what: str
    old: str
    new: str
    tests: tuple[str, ...] = ()  # pytest's; those of the group if empty


@dataclass(frozen=True)
class Group:
    """Mutants of one module."""

    module: str
    tests: tuple[str, ...]
    mutants: tuple[Mutant, ...]


def _of(file: str, *names: str) -> tuple[str, ...]:
    """Return tests of a file by their names."""
    return tuple(f"{file}::{name}" for name in names)


GRADIENT_TESTS = "tests/train/test_gradients.py"

# The gate.

GATE = Group(
    "fct.gate.checks",
    ("tests/gate/test_checks.py",),
    (
        Mutant("at least: the point decides", "self.estimate.low >= self", "self.estimate.value >= self"),
        Mutant("at most: the point decides", "self.estimate.high <= self", "self.estimate.value <= self"),
        Mutant("at least: the lucky bound decides", "self.estimate.low >= self", "self.estimate.high >= self"),
        Mutant("the threshold itself fails", "self.estimate.low >= self", "self.estimate.low > self"),
        Mutant("one passed check is enough", '"PASS" if all(', '"PASS" if any('),
        Mutant(
            "lines against a champion need none",
            'if line.champion is None and line.over == "images":',
            'if line.over == "images":',
        ),
        Mutant(
            "lines over trainings are judged by one",
            'if line.champion is None and line.over == "images":',
            "if line.champion is None:",
        ),
        Mutant("other lines are judged against a champion", "if line.champion is not None", "if True"),
        Mutant(
            "the champion is judged in the model's place",
            "predictions, champion, params)",
            "champion, predictions, params)",
        ),
        Mutant("a close check needs twice the images", "self.images * enough", "2 * self.images * enough"),
        Mutant("what has passed is open", "estimate.low < self.threshold <", "self.threshold <"),
        Mutant("views count as measured on no image", "0 if line.slice is None", "0 if line.slice is not None"),
        Mutant("the verdict hides its yardstick", "        **params.conditions,\n", ""),
        Mutant("every check is told as passed", '_passed"] = check["passed"]', '_passed"] = True'),
        Mutant("the first line may be unmeasured", "if problem := slice_problem(", "if index and slice_problem("),
    ),
)

INTERVALS = Group(
    "fct.evaluate.intervals",
    ("tests/evaluate/test_intervals.py",),
    (
        Mutant("one-sided intervals", "(1 - confidence) / 2, share", "1 - confidence, share"),
        Mutant("all right is certain", "if successes > 0 else 0.0", "if 0 < successes < images else share"),
        Mutant(
            "the low bound is Wilson's, or nearly",
            "betaincinv(successes, failures + 1",
            "betaincinv(successes + 1, failures + 1",
        ),
        Mutant(
            "the difference is one of different images",
            "correlation = -differing / (2 - differing)",
            "correlation = 0.0",
        ),
        Mutant(
            "few images break the order", "(images * (positive + negative) + 2) / (images + 4)", "positive + negative"
        ),
        Mutant(
            "bounds of the two sides are mixed up",
            "reach(positive - one.low, other.high - negative)",
            "reach(one.high - positive, negative - other.low)",
        ),
        Mutant("what is lost does not count", "(-shares).clip(min=0)", "(0 * shares)"),
        Mutant("the lowest value is the worst", "(estimate.low, estimate.value)", "(estimate.value, estimate.low)"),
        Mutant("the highest value is the worst", "(estimate.high, estimate.value)", "(estimate.value, estimate.high)"),
        Mutant("at most: the best counts as the worst", "return max(estimates", "return min(estimates"),
        Mutant(
            "the raw view counts among the qualities", "proportion(correct[1:].mean(0)", "proportion(correct.mean(0)"
        ),
        Mutant("the best quality is called the worst", "worst_quality = min(", "worst_quality = max("),
        Mutant("the worst of the summary is the best", 'worst(rows, "at least")', 'worst(rows, "at most")'),
    ),
)

MEASURES = Group(
    "fct.gate.measures",
    ("tests/gate/test_measures.py",),
    (
        Mutant(
            "the difference from a champion has the other sign",
            "PER_IMAGE[metric](own, part) - PER_IMAGE[metric](champion, part)",
            "PER_IMAGE[metric](champion, part) - PER_IMAGE[metric](own, part)",
        ),
        Mutant(
            "another image's answer is compared",
            "- PER_IMAGE[metric](champion, part)",
            "- PER_IMAGE[metric](champion, part)[::-1]",
        ),
        Mutant(
            "only the first view counts",
            "predictions.correct[part.where].mean(0)",
            "predictions.correct[part.where][0].astype(float)",
        ),
        Mutant(
            "other views are compared",
            "predictions.views != champion.views",
            "len(predictions.views) != len(champion.views)",
        ),
        Mutant("the raw view is of the sweep", "if view[1:].isdecimal()]  #", 'if "/" not in view]  #'),
        Mutant("every class has all images", "Part(label, sweep, images) for", "Part(label, sweep, everywhere) for"),
        Mutant(
            "of unseen distortions the first counts",
            "Part(name, rows, sample) for name, rows in judged.items()",
            "Part(name, rows, sample) for name, rows in [*judged.items()][:1]",
        ),
        Mutant(
            "agreement is with the label",
            "predictions.classes == predictions.classes[0]",
            "predictions.classes == predictions.labels",
        ),
        Mutant("a drop is a gain", "right[0] - right[part.rows].mean(0)", "right[part.rows].mean(0) - right[0]"),
        Mutant(
            "bins of the calibration error cancel",
            "np.abs(np.bincount(bins.ravel(), gap.ravel())).sum()",
            "abs(gap.sum())",
        ),
        Mutant("the largest gap is the error", "(size - error) / 2", "0.0"),
        Mutant("the champion's error is known", "champion.value - champion.low", "0.0"),
        Mutant("one bin of confidence", "BINS = 15", "BINS = 1"),
        Mutant(
            "the surest answers are in no bin",
            "np.minimum((sure * BINS).astype(np.int64), BINS - 1)",
            "(sure * BINS).astype(np.int64)",
        ),
        Mutant(
            "the worst part is that of a floor, whatever is measured",
            "in of_slice), check.direction)",
            'in of_slice), "at least")',
        ),
    ),
)

EVALUATE_PARAMS = Group(
    "fct.evaluate.params",
    ("tests/gate/test_params.py",),
    (
        Mutant("a quality may stand there twice", "values.count(value) > 1", "values.count(value) > 2"),
        Mutant("the batch size is a condition", 'exclude={"batch_size"}', "exclude=set()"),
        Mutant("the conditions forget the confidence", '{"batch_size"}', '{"batch_size", "confidence"}'),
    ),
)

GATE_PARAMS = Group(
    "fct.gate.params",
    ("tests/gate/test_params.py",),
    (
        Mutant(
            "worse than the champion is asked to be better",
            "return -self.champion if self",
            "return self.champion if self",
        ),
        Mutant("a calibration error is to be large", '"ece": "at most"', '"ece": "at least"'),
        Mutant(
            "a file is to be large",
            'return VIEW_METRICS.get(self.metric, "at most")',
            'return VIEW_METRICS.get(self.metric, "at least")',
        ),
        Mutant("a line may stand there twice", "names.count(name) > 1", "names.count(name) > 2"),
        Mutant(
            "a gate needs no line without a champion", "if all(check.champion is not None for", "if not all(True for"
        ),
        Mutant(
            "a gate may have no line against a champion",
            "if all(check.champion is not None for",
            "if any(check.champion is not None for",
        ),
        Mutant("agreement of raw images with themselves", 'in ("agreement", "drop")', 'in ("drop",)'),
        Mutant("8 bits are held to parity alone", 'line.metric != "parity"', 'line.metric == "parity"'),
        Mutant("8 bits are held to trainings", ' and line.over == "images"', ""),
        Mutant("8 bits are held against nothing", "champion=max_drop", "champion=1.0"),
        Mutant(
            "a quality that is not measured is fine",
            'f"q{quality}" for quality in evaluate.qualities',
            'f"q{quality}" for quality in range(101)',
        ),
    ),
)

# Losses.

FCT_TESTS = ("tests/methods/test_fct.py",)

DISTANCE = Group(
    "fct.losses.distance",
    ("tests/losses/test_distance.py",),
    (
        Mutant("features are pushed apart", "return 1 - cosine", "return 1 + cosine"),
        Mutant(
            "each process divides by its own variance",
            "if group is not None:",
            "if False:",
            (GRADIENT_TESTS,),
        ),
        Mutant(
            "an angle at each position",
            "compressed.flatten(1), raw.flatten(1)",
            "compressed.flatten(2), raw.flatten(2)",
        ),
        Mutant("the variance is around zero", "(raw - channel_mean).square()", "raw.square()"),
        Mutant("one mean over channels", "if axis != 1]", "if axis != 0]"),
        Mutant("a dead feature is infinitely far", "TINY = 1e-6", "TINY = 0.0"),
        Mutant("features are compared in bf16", "raw.float(), compressed.float()", "raw, compressed"),
    ),
)

FCT = Group(
    "fct.methods.fct",
    FCT_TESTS,
    (
        Mutant(
            "the raw branch learns where it should not", 'detach_target=params.target != "raw"', "detach_target=False"
        ),
        Mutant("the raw branch never learns", 'detach_target=params.target != "raw"', "detach_target=True"),
        Mutant(
            "the schedule runs backwards",
            '"rising": progress, "falling": 1 - progress',
            '"rising": 1 - progress, "falling": progress',
        ),
        Mutant("the weight is forgotten", "weight = params.weight * schedule_weight", "weight = schedule_weight"),
        Mutant("the raw view is pulled to the teacher", "if both else compressed", "if both else raw"),
        Mutant(
            "the target is projected",
            "compared = {layer: context.projections[layer_key(layer)](feature) for layer, feature in compared.items()}",
            "targets = {layer: context.projections[layer_key(layer)](feature) for layer, feature in targets.items()}",
        ),
        Mutant(
            "matched_views: one sees pairs", '_pass_one if params.matched_views == "one" else _pass_both', "_pass_both"
        ),
        Mutant("matched_views: both pulls one", 'both = params.matched_views == "both"', "both = False"),
        Mutant(
            "the weight of predictions is forgotten",
            'total + params.prediction_weight * parts["divergence"]',
            'total + parts["divergence"]',
        ),
        Mutant("predictions are pushed apart", "total + params.prediction_weight", "total - params.prediction_weight"),
        Mutant("known qualities are hidden", "quality.device) < probability", "quality.device) > probability"),
        Mutant(
            "only the compressed view's quality is hidden",
            "raw_quality=hide(batch.raw_quality), quality",
            "raw_quality=batch.raw_quality, quality",
        ),
        Mutant(
            "without blocks qualities are hidden",
            'params.name == "fct-r" and params.hidden_quality',
            "params.hidden_quality",
        ),
    ),
)

ESTIMATOR = Group(
    "fct.nn.estimator",
    ("tests/nn/test_estimator.py",),
    (
        Mutant("the image hides its artefacts", "self.weight - self.weight.mean", "self.weight - 0 * self.weight.mean"),
        Mutant("edges are artefacts", "self.bias, self.stride)", "self.bias, self.stride, 1)"),
        Mutant("channels make up for each other", "mean((2, 3), keepdim", "mean((1, 2, 3), keepdim"),
    ),
)
ESTIMATES = Group(
    "fct.train.estimator",
    ("tests/train/test_estimator.py",),
    (Mutant("half of the images are raw", "some = slice(None, None, RAW)", "some = slice(None)"),),
)
DISPERSION = Group(
    "benchmarks.comparison.statistics",
    ("tests/benchmarks/test_statistics.py",),
    (
        Mutant("seeds are normal", "t.isf(np.asarray(alpha) / 2, seeds - 1)", "norm.isf(np.asarray(alpha) / 2)"),
        Mutant("one side alone", "norm.isf(np.asarray(alpha) / 2)", "norm.isf(np.asarray(alpha))"),
        Mutant(
            "images are forgotten", "np.hypot(of_seeds * self.seeds, of_images * self.images)", "of_seeds * self.seeds"
        ),
        Mutant("images count twice", "np.maximum(0, together - apart)", "np.maximum(0, together)"),
        Mutant("the deviation is of all", "means.std(1, ddof=1)", "means.std(1)"),
        Mutant("no correction", "alpha / (len(p) - rank)", "alpha"),
        Mutant("Bonferroni's correction", "alpha / (len(p) - rank)", "alpha / len(p)"),
        Mutant("a difference after one that is not there counts", "            break\n", "            continue\n"),
    ),
)

BATCH = Group(
    "fct.methods.batch",
    (
        "tests/methods/test_augment.py",
        "tests/methods/test_batch.py",
        "tests/methods/test_pair.py",
        "tests/methods/test_fct.py",
        "tests/methods/test_distill.py",
    ),
    (
        Mutant("the rest is compressed", "< probability", "> probability"),
        Mutant(
            "one view has another crop than the teacher's",
            "batch.compressed, batch.reference)",
            "batch.compressed, batch.raw)",
        ),
        Mutant(
            "one draw for the whole batch",
            "context.draw(torch.rand, batch.labels.shape,",
            "context.draw(torch.rand, (1,),",
        ),
        Mutant(
            "compressed images are told the raw quality",
            "torch.where(is_compressed, batch.quality, batch.raw_quality)",
            "batch.raw_quality",
        ),
        Mutant("labels are never smoothed", "len(batch.labels), context.label_smoothing", "len(batch.labels), 0.0"),
        Mutant("mixed images have one label", "if batch.partners is None", "if True"),
        Mutant(
            "views are told each other's quality",
            "torch.cat([batch.raw_quality, batch.quality])",
            "torch.cat([batch.quality, batch.raw_quality])",
        ),
        Mutant(
            "per view: both are told the raw quality",
            "network(batch.compressed, batch.quality)",
            "network(batch.compressed, batch.raw_quality)",
        ),
        Mutant(
            "the teacher sees the compressed image",
            "teacher(batch.reference, batch.raw_quality)",
            "teacher(batch.compressed, batch.raw_quality)",
        ),
        Mutant(
            "the teacher sees another crop",
            "teacher(batch.reference, batch.raw_quality)",
            "teacher(batch.raw, batch.raw_quality)",
        ),
        Mutant("the teacher learns", "@torch.no_grad()\n", ""),
        Mutant(
            "the teacher's two views change places",
            "batch.raw_quality), reference_output]",
            "batch.raw_quality), reference_output][::-1]",
        ),
    ),
)

DISTILL = Group(
    "fct.methods.distill",
    ("tests/methods/test_distill.py",),
    (
        Mutant("the first layer is pulled", "params.layers[-1]", "params.layers[0]"),
        Mutant("the raw view's feature is pulled", "features[last][1]", "features[last][0]"),
    ),
)

JSD = Group(
    "fct.methods.jsd",
    ("tests/methods/test_jsd.py",),
    (Mutant("labels of compressed images are used", "entropy(raw, ", "entropy(logits, "),),
)

STABILITY = Group(
    "fct.methods.stability",
    ("tests/methods/test_stability.py",),
    (
        Mutant(
            "the divergence has the other direction",
            "kl_divergence(raw, compressed)",
            "kl_divergence(compressed, raw)",
        ),
        Mutant(
            "noise is told as a JPEG's quality",
            "params.noise, context), quality=batch.raw_quality",
            "params.noise, context), quality=batch.quality",
        ),
        Mutant("noise is cut off", ".round().clamp", ".clamp"),
        Mutant("noise beyond white turns black", ".clamp(0, 255)", ""),
        Mutant("noise is of half the deviation", "(255 * deviation)", "(127 * deviation)"),
        Mutant("labels of compressed images are used", "entropy(raw, ", "entropy(torch.cat([raw, compressed]), "),
    ),
)

OTHERS = (
    Group(
        "fct.methods.finetune",
        ("tests/methods/test_finetune.py",),
        (Mutant("the second half never begins", "TURN = 0.5", "TURN = 1.0"),),
    ),
    Group(
        "fct.methods.standard",
        ("tests/methods/test_standard.py",),
        (Mutant("compressed images are seen", "network(batch.raw, ", "network(batch.compressed, "),),
    ),
    Group(
        "fct.losses.projection",
        FCT_TESTS,
        (Mutant("channels are mapped by the transposed weight", '"oc,bc...->bo..."', '"co,bc...->bo..."'),),
    ),
    Group(
        "fct.methods.params",
        ("tests/methods/test_params.py",),
        (
            Mutant(
                "features take no part in distillation", 'self.name == "distill" and self.match == "features"', "False"
            ),
            Mutant("distillation needs no teacher", 'return self.name == "distill" or (', "return ("),
            Mutant("no average is kept", 'self.target == "ema-teacher"\n', 'self.target == "both"\n'),
            Mutant("no projection is made", 'self.projection == "linear"', 'self.projection == "mean"'),
            Mutant(
                "raw features are pulled to themselves",
                "if not (self.needs_teacher_file or self.needs_ema_teacher):",
                "if False:",
            ),
            Mutant("one view has two predictions", 'self.matched_views == "one" and self.pred', "False and self.pred"),
            Mutant("one view is forwarded twice", 'return 1 if self.matched_views == "one" else 2', "return 2"),
        ),
    ),
)

# JPEG.

ARRAYS = "tests/jpeg/test_arrays.py"

KERNEL = Group(
    "fct.jpeg.kernel",
    _of(ARRAYS, "test_every_quality_is_pillows[noise-3-4:2:2]"),
    (
        Mutant("halves of pairs are rounded alike", "(x & 1) * (2 - first)", "(x & 1) * (1 - first)"),
        Mutant(
            "quantisation rounds halves down", "float32(4 * step) + float32(0.5)", "float32(4 * step) - float32(0.5)"
        ),
        Mutant("one bit less before the rows", "= 11, 15, 11, 18", "= 11, 15, 10, 19"),
    ),
)

JPEG = (
    Group(
        "fct.jpeg.arrays",
        (ARRAYS,),
        (
            Mutant(
                "each thread begins with the first quality",
                "qualities[part] - 1",
                "qualities[: part.stop - part.start] - 1",
                _of(ARRAYS, "test_threads_give_each_image_its_own_quality"),
            ),
            Mutant(
                "every image has the first quality",
                "np.broadcast_to(np.asarray(quality, np.int64), (count,))",
                "np.full(count, np.asarray(quality).flat[0])",
                _of(ARRAYS, "test_every_quality_is_pillows[noise-3-4:2:2]"),
            ),
        ),
    ),
    Group(
        "fct.jpeg.shapes",
        _of(ARRAYS, "test_every_quality_is_pillows[noise-3-4:2:2]"),
        (Mutant("4:2:2 halves rows", '"4:2:2": (1, 2)', '"4:2:2": (2, 2)'),),
    ),
)

TENSORS = Group(
    "fct.jpeg.tensors",
    ("tests/jpeg/test_tensors.py::test_torchs_own_operations_are_pillows",),
    (
        Mutant(
            "the DCT is libjpeg's but for one",
            "2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260",
            "2260, -6437, 9633, -11363, 11363, -9633, 6437, -2260",
        ),
        Mutant("coefficients are cut off", "value + (1 << (bits - 1))", "value"),
        Mutant("quantisation is cut off", "coefficients.abs() + 4 * tables", "coefficients.abs()"),
        Mutant("columns interpolate with one rounding", "else (8, 7)", "else (8, 8)"),
        Mutant("pairs are rounded down", "(pairs + odd) >> 1", "pairs >> 1"),
        Mutant("squares are rounded alike", "+ 1 + odd) >> 2", "+ 2) >> 2"),
        Mutant("chroma is quantised as luma", "across), tables[:, 1:])", "across), tables[:, :1])"),
        Mutant("narrow planes are interpolated", "small.shape[-1] <= 2", "small.shape[-1] <= 1"),
        Mutant("neighbours lie beyond the image", "small = small[..., : -(-width // across)]", "small = small + 0"),
        Mutant("colours run over", "dim=1).clamp(0, 255)", "dim=1)"),
    ),
)

TABLES = Group(
    "fct.images.tables",
    ("tests/images/test_tables.py",),
    (
        Mutant("tables are cut off", "base * percent + 50", "base * percent"),
        Mutant("steps of zero", "// 100, 1, 255)", "// 100, 0, 255)"),
        Mutant("the quality is one too low", 'nearest + 1, "ijg"', 'nearest, "ijg"'),
        Mutant("wide tables are taken as they are", "for slot in slots], 255)", "for slot in slots], 65535)"),
        Mutant("the luminance alone tells", "image.layer[:2]", "image.layer[:1]"),
        Mutant("no tables are quality 100", "UNKNOWN_QUALITY = 0", "UNKNOWN_QUALITY = 100"),
        Mutant("low qualities scale as high ones", "if quality < 50", "if quality < 25"),
    ),
)

# The registry's evidence.

REGISTRY = "tests/test_registry.py"
WEAKER = ("tests/registry/test_evidence.py",)

EVIDENCE = Group(
    "fct.registry.evidence",
    WEAKER,
    (
        Mutant("the gate forgets the confidence", 'if then and here["confidence"] < then["confidence"]:', "if False:"),
        Mutant("more confidence is called weaker", 'here["confidence"] < then', 'here["confidence"] > then'),
        Mutant(
            "the gate forgets the unseen distortions", 'for key in ("qualities", "unseen")', 'for key in ("qualities",)'
        ),
        Mutant("the gate forgets the qualities", 'for key in ("qualities", "unseen")', 'for key in ("unseen",)'),
        Mutant(
            "a missing line is no weaker",
            "now is None\n            or now[0]",
            "now is not None\n            and now[0]",
        ),
        Mutant("a looser limit is no weaker", "else now[1] > threshold", "else now[1] < threshold"),
        Mutant("8 bits are asked for less", 'name != "parity" and not', 'name != "raw_ece" and not'),
        Mutant("another precision is asked for nothing", 'if name != "parity" and not', 'if name == "parity" and not'),
        Mutant(
            "a new proof is not told", '"fct.gate", "fct.yardstick", "fct.checks", "fct.gate_digest")', '"fct.gate",)'
        ),
        Mutant(
            "a verdict of another file",
            'if verdict["model_sha256"] != digest:',
            "if False:",
            _of(REGISTRY, "test_a_verdict_of_another_file_is_refused"),
        ),
        Mutant(
            "a failed check under a PASS",
            'verdict["verdict"] != "PASS" or failed',
            'verdict["verdict"] != "PASS"',
            _of(REGISTRY, "test_a_verdict_that_contradicts_itself_is_refused"),
        ),
        Mutant(
            "a FAIL without a failed check",
            'verdict["verdict"] != "PASS" or failed',
            "failed",
            _of(REGISTRY, "test_a_verdict_that_contradicts_itself_is_refused"),
        ),
        Mutant(
            "a line that was not judged",
            "if name not in judged and",
            "if False and",
            _of(REGISTRY, "test_a_line_that_was_not_judged_is_seen"),
        ),
        Mutant(
            "a threshold that was changed",
            "for name in judged if list",
            "for name in judged if False and list",
            _of(REGISTRY, "test_thresholds_changed_after_the_verdict_are_seen"),
        ),
        Mutant(
            "a yardstick that was changed",
            "if verdict.get(key) != value:",
            "if False:",
            _of(REGISTRY, "test_another_yardstick_after_the_verdict_is_seen"),
        ),
        Mutant(
            "params that are not committed",
            "if refused and not dirty:",
            "if False:",
            _of(REGISTRY, "test_what_is_not_committed_is_not_promoted"),
        ),
        Mutant(
            "an edited verdict", "!= md5(path):", "== '':", _of(REGISTRY, "test_a_verdict_that_was_edited_is_refused")
        ),
        Mutant(
            "a lock that is not committed",
            "    if unnamed:\n",
            "    if False:\n",
            _of(REGISTRY, "test_a_file_that_the_commit_does_not_name_is_refused"),
        ),
    ),
)

PROMOTION = Group(
    "fct.registry.promotion",
    (REGISTRY,),
    (
        Mutant(
            "another gate split",
            'if record.digest(split) != evidence.verdict["split"]["digest"]:',
            "if False:",
            _of(REGISTRY, "test_another_gate_split_is_refused"),
        ),
        Mutant(
            "a weaker gate is never refused",
            "if rival and not weaker:",
            "if False:",
            _of(REGISTRY, "test_a_gate_weaker_than_the_champions_is_refused"),
        ),
        Mutant(
            "a champion by hand is the rival",
            "rival = state.champion if state.is_proven else state.proven or state.champion",
            "rival = state.champion",
            _of(REGISTRY, "test_the_next_promotion_is_compared_with_the_proven_champion"),
        ),
        Mutant(
            "a worse model takes over",
            "elif all(check.passed for check in checks):",
            "elif True:",
            _of(REGISTRY, "test_a_worse_model_stays_challenger"),
        ),
        Mutant(
            "what was rolled back comes back",
            '"fct.rolled_back" in version.tags and not again',
            "False",
            _of(REGISTRY, "test_what_was_rolled_back_comes_back_only_when_told"),
        ),
        Mutant(
            "a rollback to what never passed",
            'back.tags.get("fct.verdict") != "PASS"',
            "False",
            _of(REGISTRY, "test_a_rollback_to_what_never_passed_is_refused"),
        ),
        Mutant(
            "another task",
            "if champion_classes != classes:",
            "if False:",
            _of(REGISTRY, "test_another_task_is_refused"),
        ),
        Mutant(
            "the champion is judged in the model's place",
            "own, of_champion, evaluate",
            "of_champion, own, evaluate",
            _of(REGISTRY, "test_a_worse_model_stays_challenger"),
        ),
    ),
)

HOSTS = ("tests/registry/test_hosts.py",)

EVENTS = Group(
    "fct.registry.events",
    HOSTS,
    (
        Mutant("every event counts", "if event.follows == last_id(valid):", "if True:"),
        Mutant("an ended champion is not marked", "tags.setdefault(number, {})[UNTIL] = event.when", "pass"),
        Mutant("a rollback leaves no mark", "tags.setdefault(event.before, {})[ROLLED_BACK] = note", "pass"),
    ),
)

VERSIONS = Group(
    "fct.registry.versions",
    HOSTS,
    (
        Mutant("the loser is not told", "if not is_valid:", "if False:"),
        Mutant("a slow host does not look again", "if now_events == events:\n                return\n", "return\n"),
        Mutant("a late alias is a move by hand", "if last and is_written:", "if False:"),
        Mutant(
            "a reader does not look again",
            "if now_events == events:\n                return events,",
            "if True:\n                return events,",
        ),
    ),
)

TRAINING_IMAGES_TESTS = "tests/registry/test_training_images.py"

TRAINING_IMAGES = Group(
    "fct.registry.training_images",
    (TRAINING_IMAGES_TESTS,),
    (
        Mutant("seen images stay in the comparison", "= ~np.logical_or", "= np.logical_or"),
        Mutant("any share may be left out", "if 1 - unseen.mean() > LARGEST_SHARE:", "if False:"),
        Mutant("files count by their pixels", "if split.originals is None else", "if True else"),
        Mutant(
            "only train is remembered",
            'USED = ("train", "val")',
            'USED = ("train",)',
            _of(REGISTRY, "test_gate_images_that_the_champion_has_seen_are_left_out"),
        ),
        Mutant(
            "a version without training images is compared on any split",
            'elif rival.tags.get("fct.gate_digest") != digest:',
            "elif False:",
            _of(REGISTRY, "test_a_version_without_training_images_is_compared_on_its_own_gate_split_alone"),
        ),
    ),
)

INPUTS_TESTS = "tests/vcs/test_inputs.py"

INPUTS = Group(
    "fct.vcs.inputs",
    (INPUTS_TESTS,),
    (
        Mutant("ignored files are not seen", '_list("--others", dvcignore,', '_list("--others", "--exclude-standard",'),
        Mutant("what .dvcignore leaves out counts", '"--", *wanted) - ignored', '"--", *wanted)'),
        Mutant("a .dvc file need not be committed", "elif owner in changed or not", "elif False and not"),
        Mutant("a .dvc file may name another file", "if _checksum_in(owner", "if False and _checksum_in(owner"),
        Mutant("a stage may have read other weights", "if dep.md5 not in (", "if False and dep.md5 not in ("),
        Mutant("requirements.lock is no input", '"requirements.lock", ', ""),
    ),
)

# Training: the loop, what it keeps beside the network, crops, splits, blocks.

LOOP_TESTS = "tests/train/test_loop.py"

LOOP = Group(
    "fct.train.loop",
    (LOOP_TESTS,),
    (
        Mutant(
            "processes with fewer images count as much",
            "len(group.places(self.batch_size)) * group.size / self.batch_size",
            "1.0",
            (GRADIENT_TESTS,),
        ),
        Mutant(
            "projections are not shared",
            "LossModule(network, self.aids.projections, method)",
            "LossModule(network, None, method)",
            (GRADIENT_TESTS,),
        ),
        Mutant(
            "the average never moves",
            "self.aids.update(self.network)",
            "pass",
            _of(LOOP_TESTS, "test_the_moving_average_teacher_moves_with_each_step"),
        ),
        Mutant(
            "the average moves before the step",
            "self.scaler.step(self.optimiser)",
            "self.aids.update(self.network); self.scaler.step(self.optimiser)",
            _of(LOOP_TESTS, "test_the_moving_average_teacher_moves_with_each_step"),
        ),
        Mutant(
            "an overflow counts as a step",
            "self.scaler.get_scale() < scale",
            "False",
            _of(LOOP_TESTS, "test_a_loss_in_fp16_is_scaled_and_an_overflow_changes_nothing"),
        ),
        Mutant(
            "the progress stands still",
            "self.steps_taken += 1",
            "self.steps_taken += 0",
            _of(LOOP_TESTS, "test_methods_get_the_progress_of_the_training"),
        ),
        Mutant(
            "a resumed training begins its progress anew",
            'len(saved["history"]) * self.steps',
            "0",
            _of(LOOP_TESTS, "test_methods_get_the_progress_of_the_training"),
        ),
        Mutant(
            "the learning rate stands still",
            "self.schedule.step()",
            "pass",
            _of(LOOP_TESTS, "test_the_learning_rate_rises_and_falls_once"),
        ),
        Mutant(
            "gradients pile up",
            "self.optimiser.zero_grad(set_to_none=True)",
            "pass",
            _of(LOOP_TESTS, "test_steps_are_plain_gradient_descent"),
        ),
        Mutant(
            "methods draw as they like",
            "torch.manual_seed(seed + self.group.rank)",
            "torch.seed()",
            _of(LOOP_TESTS, "test_steps_are_plain_gradient_descent"),
        ),
        Mutant(
            "every epoch has the same order",
            "default_rng([self.params.seed, number])",
            "default_rng([self.params.seed])",
            _of(LOOP_TESTS, "test_each_epoch_has_another_order"),
        ),
        Mutant(
            "later epochs train in evaluation mode",
            "        self.network.train()\n",
            "",
            _of(LOOP_TESTS, "test_every_epoch_trains_in_training_mode"),
        ),
        Mutant(
            "a later epoch that is as good is kept",
            "score(metrics) > score(",
            "score(metrics) >= score(",
            _of(LOOP_TESTS, "test_patience_ends_a_training_that_does_not_improve"),
        ),
        Mutant(
            "patience is one longer",
            "stale >= self.params.patience",
            "stale > self.params.patience",
            _of(LOOP_TESTS, "test_patience_ends_a_training_that_does_not_improve"),
        ),
        Mutant(
            "the raw accuracy alone is best",
            '(metrics["val_raw"] + metrics["val_compressed"]) / 2',
            'metrics["val_raw"]',
            _of(LOOP_TESTS, "test_raw_and_compressed_accuracy_count_equally_for_the_best_epoch"),
        ),
        Mutant(
            "what is left is in training mode",
            "    network.eval()\n",
            "",
            _of(LOOP_TESTS, "test_a_training_leaves_its_network_in_evaluation_mode"),
        ),
        Mutant(
            "a loss that is no number goes on",
            "math.isfinite(total) and cross_entropy",
            "cross_entropy",
            _of(LOOP_TESTS, "test_an_infinite_total_loss_stops_although_the_cross_entropy_is_finite"),
        ),
    ),
)

AIDS = Group(
    "fct.train.aids",
    ("tests/train/test_aids.py",),
    (
        Mutant("the average keeps its first statistics", "use_buffers=True", "use_buffers=False"),
        Mutant(
            "the average is a copy of the first step",
            "            self.average.update_parameters(network)  # the first update copies\n",
            "",
        ),
        Mutant(
            "the average teaches in training mode",
            "self.average.requires_grad_(requires_grad=False).eval()",
            "self.average.requires_grad_(requires_grad=False)",
        ),
        Mutant("the average is not taken up", 'self.average.load_state_dict(state["average"])', "pass"),
        Mutant(
            "projections do not learn",
            "return list(self.projections.parameters()) if self.projections else []",
            "return []",
        ),
    ),
)

CROPS = Group(
    "fct.train.crop",
    ("tests/train/test_crop.py",),
    (
        Mutant("squares lie off centre", " - augmentation.cutout // 2", ""),
        Mutant("even squares lie off centre", "- augmentation.cutout // 2", "- (augmentation.cutout - 1) // 2"),
        Mutant("squares are one too small", "< first + augmentation.cutout)", "< first + augmentation.cutout - 1)"),
        Mutant("no shift to the right end", "side - size + reach + 1,", "side - size + reach,"),
        Mutant("boxes are wider than drawn", "[area / shape, area * shape]", "[area / shape, area * shape**2]"),
        Mutant("boxes do not reach the last column", "side - width + 1)", "side - width)"),
        Mutant("flips of scaled crops are lost", "scaled[:, ::-1] if", "scaled if"),
        Mutant("scaling on a device has no filter", "step.clamp(min=1)", "step.clamp(max=1)"),
        Mutant("scaling on a device sees beyond its part", "(pixels > start[:, :, None])", "(pixels > 0)"),
        Mutant("the border repeats the image", "(rows < height)", "(rows <= height)"),
        Mutant("flips are of the others", "torch.where(flipped, x.flip(1), x)", "torch.where(flipped, x, x.flip(1))"),
        Mutant("one flip in four", "rng.random(count) < 0.5", "rng.random(count) < 0.25"),
        Mutant(
            "flipped images have another crop",
            "source[row, from_y, (x + left[place]) * channels + channel]",
            "source[row, from_y, x * channels + channel]",
        ),
        Mutant(
            "the border is on the other side", "begin, end = max(0, -left[place])", "begin, end = max(0, left[place])"
        ),
    ),
)

BATCHES = Group(
    "fct.train.batches",
    ("tests/train/test_batches.py",),
    (
        Mutant(
            "each process makes the whole batch", "places = group.places(batch_size)", "places = np.arange(batch_size)"
        ),
        Mutant(
            "own crops are shared ones",
            "own = whole._replace(crops=Crops.draw(augmentation, batch_size, rng, side=side)).of(made)",
            "own = draw",
        ),
        Mutant("mixed pairs have two qualities", "mix.share_quality(quality), crops", "quality, crops"),
        Mutant(
            "labels are of other images",
            "labels=move_to(split.labels[draw.rows], device)",
            "labels=move_to(split.labels[order[start : start + batch_size]], device)",
        ),
    ),
)

PIXELS = Group(
    "fct.train.pixels",
    ("tests/train/test_pixels.py", "tests/train/test_batches.py"),
    (
        Mutant(
            "only one view loses its square",
            "        views = [view * mask for view in views]\n    if augmentation.erasing",
            "        views = [views[0] * mask, *views[1:]]\n    if augmentation.erasing",
        ),
        Mutant("every image is erased", "~(inside & erased[:, None, None])", "~inside"),
        Mutant(
            "the partner has the image's share",
            "Partners(batch.labels[partner], 1 - share)",
            "Partners(batch.labels[partner], share)",
        ),
        Mutant(
            "the reference is not mixed",
            "            reference=reference,\n            partners",
            "            partners",
        ),
        Mutant("the smaller share tells the raw quality", "share >= 0.5", "share < 0.5"),
        Mutant("labels do not follow the square", "own.mean((1, 2)), own)", "share, own)"),
    ),
)

SPLITS = Group(
    "fct.data.division",
    ("tests/data/test_division.py",),
    (
        Mutant("shares are rounded down", "math.floor(images * share + 0.5)", "math.floor(images * share)"),
        Mutant("shares are rounded up", "math.floor(images * share + 0.5)", "math.ceil(images * share)"),
        Mutant("a split may be empty", "max(border + 1, ", "max(border, "),
        Mutant("train may be empty", "most = images - (len", "most = 1 + images - (len"),
        Mutant(
            "sizes are rounded, not borders",
            "math.floor(images * share + 0.5)",
            "border + math.floor(images * fraction + 0.5)",
        ),
        Mutant("the seed does not matter", ", digest_size=8, key=key)", ", digest_size=8)"),
        Mutant(
            "the order of files decides",
            "members = members[np.argsort(order[members]",
            "members = members[np.argsort(members",
        ),
        Mutant("copies of known images are kept", "seen = set(known)", "seen = set()"),
        Mutant("the shape is no part of an image", "digest_size=FINGERPRINT, key=shape", "digest_size=FINGERPRINT"),
        Mutant("splits overlap", "            start += count\n", "            start += count - 1\n"),
    ),
)

MODELS = (
    Group(
        "fct.models.network",
        ("tests/models/test_network.py",),
        (
            Mutant(
                "tables are not believed",
                "torch.minimum(quality, self.estimator(pixels))",
                "self.estimator(pixels)",
            ),
            Mutant("the higher quality counts", "torch.minimum(quality,", "torch.maximum(quality,"),
            Mutant(
                "qualities are estimated in training",
                "if self.estimator is not None and not self.training:",
                "if self.estimator is not None:",
            ),
            Mutant("mirrored logits add up", "quality)[0]) / 2", "quality)[0])"),
            Mutant("pixels are not centred", "/ 255 - self.mean)", "/ 255)"),
        ),
    ),
    Group(
        "fct.nn.residual",
        ("tests/nn/test_residual.py",),
        (
            Mutant("estimates are cut off", "(quality + 0.5).long()", "quality.long()"),
            Mutant(
                "tables are of the next quality",
                "torch.cat([entries[:1], entries])",
                "torch.cat([entries, entries[-1:]])",
            ),
            Mutant(
                "raw images are corrected", "strength = ((100 - quality) / 100)", "strength = ((101 - quality) / 100)"
            ),
            Mutant("untrained blocks do something", "        nn.init.zeros_(self.expand.weight)\n", ""),
        ),
    ),
)

LIBRARY = (
    Group(
        "fct.losses.consistency",
        ("tests/losses/test_consistency.py",),
        (
            Mutant("layers add up", "for target, feature in pairs]).mean()", "for target, feature in pairs]).sum()"),
            Mutant("the target always learns", "target.detach() if detach_target else target", "target"),
            Mutant(
                "the weight is forgotten", "return self.weight * feature_consistency(", "return feature_consistency("
            ),
            Mutant(
                "layers are matched by place",
                "features[layer]) for layer,",
                "next(iter(features.values()))) for layer,",
            ),
        ),
    ),
    Group(
        "fct.nn.taps",
        ("tests/nn/test_taps.py",),
        (
            Mutant(
                "a later layer changes the feature",
                "channels_second(output, layout).clone()",
                "channels_second(output, layout)",
            ),
            Mutant(
                "copies are tapped", 'return getattr, (nullcontext(), "__exit__")', "return _Hook, (self.function,)"
            ),
            Mutant("the halves are interleaved", "feature.chunk(2)", "(feature[::2], feature[1::2])"),
        ),
    ),
    Group(
        "fct.nn.aware",
        ("tests/nn/test_aware.py",),
        (
            Mutant(
                "an unknown quality is the worst", "quality == UNKNOWN_QUALITY, 100)", "quality == UNKNOWN_QUALITY, 1)"
            ),
        ),
    ),
)

DIVERGENCE = Group(
    "fct.losses.predictions",
    ("tests/losses/test_predictions.py",),
    (
        Mutant("the gradient shrinks with the temperature", "temperature**2 * kl_div", "temperature * kl_div"),
        Mutant("the divergence has the other direction", "kl_div(soft, soft_target", "kl_div(soft_target, soft"),
        Mutant("a sum over images", '"batchmean"', '"sum"'),
        Mutant("the mean is a sum", " - math.log(2)", ""),
        Mutant("the divergence is twice as large", "/ (2 * len(", "/ (len("),
    ),
)

FILES = Group(
    "fct.core.files",
    ("tests/core/test_files.py",),
    (
        Mutant(
            "files are written in place",
            "        temporary.replace(path)\n",
            "        path.write_bytes(content); temporary.unlink()\n",
        ),
        Mutant("half a file stays", "        temporary.unlink(missing_ok=True)\n        raise", "        raise"),
        Mutant(
            "half a folder takes the old one's place",
            "        shutil.rmtree(temporary, ignore_errors=True)\n        raise",
            "        temporary.rename(path.with_name('half'))\n        raise",
        ),
        Mutant("folders are private", "temporary.mkdir()", "temporary.mkdir(0o700)"),
        Mutant("what a killed run left stays", "        shutil.rmtree(leftover)\n", "        pass\n"),
        Mutant("digests follow the order of keys", "sort_keys=True", "sort_keys=False"),
    ),
)

BUILD_TESTS = "tests/cache/test_build.py"
CACHE_BUILD = Group(
    "fct.cache.build",
    (BUILD_TESTS,),
    (
        Mutant(
            "shards that other code built are taken",
            " | code_identity())",
            ")",
            _of(BUILD_TESTS, "test_what_other_code_built_is_not_taken"),
        ),
        Mutant(
            "finished shards are built again",
            "if shard.name not in finished[quality])",
            ")",
            _of(BUILD_TESTS, "test_a_killed_build_goes_on"),
        ),
        Mutant(
            "building ahead fills the disk",
            "// max(1, size) - SPARE",
            "// max(1, size) + 9",
            _of(BUILD_TESTS, "test_without_room_on_the_disk_only_the_own_quality_is_built"),
        ),
        Mutant(
            "current caches are built again",
            "and not _is_current(q, expected, folders.cache)",
            "",
            _of(BUILD_TESTS, "test_a_quality_that_is_there_is_not_built_ahead"),
        ),
        Mutant(
            "a killed build is lost",
            "_remove_stale(build, {*missing, quality})",
            "_remove_stale(build, set())",
            _of(BUILD_TESTS, "test_a_killed_build_goes_on"),
        ),
        Mutant(
            "checksums leave out the header",
            "write(_header(shape))",
            "file.write(_header(shape))",
            _of(BUILD_TESTS, "test_a_split_larger_than_a_shard_has_several_files"),
        ),
    ),
)

SHARDS = Group(
    "fct.splits.shards",
    ("tests/splits/test_shards.py",),
    (
        Mutant("steps begin anew in each shard", "start + (rows.start - start) % rows.step", "start"),
        Mutant("an image at a border is in the shard before", 'place, "right")', 'place, "left")'),
    ),
)

# Many hosts, and what is watched.

MANY_HOSTS = (
    Group(
        "fct.search.workers",
        ("tests/search/test_workers.py",),
        (
            Mutant("trials at work do not count", "len(finished) + len(running) >= plan", "len(finished) >= plan"),
            Mutant("others begin beside the first trial", "            if running:\n", "            if False:\n"),
            Mutant("all workers draw alike", "digest([seed, number])", "digest([seed])"),
            Mutant("a dead worker's values are lost", "if values and attempts < MOST_ATTEMPTS", "if False"),
            Mutant("values that end workers are tried for ever", "attempts < MOST_ATTEMPTS", "True"),
            Mutant("a trial of a dead turn stays", "WORKER not in trial.user_attrs or ", ""),
        ),
    ),
    Group(
        "fct.core.locks",
        ("tests/core/test_locks.py",),
        (
            Mutant("all locks are one", "hashlib.sha256(name.encode())", "hashlib.sha256(b)"),
            Mutant(
                "a lost lock is not noticed", '            self._connection.execute("SELECT 1")\n', "            pass\n"
            ),
            Mutant("a sleeping holder keeps its turn", "if longest is not None", "if False"),
        ),
    ),
)
WATCHING = Group(
    "fct.monitoring.findings",
    ("tests/monitoring/test_findings.py",),
    (
        Mutant("the point is an alarm", "outside.low > limits.outside", "outside.value > limits.outside"),
        Mutant("a distance is never an alarm", "limit is not None and", "limit is None and"),
        Mutant("the point of a distance is an alarm", "distance.low > limit", "distance.value > limit"),
        Mutant(
            "what params.yaml trains now is proposed again",
            "*counts.qualities, *reference.trained",
            "*counts.qualities",
        ),
    ),
)
FIRST_LOOK = Group(
    "fct.cli.probe",
    ("tests/cli/test_probe.py",),
    (
        Mutant("time is no limit", "if each.hours <= hours", "if True"),
        Mutant(
            "the largest of equally good sizes",
            "return min((each for each in possible",
            "return max((each for each in possible",
        ),
        Mutant("the classifier is tried on what it was fitted to", "slice(1 - half, None, 2)", "slice(half, None, 2)"),
    ),
)
PLACES = Group(
    "fct.engine.params",
    ("tests/engine/test_open.py",),
    (
        Mutant("an address needs no port", "parts.hostname and parts.port", "parts.hostname"),
        Mutant("an address needs no host", "parts.hostname and parts.port", "parts.port"),
    ),
)

GROUPS = (
    ESTIMATOR,
    ESTIMATES,
    DISPERSION,
    *MANY_HOSTS,
    WATCHING,
    FIRST_LOOK,
    PLACES,
    KERNEL,
    TENSORS,
    LOOP,
    *JPEG,
    PROMOTION,
    EVIDENCE,
    EVENTS,
    VERSIONS,
    TRAINING_IMAGES,
    INPUTS,
    CROPS,  # the longest first
    GATE,
    INTERVALS,
    MEASURES,
    EVALUATE_PARAMS,
    GATE_PARAMS,
    DISTANCE,
    DIVERGENCE,
    *LIBRARY,
    FCT,
    BATCH,
    DISTILL,
    JSD,
    STABILITY,
    *OTHERS,
    TABLES,
    AIDS,
    BATCHES,
    PIXELS,
    SPLITS,
    *MODELS,
    FILES,
    CACHE_BUILD,
    SHARDS,
)
