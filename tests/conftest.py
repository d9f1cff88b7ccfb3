"""Shared fixtures: a tiny random T5, the bundled model and vocabulary, a folder of small prompts, and a
dashboard of them in a browser.
"""

import functools
import os
import string

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach the network
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # as the program itself: on a busy machine spinning threads take many times as long
if workers := int(
    os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")
):  # they share the cores, and so do the programs they start
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

import tempfile
from pathlib import Path

import browsing
import numpy as np
import planted
import pytest

from explorer.choices import INITIALIZATIONS
from explorer.formats import peft
from explorer.prompt import Evaluation, Origin, RowSource, SoftPrompt, Trajectory
from explorer.system.files import cache_folder
from explorer.vocabulary import Vocabulary

if (
    "EXPLORER_TESTS_CACHE" not in os.environ
):  # no test reads or writes the user's cache; workers share this one
    os.environ.setdefault("EXPLORER_SMOLLM2", str((cache_folder() or Path()) / "smollm2"))
    os.environ["EXPLORER_TESTS_CACHE"] = os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(
        prefix="explorer-tests-"
    )
    os.environ["EXPLORER_CACHE_MIB"] = "0"  # but in tests of the cache: every test computes what it looks at

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""guides and third-party data beside the repository, where there are any"""

LONGEST = (
    "test_browser",
    "test_dashboard",
    "test_map_browser",
    "test_pages_browser",
    "test_resume",
    "test_cli",
    "test_smollm2",
    "test_cli_tables",
)
"""files that take a minute and more; they begin first, so that no core is left with one at the end"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; the order within a file stays."""
    place = {f"{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


TINY_TEXT = (
    "a good film with a great cast and a happy end",
    "the food was bad and the waiter was slow",
    "what is the name of the river in the north",
    "negative positive yes no true false",
    "he thinks that the story of the old house is not so bad after all",
    "an awful meal , but a charming place and good music",
)
SENTINELS = 10
LABELS = ("negative", "positive")
TRAJECTORY_STEPS = (0, 10, 20)


def tiny_tokenizer():
    """A Unigram tokenizer of a few words and all letters: pad 0, eos 1, unk 2, sentinels last and counted
    down, as in T5.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = list(dict.fromkeys(" ".join(TINY_TEXT).split()))
    pieces = [f"▁{word}" for word in words] + ["▁", *string.ascii_lowercase, *"?!.-"]
    scores = [-3.0] * len(words) + [-6.0] * (len(pieces) - len(words))
    sentinels = [f"<extra_id_{number}>" for number in reversed(range(SENTINELS))]
    special = ["<pad>", "</s>", "<unk>"]
    listed = [
        *zip(special, [0.0] * 3, strict=True),
        *zip(pieces, scores, strict=True),
        *((sentinel, -100.0) for sentinel in sentinels),
    ]
    tokenizer = Tokenizer(models.Unigram(listed, unk_id=2))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens([AddedToken(piece, special=True) for piece in (*special, *sentinels)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="session")
def tiny_t5_folder(tmp_path_factory) -> Path:
    """A folder with a random T5 (H 16, 2 + 2 layers, own head, padded table) and its small tokenizer."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("models") / "tiny-t5"
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=-(-len(tokenizer) // 32) * 32 + 32,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.1,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_t5_folder):
    """The tiny model on the CPU."""
    from explorer.models.encoder_decoder import FrozenT5

    return FrozenT5.load(tiny_t5_folder, device="cpu")


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """The bundled model's vocabulary."""
    return Vocabulary.load()


@pytest.fixture(scope="session")
def model():
    """The bundled model on the CPU in float32."""
    from explorer.models.encoder_decoder import FrozenT5

    return FrozenT5.load(device="cpu", dtype="float32")


def small_prompt(vocabulary: Vocabulary, initialization: str, seed: int, length: int = 6) -> SoftPrompt:
    """A prompt that moved a little from its initialization: 3 saved steps, a history, all of its origin
    recorded.
    """
    generator = np.random.default_rng([seed, INITIALIZATIONS.index(initialization)])
    table, common = vocabulary.embedding, vocabulary.searchable_ids[:1000]
    rows: list[RowSource] = [RowSource()] * length
    initial = generator.uniform(-0.5, 0.5, (length, vocabulary.dimension)).astype(np.float32)
    if initialization != "random":
        ids = generator.choice(common, length, replace=False)
        initial, rows = table[ids].copy(), [RowSource(piece=vocabulary.pieces[i]) for i in ids]
    if initialization == "class-label":
        for index, label in enumerate(LABELS):
            initial[index], rows[index] = vocabulary.text_vector(label), RowSource(label=label)
    moved = [
        initial + 0.1 * share * generator.standard_normal(initial.shape).astype(np.float32)
        for share in (0, 1, 2)
    ]
    accuracies = (0.5, 0.6 + 0.01 * seed, 0.7 + 0.01 * seed)
    origin = Origin(
        format="explorer",
        base_model=vocabulary.name,
        base_fingerprint=vocabulary.fingerprint,
        task="sentiment",
        labels=LABELS,
        initialization=initialization,
        seed=seed,
        step=TRAJECTORY_STEPS[-1],
        rows=tuple(rows),
        history=tuple(
            Evaluation(step, None if step == 0 else 1.0 / step, accuracy)
            for step, accuracy in zip(TRAJECTORY_STEPS, accuracies, strict=True)
        ),
        without_prompt=0.55,
        hyperparameters={"learning_rate": 0.3, "batch_size": 32},
        data={"train": {"name": "planted", "examples": 8}},
    )
    trajectory = Trajectory(np.stack(moved), np.array(TRAJECTORY_STEPS))
    return SoftPrompt(moved[-1], f"sentiment/{initialization}-{seed}", origin, trajectory)


@pytest.fixture(scope="session")
def tiny_prompts(tmp_path_factory, vocabulary) -> Path:
    """A folder `prompts/sentiment/<initialization>-<seed>` of 3 initializations × 2 seeds on the bundled
    vocabulary.
    """
    root = tmp_path_factory.mktemp("explorer") / "prompts"
    for initialization in INITIALIZATIONS:
        for seed in (0, 1):
            prompt = small_prompt(vocabulary, initialization, seed)
            peft.write(prompt, root / "sentiment" / f"{initialization}-{seed}", {"explorer": "test"})
    return root


@pytest.fixture(scope="module")
def house(tmp_path_factory, tiny_prompts, vocabulary) -> dict[str, str]:
    """The environment of the app: the small prompts, and a map that needs no fitting."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        planted.plant_map(vocabulary)
    environment = {
        **os.environ,
        "EXPLORER_PROMPTS": str(tiny_prompts),
        "XDG_CACHE_HOME": str(cache),
        "HF_HUB_OFFLINE": "1",
    }
    environment.pop("EXPLORER_MODEL", None)
    return environment


@pytest.fixture(scope="module")
def address(house, tmp_path_factory):
    """The app on a free port of this machine."""
    with browsing.served(house, tmp_path_factory.mktemp("server") / "log.txt") as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    """Chromium; in CI it must be there."""
    playwright = (
        pytest.importorskip("playwright.sync_api")
        if not browsing.MUST
        else __import__("playwright.sync_api").sync_api
    )
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(
            executable_path=str(browsing.CHROMIUM), args=list(browsing.ARGUMENTS)
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def profile(browser):
    """A visitor's browser, as wide as a laptop's; scripts that one tab has loaded the next one has too."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.set_default_timeout(browsing.PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(profile):
    """An empty tab."""
    tab = profile.new_page()
    yield tab
    tab.close()


@pytest.fixture(scope="session")
def components_sought_once():
    """Each AppTest has Streamlit read the metadata of every installed package, for half a second; it finds
    the same.
    """
    from streamlit.components.v2 import manifest_scanner

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            manifest_scanner,
            "scan_component_manifests",
            functools.cache(manifest_scanner.scan_component_manifests),
        )
        yield
