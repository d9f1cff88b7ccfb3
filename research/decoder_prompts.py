"""Tune prompts for a decoder-only model, the plain way, so that the readings can be tried on a real language model's vocabulary.

    python -m research.decoder_prompts MODEL TASKS OUT [--steps 100]

MODEL: a causal language model's folder, such as the one that ../shared/tools/smollm2 writes. TASKS: the folder of labelled tasks. OUT: one prompt for
each task and initialization; finished ones are skipped. The text, a line that asks, and the label's pieces after it: the loss is that of the label.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

from explorer.prompt import Evaluation, Origin, SoftPrompt, Trajectory
from explorer.tasks import Task, read_task
from explorer.tuning.initialization import initialize
from explorer.vocabulary import Vocabulary

ASKED = {"sentiment": ("sst2", "\nSentiment:"), "subjectivity": ("subj", "\nStyle:"), "question-type": ("trec", "\nThe question asks for:")}
"""task -> folder of its texts, the line that asks"""
LENGTH, BATCH, LEARNING_RATE, LONGEST, DEV_TEXTS, SEED = 20, 16, 1e-2, 64, 200, 0


class Decoder:
    """A frozen causal model that answers a text with the likeliest label."""

    def __init__(self, folder: str, question: str, labels: tuple[str, ...]):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
        self.table = self.model.get_input_embeddings().weight
        self.question = self._ids(question)
        self.labels = [self._ids(f" {label}") for label in labels]

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def label_losses(self, prompt: torch.Tensor, texts: list[str], labels: list[list[int]]) -> torch.Tensor:
        """Cross-entropy summed over the pieces of a label after each text, nats: [B]."""
        asked = [self._ids(text)[:LONGEST] + self.question for text in texts]
        longest = max(len(text) + len(label) for text, label in zip(asked, labels, strict=True))
        ids = torch.zeros(len(texts), longest, dtype=torch.long)
        wanted = torch.full((len(texts), longest), -100)
        for row, (text, label) in enumerate(zip(asked, labels, strict=True)):
            ids[row, : len(text) + len(label)] = torch.tensor(text + label)
            wanted[row, len(text) : len(text) + len(label)] = torch.tensor(label)
        embeds = torch.cat([prompt.expand(len(texts), -1, -1), self.table[ids]], dim=1)  # padding stands behind: causal attention never sees it
        hidden = self.model.model(inputs_embeds=embeds).last_hidden_state[:, len(prompt) - 1 : -1]
        places = wanted != -100
        pieces = torch.nn.functional.cross_entropy(self.model.lm_head(hidden[places]).float(), wanted[places], reduction="none")
        return torch.zeros(len(texts)).index_add(0, places.nonzero()[:, 0], pieces)

    def accuracy(self, prompt: torch.Tensor, task: Task) -> float:
        """Share of texts whose likeliest label is the right one, 0…1."""
        right = 0
        with torch.inference_mode():
            for start in range(0, len(task), BATCH):
                texts, answers = task.texts[start : start + BATCH], task.answers[start : start + BATCH]
                losses = torch.stack([self.label_losses(prompt, list(texts), [label] * len(texts)) for label in self.labels], dim=1)
                right += sum(task.labels[best] == answer for best, answer in zip(losses.argmin(dim=1).tolist(), answers, strict=True))
        return right / len(task)


def tuned(decoder: Decoder, vocabulary: Vocabulary, train: Task, dev: Task, name: str, initialization: str, steps: int) -> SoftPrompt:
    """A prompt after `steps` steps of AdamW whose rate falls to 0."""
    start, rows = initialize(initialization, vocabulary, LENGTH, train.labels, SEED)
    prompt = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.AdamW([prompt], lr=LEARNING_RATE, weight_decay=0.0)
    generator, history, losses = np.random.default_rng(SEED), [Evaluation(0, None, decoder.accuracy(prompt, dev))], []
    bar = tqdm(range(steps), desc=f"{name}/{initialization}", mininterval=5)
    for step in bar:
        rows_drawn = generator.choice(len(train), BATCH, replace=False)
        labels = [decoder.labels[train.labels.index(train.answers[row])] for row in rows_drawn]
        loss = decoder.label_losses(prompt, [train.texts[row] for row in rows_drawn], labels).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([prompt], 1.0)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / steps)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{np.mean(losses[-20:]):.3f}")
    vectors = prompt.detach().numpy().copy()
    history.append(Evaluation(steps, float(np.mean(losses)), decoder.accuracy(prompt, dev)))
    origin = Origin(
        base_model=vocabulary.name, task=name, labels=train.labels, initialization=initialization, seed=SEED, step=steps, rows=rows, history=tuple(history)
    )
    return SoftPrompt(vectors, f"{name}/{initialization}-{SEED}", origin, Trajectory(np.stack([start, vectors]), np.array([0, steps])))


def main() -> None:
    """Tune what is not there yet; print dev accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("tasks", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--task", choices=ASKED, action="append")
    parser.add_argument("--init", choices=("random", "sampled-vocab", "class-label"), action="append")
    asked = parser.parse_args()
    vocabulary = Vocabulary.load(asked.model)
    for initialization in asked.init or ["class-label", "sampled-vocab"]:
        for name in asked.task or ASKED:
            folder, question = ASKED[name]
            place = asked.out / name / f"{initialization}-{SEED}"
            if place.exists():
                continue
            train = read_task(asked.tasks / folder / "train.tsv")
            dev = read_task(asked.tasks / folder / "dev.tsv", train.labels)
            dev = replace(dev, texts=dev.texts[:DEV_TEXTS], answers=dev.answers[:DEV_TEXTS])
            prompt = tuned(Decoder(asked.model, question, train.labels), vocabulary, train, dev, name, initialization, asked.steps)
            prompt.save(place)
            print(f"{place}: dev {prompt.origin.history[0].dev_accuracy:.3f} -> {prompt.origin.history[-1].dev_accuracy:.3f}", flush=True)


if __name__ == "__main__":
    main()
