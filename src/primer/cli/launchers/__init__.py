"""Launchers of the jobs of a sweep: ``hydra/launcher=basic``, ``joblib``, ``submitit_local``, ``submitit_slurm``,
``ray`` and ``vmap``.

Hydra's plugins of these names lose all results when one job fails, start all jobs at once, and let them share a GPU.
"""

from hydra.core.plugins import Plugins

from primer.cli.launchers.basic import Basic
from primer.cli.launchers.joblib import Joblib
from primer.cli.launchers.ray import Ray
from primer.cli.launchers.submitit import SubmititLocal, SubmititSlurm
from primer.cli.launchers.vmap import Vmap


def register_launchers() -> None:
    """Registers the launchers, so that Hydra finds them."""
    for launcher in (Basic, Joblib, SubmititLocal, SubmititSlurm, Ray, Vmap):
        Plugins.instance().register(launcher)
