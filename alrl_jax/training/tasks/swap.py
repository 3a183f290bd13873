"""Task ``swap``: train encoder, adaptive selection and generator end to end on pairs of faces.

Labels that exist are used (parsing for the face region, known factors for the names of the
attribute groups); where a face has none, those losses leave it out. The true swap of two different
people is never used, but by the loss ``supervised``, which is the stated ceiling's.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from alrl_jax.config import Config
from alrl_jax.models.build import build_discriminator, build_swapper
from alrl_jax.models.functional import apply
from alrl_jax.models.swapper.selection import FactorProbe, FixedSwap
from alrl_jax.models.swapper.swapper import Networks
from alrl_jax.storage.model_directory import read_model
from alrl_jax.training.losses.table import SwapForward, total_loss
from alrl_jax.training.state import PyTree, TrainState, ema_decay, update_ema
from alrl_jax.training.tasks import attribute_control, cycle_targets, pooling, warm_start
from alrl_jax.training.tasks.generator import (
    REAL_SIGN,
    discriminator_augmentation,
    discriminator_gradient,
)
from alrl_jax.training.tasks.loss_networks import LossNetworks
from alrl_jax.training.tasks.pairs import interleave, separate
from alrl_jax.training.tasks.pretrained import Reader, like
from alrl_jax.training.tasks.swapper_values import ATTRIBUTE_GROUPS, swapper_config
from alrl_jax.training.tasks.target_warp import warp_target
from alrl_jax.training.tasks.task import (
    ExportedModel,
    Metrics,
    Phase,
    check_losses,
    network_optimizer,
)
from alrl_jax.types import PairBatch, SwapOutput
from alrl_jax.worlds import primitives

FACTOR_GROUPS = {
    **{name: "identity" for name in primitives.IDENTITY_FACTORS},
    **{name: group for group, names in primitives.ATTRIBUTE_GROUPS.items() for name in names},
}
"""Attribute group of every known factor."""

WHO_LOSSES = ("identity", "identity_factors", "attributes")
"""Losses that ask who the generated face is, and how it looks."""

TARGET_WARP_STREAM, CYCLE_TARGET_STREAM, ATTRIBUTE_CONTROL_STREAM = 1, 2, 3
"""Folded into a step's key for the draws of target warps, cycle targets and attribute control."""


