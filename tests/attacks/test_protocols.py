"""Several attacks as one pool: what is recorded does not depend on what ran beside it, or when it was killed."""

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from repaudit.attacks import Setting, resolve, resolve_list
from repaudit.attacks.adversarials import Adversarials
from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.attacks.journal import journal_path, open_journal
from repaudit.attacks.pool import Pool
from repaudit.attacks.rounding import towards
from repaudit.attacks.verdict import CODES, PER_IMAGE, Outcome, with_smaller
from repaudit.case import EvaluationShape
from repaudit.errors import InvalidJournal, InvalidProfile
from repaudit.progress import SilentProgress

ROBUST, BROKEN = CODES[Outcome.ROBUST], CODES[Outcome.BROKEN]
CASCADE = {
    "name": "cascade",
    "key": "three",
    "epsilon": "3/255",
    "attacks": [
        {"name": "pgd", "key": "short", "steps": 1, "step_size": "1/255"},
        {"name": "pgd", "key": "long", "steps": 6, "step_size": "1/255", "restarts": 3},
        {"name": "random_noise", "key": "noise", "queries": 11},
    ],
}


def by_id(evaluation):
    columns = zip(*(getattr(evaluation, field).tolist() for field in PER_IMAGE), strict=True)
    return {name: str(values) for name, values in zip(evaluation.ids, columns, strict=True)}


@pytest.fixture
def images(classifier, predicted_images):
    return predicted_images(classifier, 43)


@pytest.fixture
def attack(classifier, images, subjects_of):
    subjects = subjects_of(classifier, images)

    def run(raw=CASCADE, *, rows=8, calls=2, order=None, **changed):
        chosen = subjects
        if order is not None:
            chosen = type(subjects)(
                ids=tuple(subjects.ids[row] for row in order),
                labels=subjects.labels[order],
                logits=subjects.logits[order],
            )
        return evaluate(
            classifier,
            images,
            chosen,
            raw if isinstance(raw, Setting) else resolve(raw),
            seed=1,
            shape=EvaluationShape(rows=rows, calls=calls),
            **{"progress": SilentProgress(), **changed},
        )

    return run


@pytest.fixture
def adversarials():
    with closing(Adversarials()) as kept:
        yield kept


@pytest.fixture
def journal(tmp_path):
    """Opens the journal of an identity; the same file for every identity."""

    def open_it(identity=None, *, fresh=False):
        return open_journal(tmp_path / "kept.jsonl", identity or {"epsilon": 1}, fresh=fresh, progress=SilentProgress())

    return open_it


def test_every_member_breaks_something_so_that_the_comparisons_here_compare_something(attack):
    evaluation = attack()

    assert evaluation.members == ("short", "long", "noise")
    assert set(evaluation.member[evaluation.outcome == BROKEN].tolist()) >= {0, 1}
    assert (evaluation.outcome == ROBUST).any()


@pytest.mark.parametrize("calls", [1, 7, 64])
def test_a_protocol_records_exactly_the_same_in_pools_of_any_size(attack, calls):
    assert by_id(attack(calls=calls)) == by_id(attack())


def test_a_protocol_records_exactly_the_same_in_any_order(attack, rng):
    order = rng.permutation(43)

    assert by_id(attack(order=order)) == by_id(attack())


def test_two_shapes_agree_but_for_marginal_images(attack):
    small, large = attack(), attack(rows=64, calls=1)

    sure = ~(small.marginal | large.marginal)
    np.testing.assert_array_equal(small.outcome[sure], large.outcome[sure])
    assert sure.sum() > 40


def test_a_protocol_breaks_what_its_members_break_each_on_its_own(attack):
    together = attack().outcome == BROKEN
    alone = [attack({**entry, "epsilon": "3/255"}).outcome == BROKEN for entry in CASCADE["attacks"]]

    np.testing.assert_array_equal(together, np.any(alone, axis=0))


def test_the_first_member_that_breaks_an_image_alone_is_the_one_that_is_recorded(attack):
    together = attack()
    alone = [attack({**entry, "epsilon": "3/255"}) for entry in CASCADE["attacks"]]

    for row in np.flatnonzero(together.outcome == BROKEN):
        first = next(number for number, each in enumerate(alone) if each.outcome[row] == BROKEN)
        assert together.member[row] == first
        assert together.margin[row] == alone[first].margin[row]
        assert together.restart[row] == alone[first].restart[row]
        assert together.iteration[row] == alone[first].iteration[row]


