import sys

from tritbench_plots.cli import main

sys.exit(main())
