"""`python -m helvetia.kernel.cli`."""

from . import main

main()
