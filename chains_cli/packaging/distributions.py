"""Import names and distribution names, and which modules a Chain's requirements provide.

A distribution is mostly imported under its own name, with `_` for `-`. The tables hold the
well-known exceptions; they decide notes and placeholders, never what is installed.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Final

from packaging.utils import canonicalize_name

from chains_cli.packaging.requirements import read_requirements, requirement_name
from chains_protocol.spec import ChainSpec, DiscoveredChainlet

_DISTRIBUTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "attr": ("attrs",),
    "bs4": ("beautifulsoup4",),
    "cv2": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "crypto": ("pycryptodome",),
    "dateutil": ("python-dateutil",),
    "dotenv": ("python-dotenv",),
    "faiss": ("faiss-cpu", "faiss-gpu"),
    "fitz": ("pymupdf",),
    "git": ("gitpython",),
    "google": ("google-cloud-storage", "google-generativeai", "google-genai", "protobuf"),
    "grpc": ("grpcio",),
    "jose": ("python-jose",),
    "jwt": ("pyjwt",),
    "magic": ("python-magic",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "openssl": ("pyopenssl",),
    "pil": ("pillow", "pillow-simd"),
    "pkg-resources": ("setuptools",),
    "psycopg2": ("psycopg2", "psycopg2-binary"),
    "serial": ("pyserial",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-gpu"),
    "whisper": ("openai-whisper",),
    "yaml": ("pyyaml",),
}
"""Canonical import name -> the distributions that provide it, where the names differ."""

_BRINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "accelerate": ("torch", "numpy", "huggingface_hub", "safetensors"),
    "diffusers": ("numpy", "huggingface_hub", "safetensors", "PIL"),
    "fastapi": ("starlette", "pydantic"),
    "librosa": ("numpy", "scipy", "soundfile"),
    "pandas": ("numpy", "dateutil"),
    "scikit-learn": ("numpy", "scipy", "joblib"),
    "scipy": ("numpy",),
    "sentence-transformers": ("torch", "transformers", "numpy", "scipy", "sklearn", "huggingface_hub"),
    "openai-whisper": ("torch", "numpy", "tiktoken"),
    "tensorflow": ("numpy", "keras"),
    "torchaudio": ("torch",),
    "torchvision": ("torch", "numpy", "PIL"),
    "transformers": ("numpy", "huggingface_hub", "tokenizers", "safetensors", "yaml", "requests"),
    "vllm": ("torch", "transformers", "numpy", "fastapi", "starlette", "huggingface_hub"),
}
"""Distribution -> import names that its own dependencies bring along."""

IMPLICIT: Final[Mapping[str, str]] = {
    "aiofiles": "aiofiles",
    "aiohttp": "aiohttp",
    "boto3": "boto3",
    "fastapi": "fastapi",
    "google.cloud.storage": "google-cloud-storage",
    "httpx": "httpx",
    "huggingface_hub": "huggingface-hub",
    "jinja2": "jinja2",
    "loguru": "loguru",
    "msgpack": "msgpack",
    "numpy": "numpy",
    "packaging": "packaging",
    "prometheus_client": "prometheus-client",
    "psutil": "psutil",
    "requests": "requests",
    "starlette": "starlette",
    "tenacity": "tenacity",
    "truss_chains.pydantic_numpy": "numpy",
    "yaml": "pyyaml",
}
"""Modules that existing Chains import without declaring them -> what has to be installed for them.

pydantic is not among them: a replica always has it.
"""


def provides(requirement: str, module: str) -> bool:
    """Whether installing the requirement line plausibly makes top-level `module` importable."""
    name = requirement_name(requirement)
    if name is None:
        return False
    canonical = canonicalize_name(module)
    known = _DISTRIBUTIONS.get(canonical, ())
    if name == canonical or name in known or name in (f"python-{canonical}", f"py{canonical}"):
        return True
    brought = (canonicalize_name(m) for m in _BRINGS.get(name, ()))
    return canonical in brought


def implicit_requirements(modules: Iterable[str], requirements: Iterable[str]) -> dict[str, str]:
    """Distribution -> module, for imported modules (dotted names) that nothing declared provides."""
    declared = tuple(requirements)
    wanted = {
        distribution: name
        for module in sorted(set(modules))
        for name, distribution in IMPLICIT.items()
        if module == name or module.startswith(f"{name}.")
    }
    return {
        distribution: name
        for distribution, name in sorted(wanted.items())
        if not any(provides(line, distribution) or provides(line, name) for line in declared)
    }


def unprovided_modules(spec: ChainSpec, modules: Iterable[str]) -> tuple[str, ...]:
    """Those top-level modules that no Chainlet's environment plausibly has."""
    wanted = [module for module in modules if module not in sys.stdlib_module_names]
    if any(found.spec.image.custom_image for found in spec.chainlets):
        return ()
    lines = [line for found in spec.chainlets for line in _declared(found)]
    implicit = {name.partition(".")[0] for name in IMPLICIT}
    return tuple(m for m in wanted if m not in implicit and not any(provides(line, m) for line in lines))


def _declared(found: DiscoveredChainlet) -> tuple[str, ...]:
    return read_requirements(found).lines


__all__ = ["IMPLICIT", "implicit_requirements", "provides", "unprovided_modules"]
