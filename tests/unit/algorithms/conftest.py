"""Shapes and types in the signatures of `algorithms` are checked while its tests run."""

from jaxtyping import install_import_hook

install_import_hook("lmm_r1_mega.algorithms", "beartype.beartype")
