"""A model of a ring, and a state machine that drives a ring and the model side by side.

`worlds` is what the ring does I/O with, on the running kernel or a simulated one; `model` is what
must be so whatever the kernel does; `results` is what each operation may come to; `machine`
holds them together, `rules` has what can be done, `machines` are for the two kernels.
"""
