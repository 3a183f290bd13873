"""The faults that ``mutants`` applies: what stands in the code, and what takes its place."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One small fault.

    Attributes:
        file: path from the project's root.
        fault: what is wrong, in a few words.
        old: text that stands in the file exactly once.
        new: what takes its place.
        tests: test files to run; all that import the module where there are none.
    """

    file: str
    fault: str
    old: str
    new: str
    tests: tuple[str, ...] = ()


BLEND = "alrl_jax/models/swapper/blend.py"
SELECTION = "alrl_jax/models/swapper/selection.py"
REFINEMENT = "alrl_jax/models/swapper/refinement.py"
TARGET_FEATURES = "alrl_jax/models/swapper/target_features.py"
FROZEN = "alrl_jax/evaluation/frozen.py"
ATTRIBUTE_CONTROL = "alrl_jax/training/tasks/attribute_control.py"
SWAPPER = "alrl_jax/models/swapper/swapper.py"
LAYERS = "alrl_jax/models/stylegan2/layers.py"
ADA = "alrl_jax/models/stylegan2/ada.py"
OPTIM = "alrl_jax/training/optim.py"
STATE = "alrl_jax/training/state.py"
GENERATOR_LOSSES = "alrl_jax/training/losses/generator.py"
SWAP_LOSSES = "alrl_jax/training/losses/swap.py"
LOSS_TABLE = "alrl_jax/training/losses/table.py"
SWAP_TASK = "alrl_jax/training/tasks/swap.py"
GAN = "alrl_jax/training/losses/gan.py"
PARTS = "alrl_jax/training/losses/parts.py"
IMAGE_METRICS = "alrl_jax/evaluation/image_metrics.py"

LOSS_TESTS = ("tests/training/losses",)