class SwapTask:
    """End-to-end face swapping.

    Trained: ``encoder``, ``swap`` and, where the config says so, ``generator``; for training only,
    a ``discriminator`` and the ``probe`` of the attribute groups. Frozen: ``identity`` and, where
    the losses ask for them, ``lpips`` and ``parser``, else the ``generator``, where the config says
    so the encoder's ``backbone``, and the statistics of an encoder's batch normalisation.
    """

    name = "swap"
    batch_kind = "pairs"

    def __init__(self, config: Config) -> None:
        check_losses(config)
        warm_start.check_frozen(config)
        self._config = config
        self._model_config = swapper_config(config)
        self._swapper = build_swapper(self._model_config, config.remat)
        self._loss_networks = LossNetworks(config, self._swapper.identity)
        self._probe = FactorProbe(
            attribute_groups=ATTRIBUTE_GROUPS,
            factor_groups=tuple(FACTOR_GROUPS.values()),
            channel_groups=config.swap.channel_groups,
        )
        self._discriminator = build_discriminator(warm_start.discriminator_values(config))
        self._augmentation = discriminator_augmentation(config)
        rates = config.optimizer
        lazy = rates.r1_interval if self._weight("r1") else 0
        optimizer = network_optimizer(config, rates.learning_rate, algorithm=rates.algorithm)
        self._optimizers = {"encoder": optimizer, "swap": optimizer, "probe": optimizer}
        if isinstance(self._swapper.selector, FixedSwap):
            del self._optimizers["swap"]  # nothing of it can be learned
        if config.generator.train:
            self._optimizers["generator"] = network_optimizer(
                config,
                rates.generator_learning_rate,
                algorithm=rates.algorithm,
                equalized=True,
            )
        if self._weight("adversarial"):
            self._optimizers["discriminator"] = network_optimizer(
                config, rates.discriminator_learning_rate, lazy
            )

    def load_frozen(self, read: Reader = read_model) -> dict[str, PyTree]:
        """The identity net, what else teaches, and generator and features that are held still."""
        frozen = self._loss_networks.load_frozen(read)
        if not self._config.encoder.train_backbone:
            frozen["backbone"] = warm_start.load_backbone(self._config, read)
        if not self._config.generator.train:
            frozen["generator"] = warm_start.load_generator(self._config, read)
        return frozen

    def load_pretrained(self, read: Reader = read_model) -> dict[str, PyTree]:
        """Start values of what is trained; see ``warm_start.load_networks``."""
        return warm_start.load_networks(self._config, read)

    def init(self, key: Key[Array, ""], pretrained: dict[str, PyTree]) -> TrainState:
        """Fresh weights, replaced by what is pretrained."""
        size = self._config.resolution
        blocks = self._config.discriminator.mbstd_blocks
        keys = jax.random.split(key, 3)
        images = jnp.zeros((blocks, size, size, 3))
        fresh = self._swapper.init(keys[0], images)
        codes = self._swapper.encode(fresh, images).codes
        shape = (codes.attributes.shape[1], self._config.swap.channel_groups, len(ATTRIBUTE_GROUPS))
        fresh["probe"] = self._probe.init(keys[1], codes, jnp.ones(shape))
        discriminator = self._discriminator.init(keys[2], images)
        fresh["discriminator"] = discriminator["params"]
        names = ("swap", "probe", "generator", "discriminator")
        networks = {name: like(name, fresh[name], pretrained) for name in names}
        encoder = warm_start.start_encoder(fresh["encoder"], pretrained)
        statistics = {name: tree for name, tree in encoder.items() if name != "params"}
        held = () if self._config.encoder.train_backbone else (warm_start.BACKBONE,)
        params = {
            "encoder": {"params": {n: x for n, x in encoder["params"].items() if n not in held}},
            "probe": networks["probe"],
            "discriminator": networks["discriminator"],
        }
        if "swap" in self._optimizers:
            params["swap"] = networks["swap"]
        mutable = {"encoder": statistics} if statistics else {}
        if self._config.generator.train:
            params["generator"] = networks["generator"]["params"]
            mutable["constants"] = networks["generator"]["constants"]
        mutable |= self._augmentation.start()
        averaged = {"encoder", "swap", "generator"} & params.keys()
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            ema={name: jax.tree.map(jnp.copy, params[name]) for name in averaged},
            opt_state={name: o.init(params[name]) for name, o in self._optimizers.items()},
            mutable=mutable,
        )

    def phase(self, step: int) -> Phase:
        """Which lazy regularisers the next step runs."""
        interval = self._config.optimizer.r1_interval
        adversarial = "discriminator" in self._optimizers
        return Phase(r1=adversarial and bool(self._weight("r1")) and step % interval == 0)

    def step(
        self, state: TrainState, frozen: dict[str, PyTree], batch: PairBatch, phase: Phase
    ) -> tuple[TrainState, Metrics]:
        """One update of all trained networks on one forward pass."""
        key = jax.random.fold_in(jax.random.key(self._config.seed), state.step)
        trained = {n: p for n, p in state.params.items() if n in self._optimizers}
        others = {n: p for n, p in state.params.items() if n not in self._optimizers}
        discriminator = {**trained, **others}["discriminator"]
        trained.pop("discriminator", None)

        def loss(params: PyTree) -> tuple[Array, tuple[SwapForward, Array, Metrics]]:
            forward, generated = self._forward(
                {**others, **params, "discriminator": discriminator}, state, frozen, batch, key
            )
            total, values = total_loss(self.name, forward, self._config.losses)
            return total, (forward, generated, values)

        (total, (forward, generated, values)), gradients = jax.value_and_grad(loss, has_aux=True)(
            trained
        )
        metrics = {"loss/total": total, **{f"loss/{k}": v for k, v in values.items()}}
        metrics["gates/mean"] = jnp.mean(forward.swapped.gates.attributes)
        if self._loss_networks.parser is not None:
            unknown = jnp.stack([~batch.source.labelled, ~batch.target.labelled])
            metrics["labels/from_parser"] = jnp.mean(unknown.astype(jnp.float32))
        mutable, size = state.mutable, batch.target.image.shape[0]
        if "discriminator" in self._optimizers:
            weight = self._weight("r1") * self._config.optimizer.r1_interval if phase.r1 else 0.0
            see = functools.partial(self._augmentation.see, mutable=state.mutable, key=key)
            real = see(batch.target.image, use="real")
            fake = see(jax.lax.stop_gradient(generated), use="fake")
            d_loss, gradients["discriminator"], d_metrics = discriminator_gradient(
                self._discriminate, discriminator, real, fake, weight
            )
            sign = d_metrics.pop(REAL_SIGN)
            mutable, ada_metrics = self._augmentation.follow(mutable, state.step, sign, size)
            metrics |= {"loss/discriminator": d_loss, **d_metrics, **ada_metrics}
        state = self._update(state, gradients, size)
        return dataclasses.replace(state, mutable=mutable), metrics

    def preview(
        self, state: TrainState, frozen: dict[str, PyTree], batch: PairBatch
    ) -> dict[str, Float[Array, "b h w 3"]]:
        """Source, target and all that the averaged networks make of them."""
        networks = self._networks(state.ema, state, frozen)
        swapped = self._swap(networks, batch)
        codes = self._swapper.encode(networks, batch.target.image).codes
        return {
            "source": batch.source.image,
            "target": batch.target.image,
            "reconstructed": self._swapper.generate(networks, codes),
            "generated": swapped.generated,
            "mask": jnp.repeat(2.0 * swapped.mask - 1.0, 3, axis=-1),
            "swap": swapped.image,
            "gates": gate_picture(swapped.gates.attributes, self._config.resolution),
        }

    def export(self, state: TrainState, frozen: dict[str, PyTree]) -> ExportedModel:
        """The averaged swapper, and the training-only networks for those who train on."""
        networks = self._networks(state.ema, state, frozen)
        variables = {
            **networks,
            "probe": state.params["probe"],
            "discriminator": state.params["discriminator"],
        }
        return ExportedModel("swapper", self._model_config, variables)

    def _forward(
        self,
        params: PyTree,
        state: TrainState,
        frozen: dict[str, PyTree],
        batch: PairBatch,
        key: Key[Array, ""],
    ) -> tuple[SwapForward, Float[Array, "b h w 3"]]:
        """Everything that the losses read, and the generated faces as they were drawn.

        What no loss with a weight reads is not computed.
        """
        swapper = self._swapper
        networks = self._networks(params, state, frozen)
        whole, batch = batch, self._hide_target(batch, state, frozen, key)
        both = swapper.encode(networks, interleave(batch.source.image, batch.target.image))
        source, target = separate(both)
        embedding = swapper.embed(networks, batch.source.image)
        faces = (source.codes, target.codes, embedding)
        drawing = {"temperature": self._temperature(state.step), "noise_key": key}
        asked, names = self._attribute_control(batch, key), swapper.selector.attribute_groups
        select = functools.partial(swapper.select, networks, *faces, **drawing)
        codes, gates = attribute_control.select(select, swapper.overrides({}), names, asked)
        drawn = swapper.generate(networks, interleave(codes, source.codes))
        generated, reconstructed = separate(drawn)
        encoded = swapper.encode(networks, generated)
        # The blend may not be gamed: no face is drawn wider to win a larger mask.
        drawn_region = jax.lax.stop_gradient(encoded.region_logits)
        image, mask = swapper.finish(
            networks, generated, batch.target.image, target.region_logits, drawn_region
        )
        swapped = SwapOutput(image, generated, mask, gates, codes)
        # From here on all is as large as the losses see it, but what the discriminator judges.
        side = self._config.loss_resolution or self._config.resolution
        swapped = pooling.pool_output(swapped, side)
        source_face, face = (pooling.pool_faces(x, side) for x in (batch.source, batch.target))
        reconstructed = pooling.pool_images(reconstructed, side)
        truth = pooling.pool_images(whole.target.image, side)
        loss_networks = self._loss_networks
        # Before the blend: outside of its mask no gradient would ever make a face wider. Nor does a
        # face say all of who it is: asked to say it inside the mask alone, it becomes a caricature.
        swap_embedding, swap_factors = loss_networks.read(frozen, swapped.generated, *WHO_LOSSES)
        person_embedding, person_factors = loss_networks.person(frozen, batch, embedding)
        factors = loss_networks.wanted_factors(frozen, source_face.image, truth, asked)
        labels = loss_networks.labels(frozen, source_face, face, batch)
        forward = SwapForward(
            source=source_face,
            target=face,
            truth=truth,
            same_identity=batch.same_identity,
            source_encoding=pooling.resize_encoding(source, side),
            target_encoding=pooling.resize_encoding(target, side),
            generated_encoding=pooling.resize_encoding(encoded, side),
            swapped=swapped,
            reconstructed=reconstructed,
            person_embedding=person_embedding,
            swap_embedding=swap_embedding,
            person_factors=person_factors,
            swap_factors=swap_factors,
            target_factors=factors,
            generated_distance=loss_networks.distance(
                frozen, "perceptual", swapped.generated, truth
            ),
            reconstructed_distance=loss_networks.distance(
                frozen, "self_perceptual", reconstructed, source_face.image
            ),
            source_labels=labels[0],
            target_labels=labels[1],
            factors=apply(self._probe, params["probe"], target.codes, gates.owners),
            swap_logits=self._discriminate(
                params["discriminator"],
                self._augmentation.see(generated, state.mutable, key, "generator"),
            ),
            face_labels=jnp.asarray(primitives.FACE_LABELS),
            w_avg=networks["generator"]["constants"]["mapping"]["w_avg"],
            gate_budget=jnp.asarray(self._config.swap.gate_budget, jnp.float32),
            **self._supervision(frozen, batch, swapped.generated),
        )
        return forward, generated

    def _supervision(
        self, frozen: dict[str, PyTree], batch: PairBatch, generated: Float[Array, "b r r 3"]
    ) -> dict[str, Any]:
        """What the stated ceiling alone may learn from; nothing where the data do not tell it."""
        if batch.truth is None:
            return {}
        truth = pooling.pool_images(batch.truth, generated.shape[1])
        distance = self._loss_networks.distance(frozen, "supervised", generated, truth)
        return {"truth_swap": truth, "truth_distance": distance}

    def _hide_target(
        self, batch: PairBatch, state: TrainState, frozen: dict[str, PyTree], key: Key[Array, ""]
    ) -> PairBatch:
        """The pairs as the networks see them: targets of the same person are not quite theirs.

        Some are cycle targets, drawn by the averaged networks; the others are bent.
        """
        target, hidden = batch.target, batch.same_identity
        if share := self._config.swap.cycle_targets:
            networks = self._networks(state.ema, state, frozen)
            blocks = self._config.discriminator.mbstd_blocks
            other = dataclasses.replace(
                batch.source, image=cycle_targets.strangers(batch.source.image, blocks)
            )
            swapped = self._swap(networks, dataclasses.replace(batch, source=other)).image
            draws = jax.random.uniform(jax.random.fold_in(key, CYCLE_TARGET_STREAM), hidden.shape)
            chosen = hidden & (draws < share)
            target = cycle_targets.put_in(target, chosen, jax.lax.stop_gradient(swapped))
            hidden &= ~chosen
        if strength := self._config.swap.target_warp:
            draw = jax.random.fold_in(key, TARGET_WARP_STREAM)
            labels = jnp.asarray(primitives.FACE_LABELS)
            target = warp_target(target, hidden, draw, labels, strength)
        return dataclasses.replace(batch, target=target)

    def _attribute_control(
        self, batch: PairBatch, key: Key[Array, ""]
    ) -> attribute_control.AttributeControl | None:
        """What pairs ask of their sources; None where the config lets none ask."""
        share, draw = (
            self._config.swap.attribute_control,
            jax.random.fold_in(key, ATTRIBUTE_CONTROL_STREAM),
        )
        return (
            attribute_control.draw_attribute_control(draw, batch.same_identity, share)
            if share
            else None
        )

    def _swap(self, networks: Networks, batch: PairBatch) -> SwapOutput:
        overrides = self._swapper.overrides({})
        return self._swapper.swap(networks, batch.source.image, batch.target.image, overrides)

    def _networks(self, params: PyTree, state: TrainState, frozen: dict[str, PyTree]) -> Networks:
        generator = frozen.get("generator")
        if generator is None:
            generator = {"params": params["generator"], "constants": state.mutable["constants"]}
        encoder = {**params["encoder"], **state.mutable.get("encoder", {})}
        if "backbone" in frozen:
            encoder["params"] = {**encoder["params"], warm_start.BACKBONE: frozen["backbone"]}
        return {
            "encoder": encoder,
            "swap": params.get("swap", {}),
            "generator": generator,
            "identity": frozen["identity"],
        }

    def _discriminate(self, params: PyTree, images: Float[Array, "b h w 3"]) -> Float[Array, "b 1"]:
        return apply(self._discriminator, {"params": params}, images)

    def _temperature(self, step: Array) -> Float[Array, ""]:
        """Temperature of the relaxed gates: falls geometrically over the run."""
        values = self._config.swap
        share = jnp.clip(step.astype(jnp.float32) / self._config.num_steps, 0.0, 1.0)
        start, end = jnp.log(values.temperature_start), jnp.log(values.temperature_end)
        return jnp.exp(start + share * (end - start))

    def _weight(self, name: str) -> float:
        return self._config.losses.get(name, 0.0)

    def _update(
        self, state: TrainState, gradients: dict[str, PyTree], batch_size: int
    ) -> TrainState:
        params, opt_state = dict(state.params), {}
        for name, optimizer in self._optimizers.items():
            updates, opt_state[name] = optimizer.update(
                gradients[name], state.opt_state[name], state.params[name]
            )
            params[name] = optax.apply_updates(state.params[name], updates)
        decay = ema_decay(state.step, batch_size, self._config.optimizer.ema_kimg)
        ema = {name: update_ema(old, params[name], decay) for name, old in state.ema.items()}
        return dataclasses.replace(
            state, step=state.step + 1, params=params, opt_state=opt_state, ema=ema
        )


def gate_picture(gates: Float[Array, "b l g"], resolution: int) -> Float[Array, "b h w 3"]:
    """Gates as pictures: a row a layer, a column a channel group, white from the source."""
    picture = jnp.repeat(2.0 * gates[..., None] - 1.0, 3, axis=-1)
    return jax.image.resize(picture, (gates.shape[0], resolution, resolution, 3), "nearest")