def test_a_robust_image_is_recorded_with_its_smallest_margin_of_all_members(attack):
    together = attack()
    alone = [attack({**entry, "epsilon": "3/255"}).margin for entry in CASCADE["attacks"]]

    robust = together.outcome == ROBUST
    np.testing.assert_array_equal(together.margin[robust], np.min(alone, axis=0)[robust])


def test_rows_that_would_be_padding_take_jobs_of_images_under_way(classifier, attack):
    """Two images with 5 jobs of 8 rows a call: in sequence they would take more calls than side by side."""
    order = np.flatnonzero(attack().outcome == ROBUST)[:2]
    classifier.work.forward_rows = 0

    attack(order=order, calls=1)

    # one after another: (2 + 3 · 7 + 11) queries, a call each
    assert classifier.work.forward_rows < 8 * (2 + 3 * 7 + 11) * 0.7


def test_gradients_are_counted_alike_whatever_ran_beside_the_deciding_job(attack):
    assert attack(calls=1).gradients == attack(calls=7).gradients


def test_progress_of_a_protocol_counts_queries_and_takes_off_what_broken_images_spare(attack, watching):
    progress = watching()

    evaluation = attack(progress=progress)

    assert (evaluation.outcome == BROKEN).any()
    assert progress.opened == ("attack three", 43 * (2 + 3 * 7 + 11), "queries")
    assert progress.advanced + progress.spared == progress.opened[1]
    assert progress.spared > 0


@pytest.mark.parametrize(("queries", "opened"), [(50, (43, "images")), (1500, (43 * 1501, "queries"))])
def test_progress_of_one_attack_counts_queries_where_an_image_takes_thousands(attack, watching, queries, opened):
    progress = watching()

    attack({"name": "square", "epsilon": 1.0, "queries": queries}, progress=progress)

    assert progress.opened == ("attack square", *opened)
    assert progress.advanced + progress.spared == opened[0]


def test_progress_after_an_interruption_counts_only_what_is_left(attack, journal, tmp_path, watching):
    whole = journal()
    evaluation = attack(journal=whole)
    whole.close()
    path = tmp_path / "kept.jsonl"
    open_image = evaluation.ids[int(np.flatnonzero(evaluation.outcome == ROBUST)[0])]
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if open_image not in line))
    progress, torn = watching(), journal()

    attack(journal=torn, progress=progress)

    torn.close()
    assert progress.opened == ("attack three (42 of 43 images known from before)", 2 + 3 * 7 + 11, "queries")
    assert (progress.advanced, progress.spared) == (progress.opened[1], 0)


def test_progress_of_what_a_journal_knows_whole_is_one_remark(attack, journal, watching):
    for _ in range(2):
        progress, kept = watching(), journal()
        attack(journal=kept, progress=progress)
        kept.close()

    assert progress.opened is None
    assert progress.notes == ["attack three: all 43 images known from before"]


def test_only_calls_of_rows_that_want_a_gradient_pass_the_network_backward(classifier, attack):
    passes = {True: 0, False: 0}

    def counted(module, inputs, output):
        passes[output.requires_grad] += 1

    hook = classifier.network.register_forward_hook(counted)
    work = classifier.work
    forward, backward = work.forward_rows, work.backward_rows

    evaluation = attack()

    hook.remove()
    assert work.backward_rows - backward == 8 * passes[True] > 0
    assert work.forward_rows - forward == 8 * (passes[True] + passes[False])
    # 43 images, of which the robust ones take 1 + 3 * 6 gradients and 1 + 3 + 11 queries without one
    robust = int((evaluation.outcome == ROBUST).sum())
    assert passes[False] >= robust * 15 / 8


def test_a_call_is_short_only_where_none_is_whole(attack, monkeypatch):
    planned, calls = [], Pool.calls

    def watched(pool):
        planned.append([len(call.index) for call in calls(pool)])
        return calls(pool)

    monkeypatch.setattr(Pool, "calls", watched)

    attack()

    assert {8} < {rows for lengths in planned for rows in lengths}
    assert all(lengths in ([], [8], [8, 8]) or len(lengths) == 1 for lengths in planned)


def test_what_is_remembered_of_calls_stays_bounded_while_no_job_ends(attack, monkeypatch):
    peak, rows = 0, Pool.rows

    def watched(pool, index):
        nonlocal peak
        found = rows(pool, index)
        peak = max(peak, len(pool._known))
        return found

    monkeypatch.setattr(Pool, "rows", watched)
    slow = {"name": "square", "key": "slow", "queries": 300}

    attack({**CASCADE, "attacks": [*CASCADE["attacks"], slow]}, calls=3)

    assert 1 < peak <= 2 * 3


