"""An experiment is refused with the key, the value and the remedy, before anything is written."""

from pathlib import Path

import msgspec
import pytest

from dynamics.crnn import config
from dynamics.crnn.architecture import Conv, Dense
from dynamics.crnn.config import fingerprint, load

ROOT = Path(__file__).parents[3]
# StochEP with an option of the network (lem:options), and what residual links are compared with
OPTIONS = ("leaks", "lateral", "divisive", "feedback", "deep", "residual")
_DIGITS = sorted((ROOT / "experiments").glob("digits_*.toml"))
EXPERIMENTS = [path for path in _DIGITS if not path.stem.endswith(OPTIONS)]
STOCHASTIC = ROOT / "experiments" / "digits_stochastic.toml"
CONV = "kind='conv', channels=3, kernel=3, pool=2"
PREDICTIVE = "{kind='predictive_coding', nudging=1.0, rate=0.1, steps=5}"
EVOLUTION = "{kind='evolution_strategies', pairs=1, width=0.1, steps=5, window=2}"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("training.epoch=3", r"unknown key training\.epoch: did you mean training\.epochs\?"),
        ("colour=3", r"unknown key colour: remove it"),
        ("rule.tolerance=1e-3", r"unknown key rule\.tolerance"),
        ("network.temperature=-1", r"network\.temperature: expected `float` > 0\.0, got -1"),
        ("network.temperature=nan", r"network\.temperature must be finite, got nan"),
        ("network.temperature=warm", r"network\.temperature: expected `float \| array`, got `str`, got 'warm'"),
        ("network.leak=1.5", r"network\.leak: expected `float` <= 1\.0, got 1\.5"),
        ("network.scales=[1.0]", r"network\.scales must have one value per array of weights, 2, got 1: \[1\.0\]"),
        ("network.leak=[0.5]", r"network\.leak must be one number or one per layer, 2, got 1: \[0\.5\]"),
        (
            "network.layers=[{kind='conv', chanels=3, kernel=3}]",
            r"unknown key network\.layers\.0\.chanels: did you mean network\.layers\.channels\?",
        ),
        ("network.layers=[{kind='conv', channels=3}]", r"key network\.layers\.0\.kernel is missing: add it"),
        (
            "input.coding='frames'",
            r"input\.coding must be 'frames' for the event streams .* got 'frames' with data\.name = 'digits'",
        ),
        ("training.optimiser={kind='sgd', beta=0.9}", r"unknown key training\.optimiser\.beta"),
        ("training.rates=[1.0, -2.0]", r"training\.rates\.1: expected `float` >= 0\.0, got -2\.0"),
        (
            "training.rates=[0.0, 0.0]",
            r"training\.rates must not all be 0, nothing would be learned, got \[0\.0, 0\.0\]",
        ),
        ("rule.kind=magic", r"rule\.kind: invalid value 'magic', got 'magic'"),
        ("rule.window=1000", r"rule\.window must not exceed its phase of \d+ steps, got 1000"),
        ("inference.window=1000", r"inference\.window must not exceed its phase of \d+ steps, got 1000"),
        ("seeds=[1, 1]", r"seeds must be distinct, got \[1, 1\]"),
        ("seeds=[-1]", r"seeds\.0: expected `int` >= 0, got -1"),
        ("name=../up", r"name: expected `str` matching regex .*, got '\.\./up'"),
        ("data.name=mnits", r"data\.name: invalid enum value 'mnits', got 'mnits'"),
        ("data.motion.frames=0", r"data\.motion\.frames: expected `int` >= 1, got 0"),
        ("data.motion.amplitude=29", r"data\.motion\.amplitude: expected `float` <= 28\.0, got 29"),
        ("data.motion.contrats=1", r"unknown key data\.motion\.contrats: did you mean data\.motion\.contrast\?"),
        ("data.augmentation.shift=-1", r"data\.augmentation\.shift: expected `int` >= 0, got -1"),
        (
            "data.augmentation.fliip=true",
            r"unknown key data\.augmentation\.fliip: did you mean data\.augmentation\.flip\?",
        ),
        ("training.rate_penalty=-0.5", r"training\.rate_penalty: expected .*>= 0\.0, got -0\.5"),
        (
            "training.rate_penalty=[1.0]",
            r"training\.rate_penalty must be one number or one per layer, 2, got 1: \[1\.0\]",
        ),
        ("training.anneal.temperature=1.0", r"key training\.anneal\.share is missing: add it"),
        ("training.anneal={share=0.0}", r"training\.anneal\.share: expected `float` > 0\.0, got 0\.0"),
        (
            "training.anneal={share=0.5, threshold=[1.0]}",
            r"training\.anneal\.threshold must be one number or one per layer, 2, got 1: \[1\.0\]",
        ),
        ("training.epochs", r"--set takes key=value with a dotted key, got 'training\.epochs'"),
        ("name.inner=3", r"--set name\.inner=3: name is a value, not a table"),
    ],
)
def test_a_bad_key_or_value_is_named(override, sentence):
    with pytest.raises(ValueError, match=sentence):
        load(STOCHASTIC, [override])


