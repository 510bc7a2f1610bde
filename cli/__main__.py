"""`python -m helvetia.cli`."""

from . import main

main()
