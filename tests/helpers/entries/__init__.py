"""The 64 bytes of every builder beside those that C makes of the same arguments.

`cases.py` and its neighbours say what is compared, `compiler.py` asks C, `world.py` makes what the
cases name, `compare.py` looks at the bytes.
"""