def test_a_pool_of_one_call_pads_hardly_more_than_a_large_one(classifier, attack):
    asked = {}
    for calls in (1, 4):
        before = classifier.work.forward_rows
        attack(calls=calls)
        asked[calls] = classifier.work.forward_rows - before

    assert asked[1] < 1.15 * asked[4]


def test_of_a_list_of_radii_an_image_that_did_not_stay_broken_gets_the_later_image():
    image = np.zeros((1, 3, 2, 2), dtype=np.float32)
    with closing(Adversarials()) as kept:
        kept.take(["stays", "errs"], np.array([4, 4]), np.concatenate([image, image]))
        kept.next_radius({"stays"})

        assert kept.has("stays")
        assert not kept.has("errs")


def test_a_journal_spares_everything_that_an_earlier_run_finished(classifier, attack, journal):
    before = attack()
    first = journal()
    attack(journal=first)
    first.close()
    classifier.work.forward_rows = 0

    second = journal()
    again = attack(journal=second)
    second.close()

    assert classifier.work.forward_rows == 0
    assert by_id(again) == by_id(before)
    assert again.gradients == before.gradients


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("eight_bit", [False, True])
def test_a_journal_torn_anywhere_leads_to_the_same_verdicts(attack, journal, tmp_path, share, eight_bit):
    before = attack(eight_bit=eight_bit)
    whole = journal()
    attack(journal=whole, eight_bit=eight_bit)
    whole.close()
    content = (tmp_path / "kept.jsonl").read_bytes()
    (tmp_path / "kept.jsonl").write_bytes(content[: int(len(content) * share)])

    torn = journal()
    again = attack(journal=torn, eight_bit=eight_bit, calls=5)
    torn.close()

    assert by_id(again) == by_id(before)
    assert again.gradients == before.gradients


def test_a_journal_of_another_attack_is_refused_and_the_difference_named(attack, journal):
    journal({"epsilon": 1, "weights": "a"}).close()

    with pytest.raises(InvalidJournal) as refused:
        journal({"epsilon": 2, "weights": "a"})

    assert "epsilon" in refused.value.detail
    assert "weights" not in refused.value.detail
    assert "--fresh" in refused.value.remedy


@pytest.mark.parametrize("damage", [b"not json\n", b'["image-0001", 0, 1]\n', b'{"image": 3}\n'])
def test_a_damaged_journal_is_refused_with_a_remedy(journal, tmp_path, damage):
    journal().close()
    with (tmp_path / "kept.jsonl").open("ab") as stream:
        stream.write(damage)

    with pytest.raises(InvalidJournal, match="damaged"):
        journal()


def test_a_fresh_journal_forgets(attack, journal):
    first = journal()
    attack(journal=first)
    first.close()

    second = journal(fresh=True)
    second.close()
    assert len(second.entries) == 0


def test_a_second_process_keeps_no_journal_rather_than_tear_the_first_ones(journal):
    first = journal()

    assert journal() is None
    first.close()


@pytest.mark.parametrize("name", ["weights", "images", "attack", "seed", "rows", "dtype"])
def test_every_part_of_an_identity_leads_to_another_journal(tmp_path, name):
    identity = dict.fromkeys(["weights", "images", "attack", "seed", "rows", "dtype"], "one")

    assert journal_path(tmp_path, identity) != journal_path(tmp_path, {**identity, name: "another"})


def test_kept_images_have_their_features_after_a_journal_too(attack, journal):
    single = {"name": "pgd", "epsilon": "4/255", "steps": 5, "step_size": "1.5/255"}
    kept = {f"image-{row:04d}" for row in range(0, 43, 3)}
    before = attack(single, kept=kept)
    first = journal()
    attack(single, journal=first)
    first.close()

    second = journal()
    again = attack(single, journal=second, kept=kept)
    second.close()

    assert by_id(again) == by_id(before)
    np.testing.assert_array_equal(again.last.position, before.last.position)
    np.testing.assert_array_equal(again.last.features, before.last.features)


def test_a_protocol_keeps_the_features_of_the_queries_that_broke_an_image(
    classifier, images, attack, adversarials, tmp_path
):
    evaluation = attack(kept=set(images.ids), adversarials=adversarials)

    np.testing.assert_array_equal(evaluation.last.position, np.flatnonzero(evaluation.outcome == BROKEN))
    adversarials.save(tmp_path / "a.safetensors", evaluation, lambda ids: np.zeros((len(ids), 3, 8, 8), np.float32))
    queries = load_file(tmp_path / "a.safetensors")["float"]
    torch.testing.assert_close(torch.from_numpy(evaluation.last.features), classifier.features(queries))