def test_a_missing_key_is_named(tmp_path):
    text = STOCHASTIC.read_text(encoding="utf-8").replace("optimiser", "# optimiser")
    (tmp_path / "short.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"key training\.optimiser is missing: add it"):
        load(tmp_path / "short.toml")


def test_what_is_not_toml_is_named(tmp_path):
    (tmp_path / "broken.toml").write_text("name = ", encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.toml is not valid TOML"):
        load(tmp_path / "broken.toml")
    with pytest.raises(ValueError, match=r"absent\.toml cannot be read: No such file"):
        load(tmp_path / "absent.toml")


def test_overrides_reach_the_experiment():
    experiment = load(
        STOCHASTIC,
        ["training.epochs=7", "network.layers=[{kind='dense', units=5}, {kind='dense', units=10}]", "name=other"],
        seeds=[4],
    )
    assert experiment.training.epochs == 7
    assert [layer.units for layer in experiment.network.layers] == [5, 10]
    assert (experiment.name, experiment.seeds) == ("other", (4,))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["input.coding=bernoulli"], r"input\.coding 'bernoulli' needs a rule that spikes"),
        (
            ["rule.rates=[0.1]", "rule.kind=continual"],
            r"rule\.rates must have one value per array of weights, 2, got 1",
        ),
        (["rule.steps_nudged=5", "rule.window=10"], r"rule\.window must not exceed its phase of 5 steps, got 10"),
        ([f"rule={EVOLUTION}", "rule.window=10"], r"rule\.window must not exceed its phase of 5 steps, got 10"),
        (
            [f"rule={EVOLUTION}", "rule.width=[0.1, 0.2, 0.3]"],
            r"rule\.width must be one number or one per layer, 2, got 3: \[0\.1, 0\.2, 0\.3\]",
        ),
        (
            [f"rule={PREDICTIVE}", f"network.layers=[{{{CONV}}}, {{kind='dense', units=10}}]"],
            r"network\.layers must all be dense for rule\.kind 'predictive_coding', got a conv layer: use kind = 'dense'",
        ),
        (
            [f"rule={PREDICTIVE}", "input.coding=frames", "data.name=saccades"],
            r"input\.coding must be 'static' for rule\.kind 'predictive_coding', .*, got 'frames'",
        ),
        ([f"rule={PREDICTIVE}", "input.coding=bernoulli"], r"input\.coding 'bernoulli' needs a rule that spikes"),
        *(
            (
                [f"rule={rule}", "network.activation=hard_sigmoid"],
                r"network\.activation 'hard_sigmoid' needs deterministic EP",
            )
            for rule in (PREDICTIVE, EVOLUTION)
        ),
    ],
)
def test_what_does_not_go_together_is_named(overrides, sentence):
    with pytest.raises(ValueError, match=sentence):
        load(STOCHASTIC.with_name("digits_deterministic.toml"), overrides)