MUTANTS = (
    Mutant(
        BLEND,
        "faces exchanged",
        "return mask * generated + (1.0 - mask) * target",
        "return mask * target + (1.0 - mask) * generated",
    ),
    Mutant(
        BLEND,
        "intersection for union",
        "union = 1.0 - (1.0 - target_region) * (1.0 - generated_region)",
        "union = target_region * generated_region",
    ),
    Mutant(
        BLEND,
        "edge twice as wide",
        "_box_mean(union, 2 * feather + 1)",
        "_box_mean(union, 4 * feather + 1)",
    ),
    Mutant(
        SELECTION,
        "gates inside out",
        "return target + wide * (source - target)",
        "return source + wide * (target - source)",
    ),
    Mutant(
        SELECTION,
        "hard gates without gradient",
        "return soft + jax.lax.stop_gradient(hard - soft)",
        "return jax.lax.stop_gradient(hard)",
    ),
    Mutant(
        SELECTION,
        "noise with one sign",
        "jnp.log(uniform) - jnp.log1p(-uniform)",
        "jnp.log(uniform) + jnp.log1p(-uniform)",
    ),
    Mutant(
        SELECTION,
        "temperature upside down",
        "jnp.log1p(-uniform)) / noise.temperature",
        "jnp.log1p(-uniform)) * noise.temperature",
    ),
    Mutant(
        SELECTION,
        "pose code moves although the target's identity is asked for",
        "jnp.where(keeps, 0.0, moved)",
        "jnp.where(keeps, moved, 0.0)",
    ),
    Mutant(
        SELECTION,
        "frozen gates are not looked at",
        "if frozen is not None and frozen.codes is not None:",
        "if frozen is not None and frozen.codes is None:",
        ("tests/models/swapper/test_selection.py",),
    ),
    Mutant(
        REFINEMENT,
        "vectors keep their mean",
        "centred = x - jnp.mean(x, axis=-1, keepdims=True)",
        "centred = x",
        ("tests/models/swapper/test_selection.py",),
    ),
    Mutant(
        TARGET_FEATURES,
        "a head that turns keeps the target's features",
        "jnp.where(turned, 0.0, gate)",
        "jnp.where(turned, gate, gate)",
        ("tests/models/swapper/test_target_features.py",),
    ),
    Mutant(
        TARGET_FEATURES,
        "constants are taken outside of the face",
        "mask * jax.nn.sigmoid(constant) + (1.0 - mask)",
        "(1.0 - mask) * jax.nn.sigmoid(constant) + mask",
        ("tests/models/swapper/test_target_features.py",),
    ),
    Mutant(
        REFINEMENT,
        "refinement does not start as identity",
        "return source + jnp.einsum",
        "return target + jnp.einsum",
    ),
    Mutant(
        SELECTION,
        "lcr4 from another resolution",
        '"lcr4": _from_source(4, None)',
        '"lcr4": _from_source(5, None)',
    ),
    Mutant(
        SELECTION,
        "psp_middle one layer longer",
        '"psp_middle": _from_source(3, 7)',
        '"psp_middle": _from_source(3, 8)',
    ),
    Mutant(
        SWAPPER,
        "mask of the target's region alone",
        "jax.nn.sigmoid(generated_region_logits),",
        "jax.nn.sigmoid(target_region_logits),",
    ),
    Mutant(
        SWAPPER,
        "pose from the source by default",
        'chosen = {"pose": FROM_TARGET, **groups}',
        'chosen = {"pose": FROM_SOURCE, **groups}',
    ),
    Mutant(
        LAYERS,
        "demodulation without its epsilon",
        "power * gain**2 + _DEMOD_EPSILON",
        "power * gain**2",
    ),
    Mutant(
        LAYERS,
        "learning speed counted once",
        "bias_init / self.lr_multiplier",
        "bias_init * self.lr_multiplier",
    ),
    Mutant(
        ADA,
        "probability moves away from its target",
        "signs / INTERVAL - self.target",
        "self.target - signs / INTERVAL",
    ),
    Mutant(ADA, "signs are never forgotten", "jnp.where(due, 0.0, signs)", "signs"),
    Mutant(
        OPTIM,
        "rate too low",
        "optax.adam(schedule(learning_rate)",
        "optax.adam(schedule(0.8 * learning_rate)",
    ),
    Mutant(OPTIM, "second moment forgotten like the first", "b2=beta2, eps", "b2=beta1, eps"),
    Mutant(
        OPTIM,
        "Muon turns output layers as well",
        "if is_output or len(shape) < 2",
        "if len(shape) < 2",
    ),
    Mutant(
        OPTIM,
        "gates move from the first step",
        "[optax.constant_schedule(0.0), usual], [start]",
        "[usual, usual], [start]",
    ),
    Mutant(OPTIM, "no clipping", "if clip_norm else rule", "if not clip_norm else rule"),
    Mutant(OPTIM, "no warm-up", "first = 0.0 if warmup else peak", "first = peak"),
    Mutant(STATE, "average forgets too slowly at the start", "seen * 0.05", "seen * 0.5"),
    Mutant(
        STATE,
        "average moves away",
        "lambda old, new: new + (old - new) * decay",
        "lambda old, new: old + (old - new) * decay",
    ),
    Mutant(
        GAN,
        "R1 twice as strong",
        "return 0.5 * jnp.mean(jnp.sum(jnp.square(gradient)",
        "return jnp.mean(jnp.sum(jnp.square(gradient)",
    ),
    Mutant(
        GAN,
        "discriminator's signs exchanged",
        "jax.nn.softplus(-real_logits) + jax.nn.softplus(fake_logits)",
        "jax.nn.softplus(real_logits) + jax.nn.softplus(-fake_logits)",
    ),
    Mutant(
        GENERATOR_LOSSES,
        "path lengths summed over layers",
        "jnp.mean(jnp.sum(jnp.square(gradient), axis=2), axis=1)",
        "jnp.sum(jnp.sum(jnp.square(gradient), axis=2), axis=1)",
    ),
    Mutant(
        GAN,
        "sign of the loss of what draws",
        "return jnp.mean(jax.nn.softplus(-fake_logits))",
        "return jnp.mean(jax.nn.softplus(fake_logits))",
    ),
    Mutant(
        SWAP_LOSSES,
        "background inside out",
        "outside = jax.lax.stop_gradient(1.0 - mask)",
        "outside = jax.lax.stop_gradient(mask)",
        LOSS_TESTS,
    ),
    Mutant(
        SWAP_LOSSES,
        "sign of the gate budget",
        "jnp.square(jnp.mean(probabilities) - budget)",
        "jnp.square(jnp.mean(probabilities) + budget)",
        LOSS_TESTS,
    ),
    Mutant(
        SWAP_LOSSES,
        "gates reward forgetting the pair",
        "jnp.mean(entropy(probabilities)) - jnp.mean(marginal)",
        "jnp.mean(marginal) - jnp.mean(entropy(probabilities))",
        LOSS_TESTS,
    ),
    Mutant(
        SWAP_LOSSES,
        "codes move to where they are easy to read",
        "encoded - jax.lax.stop_gradient(drew)",
        "jax.lax.stop_gradient(encoded) - drew",
        LOSS_TESTS,
    ),
    Mutant(
        SWAP_LOSSES,
        "identity asks for the opposite",
        "1.0 - jnp.sum(embedding * wanted, axis=-1)",
        "1.0 + jnp.sum(embedding * wanted, axis=-1)",
        LOSS_TESTS,
    ),
    Mutant(
        SWAP_LOSSES,
        "reconstruction of all pairs",
        "mean_where(face_l1(generated, truth, mask), same_identity)",
        "jnp.mean(face_l1(generated, truth, mask))",
        LOSS_TESTS,
    ),
    Mutant(
        LOSS_TABLE,
        "attribute consistency of the target's codes",
        '("encoded.generated.codes.attributes", "drawn.codes.attributes")',
        '("encoded.target.codes.attributes", "drawn.codes.attributes")',
        LOSS_TESTS,
    ),
    Mutant(
        LOSS_TABLE,
        "weights left out of the sum",
        "sum((weights[name] * value for",
        "sum((value for",
        LOSS_TESTS,
    ),
    Mutant(
        SWAP_TASK,
        "the discriminator learns from targets alone",
        "                fakes,\n                mutable,",
        "                batch.target.image,\n                mutable,",
    ),
    Mutant(
        ATTRIBUTE_CONTROL,
        "a head that turns has to keep the target's hair",
        "return ~(control.asks & (control.group",
        "return (control.asks & (control.group",
        ("tests/training/tasks/test_attribute_control.py",),
    ),
    Mutant(
        FROZEN,
        "the minority for the majority",
        "(mean > 0.5)",
        "(mean < 0.5)",
        ("tests/evaluation/test_frozen.py",),
    ),
    Mutant(
        PARTS,
        "sign of Dice",
        "dice = 1.0 - overlap",
        "dice = 1.0 + overlap",
        LOSS_TESTS,
    ),
    Mutant(
        PARTS,
        "weight outside and inside exchanged",
        "OUTSIDE_WEIGHT + (1.0 - OUTSIDE_WEIGHT) * jax.lax.stop_gradient(mask)",
        "1.0 - (1.0 - OUTSIDE_WEIGHT) * jax.lax.stop_gradient(mask)",
        LOSS_TESTS,
    ),
    Mutant(
        PARTS,
        "mean over all places",
        "jnp.sum(values * counts) / jnp.maximum(jnp.sum(counts), 1.0)",
        "jnp.sum(values * counts) / counts.size",
        LOSS_TESTS,
    ),
    Mutant(IMAGE_METRICS, "range of one", "DATA_RANGE = 2.0", "DATA_RANGE = 1.0"),
    Mutant(
        IMAGE_METRICS,
        "region ignored in SSIM",
        "return region_mean(ssim_map(images, references), inner)",
        "return region_mean(ssim_map(images, references), None)",
    ),
)
