"""Operations, each with a plain form and fast ones.

In: tensors; out: tensors. Here: how kernels are compiled, threads, and the processes that share a batch.
Imports from: none.
"""
