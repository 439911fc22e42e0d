# The front door. The graph is in workflow/; `rule all` stands here because an included file's default target is lost.
from snakemake.utils import min_version

min_version("9.20")


include: "workflow/Snakefile"


rule all:
    default_target: True
    input:
        [phase_files(phase) for phase in PHASES],
        rules.report.output,
