"""Networks of the core: classifier, generator, what an objective sees.

In: points or views; out: features, logits, clouds.
Imports from: ops.emd.
"""
