"""Stage 2: practise on photos without captions, by one of several methods, held to stage 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from core.captioner.captioner import pad
from core.encoders.encoder import Encoder
from core.metrics.guards import common_words, strung_rate
from core.training.compute import numpy_rng
from core.training.data import TrainingData, hard_neighbours
from core.training.evaluate import Evaluation
from core.training.gates import Own, check_gates, room_to_move
from core.training.lm_training import unchanging_copy
from core.training.memory import MicroBatch, MicroBatches, checkpointed
from core.training.messages import GateRow
from core.training.methods import chosen_method, make_method, needs_reference
from core.training.policy import PolicyLosses
from core.training.practice import Moment, Practice, Practised
from core.training.presets import Stage2Settings
from core.training.scoring import Sampled, Scorer
from core.training.stage1 import cycle, has_large_lm, make_optimiser
from core.training.state import Progress
from core.training.steps import Environment, StepResult

_BETA_RATE = 0.1
_ALARMS = 3
"""Evaluations in a row with a red guard that end the stage."""
_FEWEST_OWN = 20
"""Of fewer captions of the person's own a share says little."""


class Stage2:
    """Maximises the reward of captions without leaving the wording of the model it starts from."""

    number = 2
    title = "Stage 2: practising on photos without captions"

    def __init__(
        self,
        data: TrainingData,
        encoder: Encoder,
        settings: Stage2Settings,
        env: Environment,
        before: Evaluation,
    ) -> None:
        self._settings, self._env, self._before = settings, env, before
        own = [*data.seeds.pairs()[1], *data.held_seeds.pairs()[1]]
        self._common = common_words([*own, *before.captions])
        self._figures_before = self._figures(before)
        self.steps, self.evaluate_every = settings.steps, settings.evaluate_every
        captioner = env.captioner
        self._scorer = Scorer(data, encoder, settings, env)
        self._images = self._scorer.images
        self._photos = min(settings.photos, len(self._images))
        hard = settings.hard_share > 0 and len(self._images) > 1
        self._neighbours = hard_neighbours(self._images, settings.hard_ranks) if hard else None
        self._seed_owner, captions = data.seeds.pairs()
        self._seed_images = data.seeds.images
        self._seed_ids = captioner.encode(captions, min(max(48, settings.max_tokens), captioner.max_tokens))
        self.length_mean = self._scorer.length_mean
        strung = strung_rate(own, self._common) if len(own) >= _FEWEST_OWN else None
        self._own = Own(self.length_mean, env.judge.seed_nll, strung)
        self._rates = (settings.lr, settings.lr_large_lm if has_large_lm(captioner) else settings.lr)
        self.optimiser = make_optimiser(captioner, *self._rates, 0.0)
        self.method = chosen_method(settings, captioner)
        frozen = not any(one.requires_grad for one in captioner.lm.parameters())
        wanted = needs_reference(settings, captioner)
        reference = unchanging_copy(captioner, share_lm=frozen).eval() if wanted else None
        self._practice = Practice(self._scorer, encoder, settings, env, reference)
        self._method = make_method(self._practice)
        unrolled = self.method == "straight-through"  # word by word, each after a cache of those before
        can_checkpoint = has_large_lm(captioner) and not unrolled
        self._memory = MicroBatches(settings.micro_rows, can_checkpoint=can_checkpoint)
        if settings.calibration_photos > 0:
            self._scorer.calibrate(self._calibration_batches())

    def shorten(self, steps: int) -> None:
        self.steps = steps

    def step(self, step: int, progress: Progress) -> StepResult:
        settings, env = self._settings, self._env
        beta = progress.values.get("beta", settings.beta)
        photos = self.draw_photos(step)
        for group, rate in zip(self.optimiser.param_groups, self._rates, strict=False):
            group["lr"] = rate * self._share_of_rate(step)
        practised, seed_loss = self._memory.run(
            lambda micro: self._gradient(Moment(step, self.steps, beta, micro, progress), photos)
        )
        stepped = env.precision.step(self.optimiser, settings.clip_norm)
        if stepped:
            self._hold_kl(step, practised.losses, beta, progress)
        if practised.sampled is not None:
            self._scorer.remember(practised.sampled, step, progress)
        progress.values |= {f"reward_{name}": value for name, value in practised.parts.items()}
        progress.values |= self._scorer.frozen()
        return StepResult(seed_loss, practised.reward, practised.losses.kl_caption if stepped else None)

    def _gradient(self, moment: Moment, photos: np.ndarray) -> tuple[Practised, float | None]:
        """The gradient of practice and of the interleaved seeds; what both were."""
        self.optimiser.zero_grad(set_to_none=True)
        practised = self._method.practise(moment, photos)
        seed_loss = self._seed_backward(moment.step, moment.micro)
        self._env.ctx.check_cancelled()
        return practised, seed_loss

    def _share_of_rate(self, step: int) -> float:
        """A linear warm-up, then linearly down to ``lr_floor``: what single batches got wrong averages out."""
        settings = self._settings
        rise = (step + 1) / max(1, settings.warm_up)
        return min(1.0, rise, max(settings.lr_floor, 1 - step / self.steps))

    def consider(self, evaluation: Evaluation, progress: Progress) -> float:
        """Mean merit on held-out photos, for models whose guards are not red.

        What practice is given to begin with (sentences) may turn a guard red. It has its steps to mend that: such a
        guard ends it early where it is red beside practice's own beginning as well.
        """
        kl = progress.values.get("kl", 0.0)
        gates = self.gates_of(evaluation, kl)
        for gate in gates:
            self._env.ctx.partial(gate)
        score = float(evaluation.merit(self._scorer.sharpness).mean())
        if progress.step == 0:
            progress.began = self._figures(evaluation)
        if not self._settings.gated:
            score = float(progress.step)
        elif red := _red(gates):
            score = float("-inf")
            again = red - self._mending(evaluation, progress.began, kl)
            progress.strikes = progress.strikes + 1 if again else 0
            if progress.strikes >= _ALARMS:
                progress.stopped = f"a guard was red {_ALARMS} times in a row ({', '.join(sorted(again))})"
        else:
            progress.strikes = 0
        if score > progress.best_score:
            progress.values["kl_at_best"] = kl
        return score

    def gates_of(self, evaluation: Evaluation, kl: float) -> tuple[GateRow, ...]:
        """The guards of a model, compared with the one before this stage."""
        return self._compared(self._figures(evaluation), self._figures_before, kl)

    def _mending(self, evaluation: Evaluation, began: Mapping[str, float], kl: float) -> set[str]:
        """Guards that were red when practice began with the figures ``began``, and are not beside those."""
        began = {**self._figures_before, **began}  # what an earlier version noted may lack some
        worse = _red(self._compared(self._figures(evaluation), began, kl))
        return _red(self._compared(began, self._figures_before, 0.0)) - worse

    def _figures(self, evaluation: Evaluation) -> dict[str, float]:
        """What guards compare. Words are strung together beside those that join them in captions of before."""
        return {**evaluation.values, "strung": strung_rate(evaluation.captions, self._common)}

    def _compared(self, now: Mapping[str, float], before: Mapping[str, float], kl: float) -> tuple[GateRow, ...]:
        return check_gates(now, before, self._own, kl, len(self._before.captions))

    def draw_photos(self, step: int) -> np.ndarray:
        """Positions of this step's photos, all different: anchors in turn, neighbours of them, then any others."""
        settings, seed = self._settings, self._env.seed
        count, total = self._photos, len(self._images)
        anchors = max(1, round(count * (1 - settings.hard_share)))
        picked = list(dict.fromkeys(cycle(total, anchors, step, seed, "anchors")))
        rng = numpy_rng(seed, "stage2-photos", step)
        if self._neighbours is not None:
            for anchor in list(picked):
                near = [one for one in self._neighbours[anchor] if one >= 0 and one not in picked]
                if near and len(picked) < count:
                    picked.append(int(rng.choice(near)))
        others = (int(one) for one in rng.permutation(total))
        while len(picked) < count:
            other = next(others)
            if other not in picked:
                picked.append(other)
        return np.array(picked[:count], np.int64)

    def _calibration_batches(self) -> list[Sampled]:
        """Captions of the model this stage begins with, of as many photos as are wanted, batches as in practice."""
        found, wanted = list[Sampled](), self._settings.calibration_photos
        for number in range(-(-wanted // self._photos)):
            self._env.ctx.progress(number * self._photos, wanted, "Finding the scale of the rewards")
            photos = self.draw_photos(number)
            rollouts = self._practice.draw(photos, number, purpose="calibration")
            found.append(self._practice.sampled(photos, rollouts))
        return found

    def _seed_backward(self, step: int, micro: MicroBatch) -> float | None:
        """Interleaved cross-entropy on seed captions, a micro-batch at a time; what it was, in nats per token."""
        settings, env = self._settings, self._env
        wanted = settings.seed_rows if settings.seed_weight > 0 else 0
        rows = cycle(len(self._seed_ids), wanted, step, env.seed, "seeds")
        if not rows:
            return None
        device = env.captioner.device
        tokens, total = sum(len(self._seed_ids[i]) for i in rows), 0.0
        for start in range(0, len(rows), micro.rows):
            part = rows[start : start + micro.rows]
            images = torch.from_numpy(self._seed_images[self._seed_owner[part]]).to(device)
            with checkpointed(env.captioner.lm, micro.checkpointing), env.precision.autocast():
                losses = env.captioner.token_losses(images, pad([self._seed_ids[i] for i in part]).to(device))
            loss = losses.sum() / tokens
            env.precision.backward(settings.seed_weight * loss)
            total += float(loss.detach())
        return total

    def _hold_kl(self, step: int, losses: PolicyLosses, beta: float, progress: Progress) -> None:
        """Keep a running mean of the KL and move its weight so that it stays near the target.

        The proportional control of arXiv 1909.08593, section 2.2, on a logarithmic scale and unequal: what goes too
        far is held back twice as fast as what lags behind is let go.
        """
        settings, values = self._settings, progress.values
        mean = values.get("kl", 0.0)
        values["kl"] = losses.kl_caption if step == 0 else 0.8 * mean + 0.2 * losses.kl_caption
        values["beta"] = beta
        if settings.beta > 0:
            target = settings.kl_target * room_to_move(self.length_mean)
            error = np.clip(values["kl"] / target - 1, -1.0, 2.0)
            values["beta"] = float(np.clip(beta * np.exp(_BETA_RATE * error), *settings.beta_range))


def _red(gates: Sequence[GateRow]) -> set[str]:
    return {gate.name for gate in gates if gate.state == "red"}