def test_what_a_layer_says_reaches_the_architecture():
    conv = "kind='conv', channels=3, kernel=2, stride=1, padding=2, pool=3"
    layers = f"network.layers=[{{{conv}, pooling='max'}}, {{{conv}}}, {{kind='dense', units=10}}]"
    architecture = load(STOCHASTIC, [layers, "network.scales=[1, 1, 1]", "training.rates=[1, 1, 1]"]).architecture(
        (1, 8, 8), 10
    )
    assert architecture.layers == (Conv(3, 2, 1, 2, 3, "max"), Conv(3, 2, 1, 2, 3, "average"), Dense(10))


def test_adam_has_its_authors_constants_and_no_table_can_be_changed():
    training = load(STOCHASTIC, ["training.optimiser={kind='adam'}"]).training
    assert msgspec.structs.astuple(training.optimiser) == (0.9, 0.999, 1e-8)
    tables = [kind for kind in vars(config).values() if isinstance(kind, type) and issubclass(kind, config.Table)]
    assert len(tables) > 10
    assert all(table.__struct_config__.frozen for table in tables if table is not config.Table)
    with pytest.raises(AttributeError, match="immutable"):
        training.epochs = 3


def test_max_pooling_learns_by_ep_only():
    layers = "network.layers=[{kind='conv', channels=3, kernel=3, pool=2, pooling='max'}, {kind='dense', units=10}]"
    load(STOCHASTIC, [layers])
    with pytest.raises(ValueError, match=r"pooling = 'max' learn by EP only here: use pooling = 'average'"):
        load(STOCHASTIC.with_name("digits_implicit.toml"), [layers])


def test_a_readout_has_scales_and_rates_of_its_own():
    overrides = ["network.readout=cross-entropy", "network.scales=[1.0, 1.0, 1.0]", "training.rates=[1.0, 1.0, 1.0]"]
    architecture = load(STOCHASTIC, overrides).architecture((1, 8, 8), 10)
    assert architecture.weight_shapes == ((64, 128), (128, 10), (10, 10))


def test_the_fingerprint_sees_every_value_but_the_seeds():
    plain = load(STOCHASTIC)
    assert fingerprint(load(STOCHASTIC, seeds=[8])) == fingerprint(plain)
    assert fingerprint(load(STOCHASTIC, ["rule.phases=independent"])) != fingerprint(plain)


def test_evolution_strategies_spike_where_told_and_take_what_relaxes():
    shared = [f"rule={EVOLUTION}", f"network.layers=[{{{CONV}}}, {{kind='dense', units=10}}]", "rule.width=[0.1, 0.2]"]
    still, noisy = (load(STOCHASTIC, [*shared, f"rule.spiking={spiking}"]) for spiking in ("false", "true"))
    assert (still.spikes, noisy.spikes) == (False, True)
    assert not still.from_below
    assert load(STOCHASTIC, [f"rule={PREDICTIVE}"]).from_below


def test_digits_experiments_differ_in_their_rule_and_its_rates_alone():
    shared = {
        msgspec.json.encode((e.seeds, e.data, e.network, msgspec.structs.replace(e.training, rates=()), e.inference))
        for e in map(load, EXPERIMENTS)
    }
    assert len(EXPERIMENTS) == 8
    assert len(shared) == 1