def test_what_a_smaller_radius_broke_is_broken_by_the_same_query_at_a_larger_one(attack, images):
    small, large = (attack({**CASCADE, "epsilon": radius}) for radius in ("2/255", "4/255"))
    left = np.flatnonzero(small.outcome != BROKEN)
    rest = attack({**CASCADE, "epsilon": "4/255"}, order=left)

    merged = with_smaller(rest, small)

    np.testing.assert_array_equal(merged.outcome == BROKEN, (small.outcome == BROKEN) | (large.outcome == BROKEN))
    np.testing.assert_array_equal(
        merged.perturbation[small.outcome == BROKEN], small.perturbation[small.outcome == BROKEN]
    )
    np.testing.assert_array_equal(merged.margin[left], large.margin[left])


def test_a_list_of_radii_becomes_one_setting_a_radius_smallest_first():
    settings = resolve_list({"name": "pgd_s", "key": "p", "epsilon": ["4/255", "0.5/255", "1/255"]})

    assert [setting.key for setting in settings] == ["p_0p5_255", "p_1_255", "p_4_255"]
    assert [setting.threat.epsilon for setting in settings] == [0.5 / 255, 1 / 255, 4 / 255]
    assert {setting.series for setting in settings} == {"p"}
    assert [resolve(json.loads(json.dumps(setting.as_dict()))) for setting in settings] == list(settings)


@pytest.mark.parametrize("radii", [[], ["1/255", "1/255"]])
def test_a_list_of_radii_that_is_empty_or_repeats_is_refused(radii):
    with pytest.raises(InvalidProfile, match="radii"):
        resolve_list({"name": "pgd_s", "epsilon": radii})


def test_a_list_of_radii_where_one_is_wanted_is_refused():
    with pytest.raises(InvalidProfile, match="2 radii"):
        resolve({"name": "pgd_s", "epsilon": ["1/255", "2/255"]})


def test_the_attacks_of_a_cascade_cannot_have_a_radius_of_their_own():
    with pytest.raises(InvalidProfile) as refused:
        resolve({"name": "cascade", "epsilon": 0.1, "attacks": [{"name": "fgsm", "epsilon": 0.2}]})

    assert "belong to the cascade" in refused.value.detail


class Coin(nn.Module):
    """Adds noise that is large beside the margins."""

    def __init__(self, scale):
        super().__init__()
        self.scale, self.generator = scale, torch.Generator().manual_seed(0)

    def forward(self, x):
        return x + self.scale * torch.randn(x.shape, generator=self.generator)


def test_a_network_that_errs_now_and_then_is_not_broken_by_asking_often(make_classifier, make_images, subjects_of):
    """Wrong in about one of six passes: by a single pass everything would break within 40 queries."""
    network = nn.Sequential(nn.Flatten(), Coin(1.0), nn.Linear(1, 2))
    network[2].weight.data, network[2].bias.data = torch.tensor([[1.0], [0.0]]), torch.tensor([0.5, 0.0])
    classifier = make_classifier(network, channels=1)
    images = make_images(torch.full((6, 1, 1, 1), 0.5), np.zeros(6))
    subjects = Subjects(ids=images.ids, labels=images.labels, logits=np.zeros((6, 2)))
    setting = resolve({"name": "pgd", "epsilon": 0.001, "steps": 40, "step_size": 0.0005})
    shape, progress = EvaluationShape(rows=8, calls=1), SilentProgress()

    once = evaluate(classifier, images, subjects, setting, seed=0, shape=shape, progress=progress)
    voted = replace(setting, votes=41)
    by_vote = evaluate(classifier, images, subjects, voted, seed=0, shape=shape, progress=progress)

    assert (once.outcome == BROKEN).all()
    assert (by_vote.outcome == ROBUST).all()


class Cracked(nn.Module):
    """Right below .52, wrong above, and NaN between .48 and .5."""

    def forward(self, x):
        x = x.mean((1, 2, 3))
        crack = torch.where((x > 0.48) & (x < 0.5), torch.nan, 0.0)
        return torch.stack([0.52 - x + crack, x - 0.52], dim=1)


def test_a_vote_forgets_no_query_that_had_no_finite_answer(make_classifier, make_images):
    network = nn.Sequential(Cracked(), nn.Linear(2, 2))
    network[1].weight.data, network[1].bias.data = torch.eye(2), torch.zeros(2)
    classifier = make_classifier(network, channels=3)
    images = make_images(torch.full((6, 3, 1, 1), 0.5), np.zeros(6))
    subjects = Subjects(ids=images.ids, labels=images.labels, logits=np.zeros((6, 2)))
    setting = replace(resolve({"name": "random_noise", "epsilon": 0.1, "queries": 60}), votes=3)

    evaluation = evaluate(
        classifier,
        images,
        subjects,
        setting,
        seed=0,
        shape=EvaluationShape(rows=8, calls=1),
        progress=SilentProgress(),
    )

    assert (evaluation.outcome == CODES[Outcome.ERROR]).all()


