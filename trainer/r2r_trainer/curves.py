"""Curves as CSV, and as PNG where matplotlib is installed. File names and columns are upstream's where it has them."""

from __future__ import annotations

import csv
import importlib.util
import io
from pathlib import Path
from typing import Any

from .files import write_atomically

HISTORY = ("epoch", "trainLoss", "validationLoss", "accuracy", "f1", "recall", "positiveRate")


def write_curves(
    folder: Path, history: list[dict[str, Any]], points: list[tuple[float, float, float]], threshold: float, found: dict[str, dict[str, Any]]
) -> bool:
    """`points`: (threshold, positive rate, recall); `found`: measures by the suffix of their confusion matrix. False: there are no PNGs."""
    _write_csv(folder / "training_curves.csv", HISTORY, [[record.get(name, "") for name in HISTORY] for record in history])
    rates = [(t, 100 * rate, recall) for t, rate, recall in points]
    _write_csv(folder / "positive_rate_recall_data.csv", ("Threshold", "Positive Rate", "Recall"), rates)
    if importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def save(name: str, figure: Figure) -> None:
        data = io.BytesIO()
        FigureCanvasAgg(figure).print_png(data)
        write_atomically(folder / name, lambda file: file.write(data.getvalue()))

    checked = [record for record in history if "validationLoss" in record]
    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, rates_axes = figure.subplots(1, 2)
    losses.plot([record["epoch"] for record in history], [record["trainLoss"] for record in history], label="training")
    losses.plot([record["epoch"] for record in checked], [record["validationLoss"] for record in checked], label="validation")
    losses.set(xlabel="epoch", ylabel="loss")
    for name, label in (("recall", "recall"), ("positiveRate", "positive rate"), ("f1", "F1")):
        rates_axes.plot([record["epoch"] for record in checked], [record[name] for record in checked], label=f"{label} at 0.5")
    rates_axes.set(xlabel="epoch", ylim=(0, 1))
    for axes in (losses, rates_axes):
        axes.legend()
        axes.grid(alpha=0.4)
    save("training_curves.png", figure)

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([rate for _, rate, _ in points], [recall for *_, recall in points])
    chosen = found["post_opt"]
    axes.plot(chosen["positiveRate"], chosen["recall"], "o", label=f"threshold {threshold:.4f}")
    axes.set(xlabel="positive rate", ylabel="recall")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.4)
    save("positive_rate_recall_curve.png", figure)

    for suffix, measured in found.items():
        figure = Figure(figsize=(4, 4), layout="constrained")
        _draw_confusion(figure.subplots(), measured["confusion"])
        save(f"confusion_matrix_{suffix}.png", figure)
    return True


def _draw_confusion(axes: Any, confusion: dict[str, int]) -> None:
    cells = [[confusion["trueNegative"], confusion["falsePositive"]], [confusion["falseNegative"], confusion["truePositive"]]]
    axes.imshow(cells, cmap="Blues")
    for row, values in enumerate(cells):
        for column, count in enumerate(values):
            dark = count > max(map(max, cells)) / 2
            axes.text(column, row, f"{count:,}", ha="center", va="center", color="white" if dark else "black")
    names = ["SLM", "LLM"]
    axes.set(xlabel="routed to", ylabel="needs", xticks=[0, 1], yticks=[0, 1], xticklabels=names, yticklabels=names)


def _write_csv(path: Path, header: tuple[str, ...], rows: list[Any]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))