@pytest.mark.parametrize("family", ["fashion", "fashion10k", "reach", "saccades"])
def test_experiments_of_a_family_differ_in_their_rule_alone_and_fit_their_images(family):
    """What the rules share is equal, rates of 0 aside where the readout alone learns, and the layers take the images."""
    paths = [
        path for path in sorted((ROOT / "experiments").glob(f"{family}_*.toml")) if not path.stem.endswith(OPTIONS)
    ]
    experiments = [load(path) for path in paths]
    assert len(experiments) > 1
    assert [experiment.name for experiment in experiments] == [path.stem for path in paths]
    rates = experiments[0].training.rates
    for one in experiments:
        assert one.training.rates == (rates if not one.name.endswith("_readout") else (0.0, 0.0, rates[-1]))
    shared = {
        fingerprint(
            msgspec.structs.replace(
                one, name="", rule=experiments[0].rule, training=msgspec.structs.replace(one.training, rates=rates)
            )
        )
        for one in experiments
    }
    assert len(shared) == 1
    shape = (2, 28, 28) if family == "saccades" else (1, 28, 28)
    side = 14 if family == "reach" else 7
    assert experiments[0].architecture(shape, 10).shapes == ((16, 14, 14), (32, side, side))


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("family", ["digits", "fashion10k"])
def test_an_option_differs_from_plain_stochep_in_the_network_its_nudging_and_rates_alone(family, option):
    """One budget: seeds, data, phases, epochs, batches, optimiser, schedule and inference are those of StochEP without it."""
    plain, one = (load(ROOT / "experiments" / f"{family}_{name}.toml") for name in ("stochastic_probabilities", option))
    moved = msgspec.structs.replace(
        one,
        name=plain.name,
        network=plain.network,
        rule=msgspec.structs.replace(one.rule, nudging=plain.rule.nudging),
        training=msgspec.structs.replace(one.training, rates=plain.training.rates),
    )
    assert fingerprint(moved) == fingerprint(plain) != fingerprint(one)
    assert one.name == f"{family}_{option}"


def test_sparse_experiments_differ_from_the_dense_one_in_what_makes_them_fire_less_alone():
    base = load(ROOT / "experiments/fashion10k_stochastic_probabilities.toml")
    found = sorted((ROOT / "experiments").glob("sparse_*.toml"))
    assert found
    for path in found:
        one = load(path)
        plain = msgspec.structs.replace(
            one,
            name=base.name,
            network=msgspec.structs.replace(one.network, threshold=base.network.threshold),
            training=msgspec.structs.replace(one.training, rate_penalty=msgspec.UNSET, anneal=msgspec.UNSET),
        )
        assert fingerprint(plain) == fingerprint(base) != fingerprint(msgspec.structs.replace(one, name=base.name))


def test_recorded_results_belong_to_their_experiments():
    for path in EXPERIMENTS:
        experiment = load(path)
        for seed in experiment.seeds:
            result = msgspec.json.decode((ROOT / "results" / experiment.name / str(seed) / "result.json").read_bytes())
            assert (result["config_hash"], result["seed"], result["dirty"]) == (fingerprint(experiment), seed, False)


def test_gestures_are_not_mirrored():
    with pytest.raises(ValueError, match=r"data\.augmentation is for images and saccades: dvs_gesture"):
        load(ROOT / "experiments/saccades_bptt_spikes.toml", ["data.name=dvs_gesture", "data.augmentation={flip=true}"])


def test_a_motion_that_is_left_out_leaves_the_fingerprint_alone():
    usual, moved = load(STOCHASTIC), load(STOCHASTIC, ["data.motion.frames=5"])
    assert "motion" not in msgspec.to_builtins(usual.data)
    assert msgspec.to_builtins(moved.data)["motion"] == {"frames": 5, "amplitude": 2.0, "contrast": 0.3}
    assert fingerprint(usual) != fingerprint(moved)


def test_hard_sigmoids_are_for_deterministic_rules_and_leave_no_trace_where_they_are_not_used():
    hard = "network.activation=hard_sigmoid"
    with pytest.raises(
        ValueError, match=r"network\.activation 'hard_sigmoid' needs deterministic EP: .* got rule Stochastic"
    ):
        load(STOCHASTIC, [hard])
    for name in ("digits_deterministic", "fashion10k_continual"):
        assert load(ROOT / "experiments" / f"{name}.toml", [hard]).network.activation == "hard_sigmoid"
    assert "activation" not in msgspec.to_builtins(load(STOCHASTIC).network)