def test_votes_and_single_passes_agree_on_a_network_that_always_answers_alike(attack):
    setting = resolve({"name": "pgd", "epsilon": "4/255", "steps": 5, "step_size": "1.5/255"})

    once, voted = attack(setting), attack(replace(setting, votes=3))

    np.testing.assert_array_equal(voted.outcome, once.outcome)
    assert {ROBUST, BROKEN} == set(once.outcome.tolist())


def test_adversarials_that_are_saved_break_the_network_in_a_fresh_pass(
    classifier, images, attack, adversarials, tmp_path
):
    position = {name: row for row, name in enumerate(images.ids)}
    evaluation = attack(adversarials=adversarials, eight_bit=True)

    def clean(ids):
        return images.stored[[position[name] for name in ids]].numpy().astype(np.float32) / 255

    count = adversarials.save(tmp_path / "deep" / "three.safetensors", evaluation, clean)

    with safe_open(tmp_path / "deep" / "three.safetensors", framework="pt") as stored:
        ids = json.loads(stored.metadata()["ids"])
        floats, eight_bit = stored.get_tensor("float"), stored.get_tensor("eight_bit")
    rows = [position[name] for name in ids]
    broken = np.flatnonzero(evaluation.outcome == BROKEN)
    assert ids == [evaluation.ids[row] for row in broken]
    assert count == len(ids) > 5
    labels, own = images.labels[rows], torch.from_numpy(clean(ids))
    assert (classifier.logits(floats).argmax(1).numpy() != labels).all()
    assert float((floats - own).abs().max()) <= 3 / 255 + 1e-6
    assert float((eight_bit.float() / 255 - own).abs().max()) <= 3 / 255 + 1e-6
    survives = classifier.logits(eight_bit.float() / 255).argmax(1).numpy() != labels
    np.testing.assert_array_equal(survives, evaluation.eight_bit[broken] == 1)


def test_adversarials_are_found_again_for_images_that_a_journal_had_broken(attack, adversarials, journal):
    first = journal()
    before = attack(journal=first)
    first.close()
    second = journal()

    again = attack(journal=second, adversarials=adversarials)
    second.close()

    assert by_id(again) == by_id(before)
    assert all(adversarials.has(again.ids[row]) for row in np.flatnonzero(again.outcome == BROKEN))


def test_only_broken_images_are_asked_about_in_8_bits(attack):
    evaluation = attack(eight_bit=True)
    broken = evaluation.outcome == BROKEN

    assert set(evaluation.eight_bit[broken].tolist()) <= {0, 1}
    assert set(evaluation.eight_bit[~broken].tolist()) == {-1}


@pytest.mark.parametrize("levels", [0.4, 1.0, 1.5, 2.9])
def test_rounding_goes_to_a_whole_level_and_never_further_from_the_image(levels):
    clean = torch.randint(0, 256, (4, 3, 5, 5), generator=torch.Generator().manual_seed(0)).float() / 255
    sign = torch.randint(0, 2, clean.shape, generator=torch.Generator().manual_seed(1)) * 2.0 - 1
    query = (clean + sign * levels / 255).clamp(0, 1)

    rounded = towards(clean, query) * 255

    torch.testing.assert_close(rounded, rounded.round(), atol=1e-3, rtol=0)
    assert ((rounded / 255 - clean).abs() <= (query - clean).abs() + 1e-6).all()
    assert float((rounded - query * 255).abs().max()) < 1


def test_images_that_are_no_8_bit_pictures_have_no_8_bit_verdict(classifier, images, attack):
    images.stored = images.stored.float() / 255 * 0.97 + 0.013

    evaluation = attack(eight_bit=True)

    assert (evaluation.outcome == BROKEN).any()
    assert set(evaluation.eight_bit.tolist()) == {-1}


def test_attacks_of_one_cascade_must_average_over_the_same_passes():
    with pytest.raises(InvalidProfile, match="passes"):
        resolve({"name": "cascade", "epsilon": 0.1, "attacks": ["apgd_ce", {"name": "apgd_dlr", "samples": 2}]})


@pytest.mark.parametrize("preset", ["pgd_s", "autoattack_s"])
def test_a_radius_of_one_norm_is_not_taken_for_one_of_another(preset):
    with pytest.raises(InvalidProfile, match="8/255 in the norm linf"):
        resolve({"name": preset, "norm": "l2"})
