"""A grid of gradient-bias studies, cell by cell, on this machine or on a cluster: `stochep sweep`.

`grid` says what a sweep is, `worker` computes a cell, `cells` keeps what is computed, `workers` hands cells out, `clock` tells the
time that is left, `outcome` puts it all together in a table and a figure.
"""
