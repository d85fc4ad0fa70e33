"""Makes the documentation's site: the pages of docs/ as they are, and a reference out of the product.

`python -m sitegen OUT` assembles a tree of sources (`sources`), writes the reference into it (`reference`)
and has Sphinx build it with docs/conf.py, whose extension is `sitegen.extension`. A warning is an error.
"""
