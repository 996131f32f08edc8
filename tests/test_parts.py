"""Losses and machinery, each against an independent computation."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import info_nce, negative_cosine, nt_xent, sigreg, unit, vicreg
from unlabeled.parts.memory import Queue
from unlabeled.parts.schedules import cosine, warmup_cosine
from unlabeled.parts.teacher import Teacher
from unlabeled.parts.whiten import Whitening


@pytest.fixture
def pair():
    g = torch.Generator().manual_seed(0)
    return torch.randn(5, 4, generator=g, dtype=torch.float64), torch.randn(5, 4, generator=g, dtype=torch.float64)


def test_negative_cosine_is_minus_the_mean_cosine(pair):
    a, b = (z.numpy() for z in pair)
    expected = -np.mean([x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)])
    assert negative_cosine(*pair).item() == pytest.approx(expected, abs=1e-6)


def test_info_nce_is_the_mean_log_probability_of_the_partner(pair):
    q, k = (unit(z).double() for z in pair)
    logits = (q @ k.T / 0.3).exp()
    expected = -(logits.diagonal() / logits.sum(dim=1)).log().mean()
    assert info_nce(*pair, temperature=0.3).item() == pytest.approx(expected.item(), abs=1e-5)


def test_symmetric_info_nce_is_the_mean_of_both_directions(pair):
    a, b = pair
    both = (info_nce(a, b, temperature=0.2) + info_nce(b, a, temperature=0.2)) / 2
    assert info_nce(a, b, temperature=0.2, symmetric=True).item() == pytest.approx(both.item())


def test_with_a_queue_only_the_queue_gives_negatives(pair):
    q, k = pair
    queue = torch.randn(7, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    qn, kn, nn = unit(q).double(), unit(k).double(), unit(queue).double()
    positive, negative = ((qn * kn).sum(1) / 0.2).exp(), (qn @ nn.T / 0.2).exp().sum(1)
    expected = -(positive / (positive + negative)).log().mean()
    assert info_nce(q, k, temperature=0.2, negatives=queue).item() == pytest.approx(expected.item(), abs=1e-5)


def test_excluded_pairs_leave_the_denominator_and_a_positive_never_does(pair):
    q, k = pair
    everything = torch.ones(5, 5, dtype=torch.bool)
    assert info_nce(q, k, temperature=0.2, exclude=everything).item() == pytest.approx(0.0, abs=1e-6)
    one = torch.zeros(5, 5, dtype=torch.bool)
    one[0, 3] = True
    assert info_nce(q, k, temperature=0.2, exclude=one) < info_nce(q, k, temperature=0.2)


def test_nt_xent_agrees_with_a_double_loop_over_all_views(pair):
    z = [v / np.linalg.norm(v) for v in np.concatenate([p.numpy() for p in pair])]
    total = 0.0
    for i in range(10):
        partner = (i + 5) % 10
        below = sum(math.exp(z[i] @ z[j] / 0.5) for j in range(10) if j != i)
        total -= math.log(math.exp(z[i] @ z[partner] / 0.5) / below)
    assert nt_xent(*pair, 0.5).item() == pytest.approx(total / 10, abs=1e-5)


def test_nt_xent_stays_finite_at_a_tiny_temperature_and_in_half_precision(pair):
    a, b = (z.half() for z in pair)
    assert torch.isfinite(nt_xent(a, b, 0.01))


def test_vicregs_terms_agree_with_numpy(pair):
    a, b = (z.numpy() for z in pair)
    invariance, variance, covariance = (term.item() for term in vicreg(*pair))
    assert invariance == pytest.approx(((a - b) ** 2).mean(), abs=1e-6)
    hinge = np.mean([np.maximum(0, 1 - np.sqrt(z.var(axis=0, ddof=1) + 1e-4)).mean() for z in (a, b)])
    assert variance == pytest.approx(hinge, abs=1e-6)
    off = sum((np.cov(z.T) ** 2).sum() - (np.diag(np.cov(z.T)) ** 2).sum() for z in (a, b)) / 4
    assert covariance == pytest.approx(off, abs=1e-5)


def test_sigreg_is_small_for_a_normal_batch_and_large_for_collapsed_low_rank_and_uniform_ones():
    g = torch.Generator().manual_seed(0)
    normal = torch.randn(512, 16, generator=g)
    flat = torch.randn(512, 1, generator=g).expand(512, 16)
    uniform = (torch.rand(512, 16, generator=g) - 0.5) * 12**0.5 * 1.6
    floor = sigreg(normal, generator=g)
    for worse in (torch.zeros(512, 16), flat, uniform):
        assert sigreg(worse, generator=g) > 3 * floor


def test_sigreg_agrees_with_a_loop_in_float64():
    z = torch.randn(40, 3, generator=torch.Generator().manual_seed(2))
    value = sigreg(z, directions=6, knots=9, t_max=2.0, generator=torch.Generator().manual_seed(5)).item()
    a = F.normalize(torch.randn(3, 6, generator=torch.Generator().manual_seed(5)), dim=0).numpy().astype(float)
    t = np.linspace(-2, 2, 17)
    total = 0.0
    for m in range(6):
        y = z.numpy().astype(float) @ a[:, m]
        gap = [abs(np.exp(1j * s * y).mean() - np.exp(-s * s / 2)) ** 2 * np.exp(-s * s / 2) for s in t]
        total += np.trapezoid(gap, t) * 40
    assert value == pytest.approx(total / 6, rel=1e-3)


def test_sigregs_gradient_pushes_a_shrunken_batch_outwards():
    z = (torch.randn(256, 8, generator=torch.Generator().manual_seed(0)) * 0.1).requires_grad_()
    sigreg(z).backward()
    assert ((-z.grad) * z.detach()).sum() > 0


@pytest.mark.parametrize(
    "call", [lambda a: info_nce(a, a, temperature=0.0), lambda a: nt_xent(a, a, -1.0), lambda a: nt_xent(a, a[:3], 0.1)]
)
def test_impossible_temperatures_and_shapes_are_refused(pair, call):
    with pytest.raises(ValueError):
        call(pair[0])


def test_an_mlp_ends_in_a_batch_norm_without_parameters_when_asked():
    net = mlp(8, 16, 4, last="norm")
    assert [type(m).__name__ for m in net] == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    assert net[-1].weight is None and net[0].bias is None and net[3].bias is None
    assert mlp(8, 4)[0].bias is not None


def test_warmup_rises_to_one_and_the_cosine_ends_at_zero():
    assert [warmup_cosine(s, 100, 10) for s in (0, 9)] == [0.1, 1.0]
    assert warmup_cosine(55, 100, 10) == pytest.approx(0.5) and warmup_cosine(100, 100, 10) == pytest.approx(0)
    assert cosine(0, 10, 2.0, 1.0) == 2.0 and cosine(10, 10, 2.0, 1.0) == 1.0


def test_a_teacher_follows_its_student_and_never_carries_a_gradient():
    student = torch.nn.Linear(3, 3)
    teacher = Teacher(student, momentum=0.9)
    before = teacher.copies[0].weight.clone()
    with torch.no_grad():
        student.weight += 1
    teacher.update()
    torch.testing.assert_close(teacher.copies[0].weight, 0.9 * before + 0.1 * student.weight)
    assert not teacher(torch.ones(1, 3, requires_grad=True)).requires_grad
    assert all(not p.requires_grad for p in teacher.parameters())
    assert not any("students" in name for name in teacher.state_dict())


def test_a_teachers_momentum_rises_to_one_with_its_schedule():
    student = torch.nn.Linear(1, 1, bias=False)
    teacher = Teacher(student, momentum=0.5, steps=2)
    moves = []
    for _ in range(3):
        with torch.no_grad():
            student.weight.fill_(1.0)
            teacher.copies[0].weight.zero_()
        teacher.update()
        moves.append(teacher.copies[0].weight.item())
    assert moves == pytest.approx([0.5, 0.25, 0.0])


def test_a_queue_keeps_the_last_vectors_in_order_under_partial_batches():
    queue = Queue(5, 1)
    assert queue.vectors.shape == (0, 1)
    signs = torch.tensor([[1.0], [-1.0], [-1.0]])
    queue.add(signs)
    assert queue.vectors.flatten().tolist() == [1, -1, -1]
    queue.add(torch.tensor([[2.0], [3.0], [-4.0]]))  # kept as unit vectors
    assert queue.vectors.flatten().tolist() == [-1, -1, 1, 1, -1]
    queue.add(torch.ones(12, 1))
    assert queue.vectors.flatten().tolist() == [1] * 5


def test_full_whitening_gives_unit_covariance_and_power_zero_keeps_all_cosines():
    x = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32) @ np.diag([5, 3, 2, 1, 0.5, 0.1]).astype(np.float32) + 7
    white = Whitening.fit(x, 1.0).transform(x)
    cov = np.cov(white.T)
    np.testing.assert_allclose(cov, np.eye(6) * cov[0, 0], atol=1e-3 * cov[0, 0])
    turned, centred = Whitening.fit(x, 0.0).transform(x), x - x.mean(axis=0)
    np.testing.assert_allclose(turned @ turned.T, centred @ centred.T, rtol=1e-3, atol=1e-2)


def test_whitening_identical_items_gives_zeros_and_no_warning():
    out = Whitening.fit(np.ones((10, 4), np.float32), 0.75).transform(np.ones((2, 4), np.float32))
    assert out.shape == (2, 1) and not out.any()


def _gathered_loss(process, folder):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=process, world_size=2)
    a, b = _rows()
    mine = slice(4 * process, 4 * process + 4)
    a, b = a[mine].requires_grad_(), b[mine]
    found = {}
    for name, loss in LOSSES.items():
        a.grad = None
        value = loss(a, b)
        value.backward()
        found[name] = (value.detach(), a.grad.clone())
    torch.save(found, f"{folder}/{process}.pt")
    torch.distributed.destroy_process_group()


def _rows():
    g = torch.Generator().manual_seed(0)
    return torch.randn(8, 4, generator=g), torch.randn(8, 4, generator=g)


LOSSES = {
    "nt_xent": lambda a, b: nt_xent(a, b, 0.3),
    "info_nce": lambda a, b: info_nce(a, b, temperature=0.3),
    "vicreg": lambda a, b: sum(vicreg(a, b)),
    "sigreg": lambda a, b: sigreg(a, directions=5, generator=torch.Generator().manual_seed(3)),
}


def test_two_processes_have_the_loss_and_the_gradient_of_one(tmp_path):
    torch.multiprocessing.spawn(_gathered_loss, (str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f"{process}.pt") for process in range(2)]
    for name, loss in LOSSES.items():
        a, b = _rows()
        whole = loss(a.requires_grad_(), b)
        whole.backward()
        value = (parts[0][name][0] + parts[1][name][0]) / 2
        assert value.item() == pytest.approx(whole.item(), abs=1e-5), name
        # Data-parallel training averages over the processes what each one's loss sends back.
        gradient = torch.cat([part[name][1] for part in parts]) / 2
        torch.testing.assert_close(gradient, a.grad, atol=1e-5, rtol=1e-4, msg=name)
