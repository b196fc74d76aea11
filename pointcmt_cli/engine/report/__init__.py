"""The evaluation document as a page and a model card.

In: the document; out: report.html, MODEL_CARD.md, evaluation.json.
Imports from: data.store, engine.evaluation, engine.training.
"""
