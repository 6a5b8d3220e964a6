"""`python -m benchmarks.datamodeling_rivals FOLDER`: other libraries on an exported problem.

To be run in an environment that has some of captum, dattri, pyDVL, traker and kronfluence, beside
this library. Each answers with attributions of the test losses, in our sign; what is not
installed is a line that says so. See benchmarks/datamodeling.py.
"""

import argparse
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks import contestants


def trak(problem):
    """TRAK with one checkpoint: the final optimum. Its output is a margin; greater is better.

    With the penalty of the model as its ridge: without one, its default, the inverse is noise.
    """
    from benchmarks.trak_package import package_scores

    model, _, train, test = contestants.torch_model(problem)
    model = model.float()
    rows = train[0].float(), train[1], test[0].float(), test[1]

    def question():
        # A contribution to the margin: without the row the loss rises.
        return package_scores([model], *rows, alpha=1.0 / problem.C)[0]

    return question


def kronfluence(problem):
    """EK-FAC, undamped but for the penalty; the score is the drop of the query's loss."""
    import torch
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task
    from torch.utils.data import TensorDataset

    linear, loss, train, test = contestants.torch_model(problem)

    class Loss(Task):
        def compute_train_loss(self, batch, model, sample=False):
            logits = model(batch[0])
            if not sample:
                return loss(logits, batch[1], reduction="sum")
            with torch.no_grad():
                labels = torch.multinomial(logits.softmax(dim=-1), 1).flatten()
            return loss(logits, labels, reduction="sum")

        def compute_measurement(self, batch, model):
            return loss(model(batch[0]), batch[1], reduction="sum")

    def question():
        task = Loss()
        model = prepare_model(torch.nn.Sequential(linear), task)
        with tempfile.TemporaryDirectory() as folder:
            analyzer = Analyzer("linear", model, task, cpu=True, output_dir=folder)
            analyzer.fit_all_factors(
                "ekfac",
                TensorDataset(*train),
                per_device_batch_size=len(problem.y),
                factor_args=FactorArguments(strategy="ekfac"),
            )
            analyzer.compute_pairwise_scores(
                "scores",
                factors_name="ekfac",
                query_dataset=TensorDataset(*test),
                train_dataset=TensorDataset(*train),
                per_device_query_batch_size=len(problem.y_test),
                per_device_train_batch_size=len(problem.y),
                score_args=ScoreArguments(damping_factor=1.0 / (problem.C * len(problem.y))),
            )
            scores = analyzer.load_pairwise_scores("scores")["all_modules"]
        return scores.double().numpy()

    return question


RIVALS = {
    "captum": contestants.captum,
    "dattri": contestants.dattri,
    "pyDVL": contestants.pydvl,
    "traker": trak,
    "kronfluence": kronfluence,
}


def main():
    """Write the answers, answer-NAME.npz, beside the problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--only", nargs="+", default=list(RIVALS))
    options = parser.parse_args()
    folder = Path(options.folder)
    with np.load(folder / "problem.npz") as file:
        problem = SimpleNamespace(C=1.0, **{name: file[name] for name in file.files})
    for name in options.only:
        try:
            question = RIVALS[name](problem)
            start = time.process_time()
            found = np.asarray(question(), dtype=float)
            seconds = time.process_time() - start
        except Exception as error:  # a library that fails is a line of the table, not its end
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            continue
        np.savez(folder / f"answer-{name}.npz", attributions=found, seconds=seconds, name=name)
        print(f"{name}: {found.shape} in {seconds:.2f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
