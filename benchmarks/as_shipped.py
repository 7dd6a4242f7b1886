"""``python -m service`` as in its own environment, where this one has training's packages as well.

Keras imports pandas, scikit-learn and what comes with them wherever it finds them: 120 MB and a second that the
service's image does not have. Hiding them gives what a deployment gives.
"""

import runpy
import sys

HIDDEN = {  # module -> the distribution that it comes from, which requirements/service.txt must not name
    "chardet": "chardet",
    "jax": "jax",
    "librosa": "librosa",
    "matplotlib": "matplotlib",
    "numba": "numba",
    "pandas": "pandas",
    "PIL": "pillow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "watchfiles": "watchfiles",
}


def main() -> None:
    """Hide them, and become the service."""
    sys.modules.update(dict.fromkeys(HIDDEN))  # type: ignore[arg-type]  # None: its import fails
    runpy.run_module("service", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
