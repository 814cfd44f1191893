"""The driver's work grows with the samples and not with their square: counted, not timed.

`benchmarks/driver_scale.py` runs the recipes' sizes; here are three small ones. Engine and rank are stand-ins that answer at once,
everything in this process is the program's own.
"""

import cProfile
import pstats

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.driver_scale import Driver, config_of, processes

RECIPE, LIMIT, GROUP = "examples/configs/fre_70b.yaml", 64, 8
"""PPO with a critic and a KL to the reference, so that all is asked that can be; responses are short, so that pairs of samples count."""


class Elements(TorchDispatchMode):
    """Counts the elements of all tensors that operations give: padding, copies and matrices of pairs are made of them."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        self.count += sum(one.numel() for one in tree_leaves(result) if isinstance(one, Tensor))
        return result


def recipe(folder, *, prompts):
    options = {"rollout.max_response_tokens": LIMIT, "algorithm.samples_per_prompt": GROUP, "algorithm.prompts_per_step": prompts}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return config_of([RECIPE, *words, "--algorithm.optimizer_steps", "2"], folder, share=1)


def work(driver):
    elements, profile = Elements(), cProfile.Profile()
    with elements, profile:
        driver.steps()
    return {"bytes": driver.num_bytes(), "elements": elements.count, "calls": pstats.Stats(profile).total_calls}


def test_the_work_of_a_sample_does_not_grow_with_their_number(tmp_path):
    """Of the samples that are added, so that what every step has once is left out."""
    configs = [recipe(tmp_path, prompts=prompts) for prompts in (16, 32, 64)]
    with processes(configs[-1]) as (pool, book):
        few, some, many = (work(Driver(config, pool, book)) for config in configs)
    growth = {name: (many[name] - some[name]) / 2 / (some[name] - few[name]) for name in few}
    assert max(growth.values()) < 1.1, growth
